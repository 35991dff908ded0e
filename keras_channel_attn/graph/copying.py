"""A layer or operation made again, and its state carried over.

State is carried from each layer to its copy, never by the position of weights
in a model: a new layer changes the order of `model.layers`, and layers of
equal shapes would silently swap their weights.
"""

import inspect
from typing import Any

import keras
import numpy as np


def copy_of(operation: Any) -> Any:
    """A new layer or operation of the same configuration, without weights."""
    if not isinstance(operation, keras.layers.Layer):
        return _copy_of_function(operation)
    config = operation.get_config()
    if isinstance(operation, keras.layers.Lambda):
        copy = type(operation).from_config(config, safe_mode=False)
        # The function objects themselves: made again from strings, they would
        # have lost the names that they refer to.
        for name, value in vars(operation).items():
            if inspect.isfunction(value):
                setattr(copy, name, value)
        return copy
    # A user's functions, such as an activation, are saved by name only.
    functions = {
        value.__name__: value
        for value in vars(operation).values()
        if inspect.isfunction(value)
    }
    try:
        with keras.saving.custom_object_scope(functions):
            return type(operation).from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"The layer '{operation.name}' (of type "
            f"{type(operation).__name__}) cannot be made again from its "
            f"configuration: {error} Give it a `get_config` that its "
            "constructor takes, and register what it refers to with "
            "`keras.saving.register_keras_serializable`."
        ) from error


def _copy_of_function(operation: Any) -> Any:
    """An operation of `keras.ops` made again; it has no weights."""
    try:
        copy = type(operation).from_config(operation.get_config())
    except (TypeError, ValueError, NotImplementedError):
        # It holds a function or another object: the operation serves itself.
        return operation
    # The configuration does not hold the name.
    copy.name = operation.name
    return copy


def carry_state(original: Any, copy: Any) -> None:
    """Give a layer that is no model the weights and flags of another."""
    # New arrays: JAX frees those that a training step was given.
    copy.set_weights([np.array(w) for w in original.get_weights()])
    # The flag of a layer reaches those inside it, which may have others.
    for layer, other in zip(
        _with_inner_layers(original), _with_inner_layers(copy), strict=False
    ):
        if type(layer) is type(other) and other.trainable != layer.trainable:
            other.trainable = layer.trainable
        if isinstance(other, keras.layers.Normalization):
            # It computes with numbers that it derives from its weights.
            other.finalize_state()
    for weight, other in zip(original.weights, copy.weights, strict=True):
        if other.trainable != weight.trainable:
            other.trainable = weight.trainable


def _with_inner_layers(layer: Any) -> list[Any]:
    """A layer and all layers that it holds, each before those inside it."""
    found: dict[Any, None] = {}
    waiting = [layer]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = None
            waiting += [
                held
                for held in keras.tree.flatten(list(vars(current).values()))
                if isinstance(held, keras.layers.Layer)
            ]
    return list(found)
