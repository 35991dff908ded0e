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
        self.variables = _variable_pairs(
            original, copy, self.layers, self._values
        )

    def carry_state(self) -> None:
        """Give the copy the variables, other state and flags of the layer."""
        values = self._values
        for layer, other in self.layers:
            if not any(variable in values for variable in layer.variables):
                _carry_own_state(layer, other)
            _carry_plain_attributes(layer, other)
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


def _variable_pairs(
    original: Any,
    copy: Any,
    layers: list[tuple[Any, Any]],
    values: IdentityMap,
) -> list[tuple[Any, Any]]:
    pairs = [
        pair
        for layer, other in layers
        for pair in _own_pairs(layer, other, values)
    ]
    paired = {id(variable) for pair in pairs for variable in pair}
    rest, others = (
        [v for v in layer.variables if id(v) not in paired]
        for layer in (original, copy)
    )
    if _keys(rest, values) != _keys(others):
        raise ValueError(
            f"The layer '{original.name}' (of type {type(original).__name__}) "
            "cannot be copied: made again from its configuration it has other "
            f"variables. The original has {_keys(rest, values)}, the copy "
            f"{_keys(others)}."
        )
    return [*pairs, *zip(rest, others, strict=True)]


def _own_pairs(
    layer: Any, copy: Any, values: IdentityMap
) -> list[tuple[Any, Any]]:
    """Pairs of the variables that no layer inside has, if they correspond."""
    own, others = _own_variables(layer), _own_variables(copy)
    keys = _keys(own, values)
    if keys == _keys(others):
        return list(zip(own, others, strict=True))
    # A layer that was quantized after it was built has another order.
    by_key = dict(zip(_keys(others), others, strict=True))
    if len(set(keys)) == len(own) and set(keys) == set(by_key):
        return [
            (variable, by_key[key])
            for key, variable in zip(keys, own, strict=True)
        ]
    return []


def ids_of_inner_variables(layer: Any) -> set[int]:
    """The `id` of each variable of the layers that a layer holds."""
    return {
        id(variable)
        for place, inner in inner_layers(layer)
        if place
        for variable in inner.variables
    }


def _own_variables(layer: Any) -> list[Any]:
    inside = ids_of_inner_variables(layer)
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


def _keys(
    variables: list[Any], values: IdentityMap | None = None
) -> list[tuple[str, tuple[int, ...]]]:
    values = values or IdentityMap()
    # Keras numbers the names of variables that were given none.
    return [
        (
            re.sub(r"_\d+$", "", variable.name),
            tuple(values.get(variable, variable).shape),
        )
        for variable in variables
    ]


def _carry_own_state(layer: Any, copy: Any) -> None:
    """What a class saves in its own way, as a `.keras` file has it."""
    base = keras.layers.Layer
    if type(layer).load_own_variables is not base.load_own_variables:
        store = _Store()
        layer.save_own_variables(store)
        copy.load_own_variables(store)
    if hasattr(layer, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            copy.load_assets(folder)


def _carry_plain_attributes(layer: Any, copy: Any) -> None:
    """Numbers, strings and the like that a user has set on a layer."""
    for name, value in vars(layer).items():
        if (
            isinstance(value, (str, int, float))
            and not name.startswith("_")
            and name not in vars(copy)
        ):
            setattr(copy, name, value)


class _Store(dict[str, Any]):
    """Takes what a layer saves as arrays of its own."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
            value = keras.ops.convert_to_numpy(value)
        super().__setitem__(name, np.array(value))
