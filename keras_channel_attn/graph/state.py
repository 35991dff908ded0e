"""What a layer has learned, and its flags, carried over to its copy.

State is carried from each layer to its copy, never by the position of weights
in a model: a new layer changes the order of `model.layers`, and layers of
equal shapes would silently swap their weights.
"""

import re
import tempfile
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph.operations import inner_layers, inner_pairs
from keras_channel_attn.graph.tensors import IdentityMap


class LayerPair:
    """A layer and its copy, with what belongs to each other in them.

    Args:
        original: Layer.
        copy: Layer of the same class, built.
        values: `IdentityMap` from variables of the original to arrays that the
            copy gets in place of their values. They may have other shapes.
            Defaults to `None`.

    Attributes:
        layers: List of pairs: the layer and those inside it, with their copies.
        variables: List of pairs of variables. The states of random generators
            and of stateful RNNs are included.

    Raises:
        ValueError: If the copy has other variables than the original.
    """

    def __init__(
        self, original: Any, copy: Any, values: IdentityMap | None = None
    ) -> None:
        self._values = values or IdentityMap()
        self.layers = [
            (layer, other)
            for layer, other in inner_pairs(original, copy)
            if type(layer) is type(other)
        ]
        self.variables = self._variable_pairs(original, copy)

    def carry_state(self) -> None:
        """Give the copy the variables, other state and flags of the layer."""
        values = self._values
        for layer, other in self.layers:
            if not any(variable in values for variable in layer.variables):
                _carry_own_state(layer, other)
        for variable, other in self.variables:
            # A new array: JAX frees those that a training step was given.
            if variable in values:
                other.assign(values[variable])
            else:
                other.assign(keras.ops.copy(variable.value))
        # The flag of a layer reaches those inside it, which may have others.
        for original, copy in (*self.layers, *self.variables):
            if copy.trainable != original.trainable:
                copy.trainable = original.trainable
        for variable, other in self.variables:
            # On torch a tensor has a flag of its own.
            flag = getattr(variable.value, "requires_grad", None)
            if getattr(other.value, "requires_grad", None) != flag:
                other.value.requires_grad = flag

    def _variable_pairs(self, original: Any, copy: Any) -> list[Any]:
        pairs = [
            pair
            for layer, other in self.layers
            for pair in self._own_pairs(layer, other)
        ]
        paired = {id(variable) for pair in pairs for variable in pair}
        rest, others = (
            [v for v in layer.variables if id(v) not in paired]
            for layer in (original, copy)
        )
        keys, other_keys = self._keys(rest), self._keys(others)
        if keys != other_keys:
            raise ValueError(
                f"The layer '{original.name}' (of type "
                f"{type(original).__name__}) cannot be copied: made again from "
                "its configuration it has other variables. The original has "
                f"{keys}, the copy {other_keys}."
            )
        return [*pairs, *zip(rest, others, strict=True)]

    def _own_pairs(self, layer: Any, copy: Any) -> list[Any]:
        """Pairs of the variables that no layer inside has, if they match."""
        own, others = _own_variables(layer), _own_variables(copy)
        if len(set(self._keys(own))) == len(own):
            # A layer that was quantized after it was built has another order.
            own, others = (sorted(x, key=self._key) for x in (own, others))
        is_same = self._keys(own) == self._keys(others)
        return list(zip(own, others, strict=True)) if is_same else []

    def _keys(self, variables: list[Any]) -> list[Any]:
        return [self._key(variable) for variable in variables]

    def _key(self, variable: Any) -> tuple[str, tuple[int, ...]]:
        # Keras numbers the names of variables that were given none.
        name = re.sub(r"_\d+$", "", variable.name)
        return name, tuple(self._values.get(variable, variable).shape)


def _ids_of_inner_variables(layer: Any) -> set[int]:
    """The `id` of each variable of the layers that a layer holds."""
    return {
        id(variable)
        for place, inner in inner_layers(layer)
        if place
        for variable in inner.variables
    }


def _own_variables(layer: Any) -> list[Any]:
    inside = _ids_of_inner_variables(layer)
    own = [v for v in layer.variables if id(v) not in inside]
    # The states of a stateful RNN are attributes, and Keras does not list them.
    known = {id(variable) for variable in layer.variables}
    for value in vars(layer).values():
        entries = value if isinstance(value, (list, tuple)) else [value]
        for entry in entries:
            if isinstance(entry, keras.Variable) and id(entry) not in known:
                known.add(id(entry))
                own.append(entry)
    return own


def _carry_own_state(layer: Any, copy: Any) -> None:
    """What a class saves in its own way, as a `.keras` file has it."""
    base = keras.layers.Layer
    if type(layer).load_own_variables is not base.load_own_variables:
        store: dict[str, Any] = {}
        layer.save_own_variables(store)
        for name, value in store.items():
            store[name] = np.array(keras.ops.convert_to_numpy(value))
        copy.load_own_variables(store)
    if hasattr(layer, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            copy.load_assets(folder)


def carry_unnamed_variables(model: Any, copy: Any) -> list[str]:
    """Carry the model's own variables that are no attributes of it.

    Returns:
        List of the names of variables that the copy does not have.
    """
    pairs = _unnamed_variables(model), _unnamed_variables(copy)
    originals, copies = pairs
    shapes = [[tuple(v.shape) for v in variables] for variables in pairs]
    if shapes[0] != shapes[1]:
        return [variable.name for variable in originals]
    for variable, other in zip(originals, copies, strict=True):
        other.assign(keras.ops.copy(variable.value))
    return []


def _unnamed_variables(model: Any) -> list[Any]:
    # The variable of a `SeedGenerator` is its state.
    named = {id(getattr(x, "state", x)) for x in vars(model).values()}
    named |= _ids_of_inner_variables(model)
    return [v for v in model.variables if id(v) not in named]
