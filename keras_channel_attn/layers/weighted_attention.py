"""The base class of the layers that have kernels and biases."""

from typing import Any

import keras

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import keras_object
from keras_channel_attn.layers.attention_layer import AttentionLayer

# The modules of Keras that know the functions of weights, by the ends of the
# names of arguments.
_MODULES = {
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}


class WeightedAttention(AttentionLayer):
    """Attention with kernels, and with biases where `use_bias` says so.

    It stores and saves the initializers, regularizers and constraints, and
    creates the weights.

    Args:
        functions: Dictionary from the name of each argument that is a function
            of weights, such as `"kernel_initializer"`, to its value.
        **kwargs: Arguments of the other base class.
    """

    automatic_multiplier = 8
    kernel_initializer: Any
    bias_initializer: Any
    use_bias: bool

    def __init__(self, functions: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._function_names = tuple(functions)
        for name, value in functions.items():
            setattr(self, name, keras_object(name, value, _module(name).get))

    def _add_kernel(
        self, name: str, shape: tuple[int, ...], initializer: Any
    ) -> Tensor:
        try:
            return self._add_weight("kernel", name, shape, initializer)
        except ValueError as error:
            if not _is_partitioned_model():
                raise
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: `{name}` of shape "
                f"{shape} cannot be placed as the LayoutMap of ModelParallel "
                f"says. Each partitioned axis must be divisible by the size of "
                f"its mesh axis, and each path must match one key at most. "
                f"Choose another width of the bottleneck (`divisor` or "
                f"`bottleneck_units` of SqueezeExcite), or change the keys "
                f"that match '{self.name}/{name}'. Received: {error}"
            ) from error

    def _add_bias(
        self, name: str, units: int, initializer: Any
    ) -> Tensor | None:
        if not self.use_bias:
            return None
        return self._add_weight("bias", name, (units,), initializer)

    def _add_weight(
        self, kind: str, name: str, shape: tuple[int, ...], initializer: Any
    ) -> Tensor:
        return self.add_effective_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in self._function_names:
            config[name] = _module(name).serialize(getattr(self, name))
        return config


def _module(name: str) -> Any:
    return _MODULES[name.rpartition("_")[2]]


def _is_partitioned_model() -> bool:
    distribution = keras.distribution.distribution()
    return isinstance(distribution, keras.distribution.ModelParallel)
