"""Weights that are stored divided by a number, and multiplied by it when used.

The product is the effective weight. Initializers, regularizers and constraints
speak of effective weights; the classes here apply them to stored ones.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import number_or_auto


def scale(tensor: Tensor, factor: float) -> Tensor:
    """The product with a number, in the same dtype."""
    tensor = ops.convert_to_tensor(tensor)
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype in ("float16", "bfloat16"):
        # In 16 bits the factor itself may be rounded, or infinite.
        return ops.cast(ops.cast(tensor, "float32") * factor, dtype)
    return tensor * factor


class _OfEffectiveWeights:
    """A function of effective weights that Keras calls on stored ones."""

    def __init__(self, function: Any, multiplier: float) -> None:
        self.function = function
        self.multiplier = multiplier


class StoredInitializer(_OfEffectiveWeights, keras.initializers.Initializer):
    """The stored values of the effective weights that an initializer makes."""

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        effective = self.function(shape, dtype=dtype)
        return scale(effective, 1 / self.multiplier)


class EffectiveRegularizer(_OfEffectiveWeights, keras.regularizers.Regularizer):
    """The penalty that a regularizer gives the effective weights."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(scale(x, self.multiplier))


class EffectiveConstraint(_OfEffectiveWeights, keras.constraints.Constraint):
    """Stored weights whose effective weights a constraint has changed."""

    def __call__(self, w: Tensor) -> Tensor:
        effective = self.function(scale(w, self.multiplier))
        return scale(effective, 1 / self.multiplier)


def functions_of_stored(
    initializer: Any, regularizer: Any, constraint: Any, multiplier: float
) -> tuple[Any, Any, Any]:
    """The arguments of `add_weight` for functions of the effective weight."""
    if initializer is None:
        initializer = keras.initializers.GlorotUniform()
    initializer = keras.initializers.get(initializer)
    regularizer = keras.regularizers.get(regularizer)
    constraint = keras.constraints.get(constraint)
    return (
        StoredInitializer(initializer, multiplier),
        regularizer and EffectiveRegularizer(regularizer, multiplier),
        constraint and EffectiveConstraint(constraint, multiplier),
    )


def function_of_effective(weight: Any, kind: str) -> Any:
    """The regularizer or constraint of a weight that acts on its product.

    Args:
        weight: Variable of an attention layer.
        kind: `"regularizer"` or `"constraint"`.
    """
    function = getattr(weight, kind)
    if isinstance(function, _OfEffectiveWeights):
        return function.function
    return function


class EffectiveWeights(keras.layers.Layer):
    """A layer that stores its weights divided by a number.

    Args:
        learning_rate_multiplier: Number above zero or `"auto"`, see
            `ChannelAttention`.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    identity_start: bool
    # The number for `"auto"` with an identity start. A class whose weights are
    # not all effective weights leaves it at 1.
    automatic_multiplier: float = 1

    def __init__(
        self, learning_rate_multiplier: float | str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.learning_rate_multiplier = number_or_auto(
            "learning_rate_multiplier", learning_rate_multiplier
        )
        # `id` of each weight that is stored divided.
        self._stored_divided: set[int] = set()
        # And of each that is not trained, and stored as it is.
        self._stored_whole: set[int] = set()

    @property
    def multiplier(self) -> float:
        """The number that `learning_rate_multiplier` stands for."""
        if not isinstance(self.learning_rate_multiplier, str):
            return self.learning_rate_multiplier
        return self.automatic_multiplier if self.identity_start else 1

    def add_effective_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        constraint: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Create a weight that `excite` reads with `effective_weight`.

        Args:
            shape: Tuple of integers.
            initializer, regularizer, constraint: As in `add_weight`. They are
                applied to the effective weight.
            **kwargs: Other arguments of `keras.layers.Layer.add_weight`, such
                as `name`.

        Returns:
            `keras.Variable`. Its value is the effective weight divided by
            `multiplier`.
        """
        functions = (initializer, regularizer, constraint)
        if self.multiplier != 1:
            functions = functions_of_stored(*functions, self.multiplier)
            # Small numbers in float16 have fewer digits, so that the product
            # is computed before the weight is cast.
            kwargs["autocast"] = False
        weight = self.add_weight(
            shape=shape,
            initializer=functions[0],
            regularizer=functions[1],
            constraint=functions[2],
            **kwargs,
        )
        self._stored_divided.add(id(weight))
        return weight

    def add_statistic(
        self, name: str, shape: tuple[int, ...], initializer: Any
    ) -> Any:
        """Create a weight that is not trained, and not multiplied."""
        weight = self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=False,
            autocast=False,
        )
        self._stored_whole.add(id(weight))
        return weight

    def effective_weight(self, weight: Any) -> Any:
        """The values of a weight that `excite` computes with.

        Args:
            weight: `keras.Variable` that `add_effective_weight` has created, or
                `None`.

        Returns:
            With a `multiplier` of 1 the argument; else a tensor of the
            compute dtype, the product; `None` for `None`.
        """
        if self.multiplier == 1 or weight is None:
            return weight
        product = scale(weight, self.multiplier)
        return ops.cast(product, self.compute_dtype)

    def multiplier_of(self, weight: Any) -> float:
        """What a stored weight is multiplied by to get the effective one."""
        is_divided = id(weight) in self._stored_divided
        return self.multiplier if is_divided else 1

    def _check_effective_weights(self) -> None:
        """Raise an error if the multiplier would silently have no effect."""
        if self.multiplier == 1:
            return
        known = self._stored_divided | self._stored_whole
        names = [
            weight.name for weight in self.weights if id(weight) not in known
        ]
        if names or not self.weights:
            has = f"the weights {names} without it" if names else "no weights"
            raise ValueError(
                "`learning_rate_multiplier` must be 1 for a layer that does "
                "not create all of its weights with `add_effective_weight`. "
                "Received: learning_rate_multiplier="
                f"{self.learning_rate_multiplier!r} for '{self.name}' "
                f"(of type {type(self).__name__}), which has {has}. Pass 1, "
                "or create the weights in `build_excitation` with "
                "`self.add_effective_weight`, and read them in `excite` with "
                "`self.effective_weight`."
            )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # Earlier versions can load the files of layers that do not use it.
        if self.learning_rate_multiplier != "auto":
            config["learning_rate_multiplier"] = self.learning_rate_multiplier
        return config

    # Files have effective weights, so that a file fits every multiplier. In
    # float64 the products lose nothing, so that loading restores every digit.

    def _multiplier_in_file(self, key: str, keys: Any) -> float:
        # Keras numbers the weights that are trained before the others.
        is_whole = int(key) >= len(keys.keys()) - len(self._stored_whole)
        return 1 if is_whole else self.multiplier

    def save_own_variables(self, store: Any) -> None:
        if self.multiplier == 1:
            super().save_own_variables(store)
            return
        stored: dict[str, Any] = {}
        super().save_own_variables(stored)
        for key, variable in stored.items():
            array = ops.convert_to_numpy(variable).astype("float64")
            store[key] = array * self._multiplier_in_file(key, stored)

    def load_own_variables(self, store: Any) -> None:
        if self.multiplier != 1:
            store = {
                key: np.asarray(store[key], "float64")
                / self._multiplier_in_file(key, store)
                for key in store.keys()  # noqa: SIM118
            }
        super().load_own_variables(store)
