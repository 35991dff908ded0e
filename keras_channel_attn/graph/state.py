"""What a layer has learned, and its flags, carried over to its copy.

State is carried from each layer to its copy, never by the position of weights
in a model: a new layer changes the order of `model.layers`, and layers of
equal shapes would silently swap their weights.
"""

import tempfile
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph.operations import inner_layers


def carry_state(original: Any, copy: Any) -> None:
    """Give a layer the variables, other state and flags of another.

    Raises:
        ValueError: If the copy has other variables than the original.
    """
    places = dict(inner_layers(copy))
    pairs = [
        (layer, places[place])
        for place, layer in inner_layers(original)
        if place in places and type(places[place]) is type(layer)
    ]
    for layer, other in pairs:
        _carry_own_state(layer, other)
    _carry_variables(original, copy)
    # The flag of a layer reaches those inside it, which may have others.
    for layer, other in pairs:
        if other.trainable != layer.trainable:
            other.trainable = layer.trainable
    for variable, other in zip(original.weights, copy.weights, strict=True):
        if other.trainable != variable.trainable:
            other.trainable = variable.trainable


def _carry_variables(original: Any, copy: Any) -> None:
    """All variables, the states of random generators included."""
    if _shapes(original) != _shapes(copy):
        raise ValueError(
            f"The layer '{original.name}' (of type {type(original).__name__}) "
            "cannot be copied: made again from its configuration it has other "
            f"variables. The original has {_shapes(original)}, the copy "
            f"{_shapes(copy)}."
        )
    for variable, other in zip(original.variables, copy.variables, strict=True):
        # A new array: JAX frees those that a training step was given.
        other.assign(keras.ops.copy(variable.value))


def _shapes(layer: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (variable.name, tuple(variable.shape)) for variable in layer.variables
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


class _Store(dict[str, Any]):
    """Takes what a layer saves as arrays of its own."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
            value = keras.ops.convert_to_numpy(value)
        super().__setitem__(name, np.array(value))
