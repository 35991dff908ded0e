"""The configuration of a layer, in which the user's callables have names.

Keras saves a callable by its name, which may be that of one of its own or of
another one in the same layer, and a lambda as bytecode. A snapshot is an object
with the attributes of a layer, in which each callable of the user has a name
that means nothing else. The layer itself is never changed: another thread may
be calling it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_channel_attn.graph.classes import keeps_class
from keras_channel_attn.graph.operations import (
    inner_layers,
    is_from_keras,
    is_model,
)


class Snapshot:
    """What the configuration of a layer is read from.

    Args:
        layer: Layer.
        copy_of_model: Callable from a functional model that the layer holds to
            a copy. Keras reads the configuration of such a model from its
            graph, so that it has no snapshot.

    Attributes:
        layer: Object of the layer's class that has `get_config`: the layer
            itself, if it holds no callable of the user.
        custom_objects: Dictionary for `keras.saving.custom_object_scope`.
    """

    def __init__(self, layer: Any, copy_of_model: Callable[[Any], Any]) -> None:
        self.custom_objects: dict[str, Any] = {}
        self._callables: dict[str, Any] = {}
        self._copy_of_model = copy_of_model
        self._outermost = layer
        # From each layer to its snapshot.
        self._snapshots: dict[Any, Any] = {}
        self.layer = self._snapshot(layer) if _has_callables(layer) else layer

    def original(self, layer: Any) -> Any:
        """The layer that an object is the snapshot of, or the object."""
        for original, snapshot in self._snapshots.items():
            if snapshot is layer:
                return original
        return layer

    def put_back(self, copy: Any) -> None:
        """Give a copy the user's callables in the place of stand-ins."""
        for _, inner in inner_layers(copy):
            for name, value in list(vars(inner).items()):
                if inspect.isfunction(value):
                    own = self._callables.get(value.__name__, value)
                    vars(inner)[name] = own

    def _snapshot(self, layer: Any) -> Any:
        if layer in self._snapshots:
            return self._snapshots[layer]
        if _is_read_from_graph(layer):
            if not _has_callables(layer):
                return layer
            snapshot = self._copy_of_model(layer)
            for _, inner in inner_layers(snapshot):
                self._name_callables(inner, layer)
        else:
            # Entered first: layers may hold each other.
            snapshot = self._snapshots[layer] = object.__new__(type(layer))
            for name, value in vars(layer).items():
                vars(snapshot)[name] = self._value(value)
            self._name_callables(snapshot, layer)
        self._snapshots[layer] = snapshot
        return snapshot

    def _value(self, value: Any) -> Any:
        """An attribute with snapshots in the place of layers."""
        if isinstance(value, keras.layers.Layer):
            return self._snapshot(value)
        if isinstance(value, dict):
            return {key: self._value(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._value(entry) for entry in value]
        if type(value) is tuple:
            return tuple(self._value(entry) for entry in value)
        return value

    def _name_callables(self, snapshot: Any, layer: Any) -> None:
        for name, value in list(vars(snapshot).items()):
            if not _is_users_callable(snapshot, name, value):
                continue
            unique = f"keras_channel_attn_{len(self._callables)}_{name}"
            stand_in = _function_named(unique, value)
            vars(snapshot)[name] = stand_in
            self._callables[unique] = value
            # The constructor of a wrapper, such as `Bidirectional`, may read
            # the configuration of the layer inside once more.
            resolve = inspect.isfunction(value) and layer is not self._outermost
            self.custom_objects[unique] = stand_in if resolve else value


def _is_read_from_graph(layer: Any) -> bool:
    return (
        is_model(layer)
        and not isinstance(layer, keras.Sequential)
        and keeps_class(layer)
    )


def _has_callables(layer: Any) -> bool:
    return any(
        _is_users_callable(inner, name, value)
        for _, inner in inner_layers(layer)
        for name, value in vars(inner).items()
    )


def _is_users_callable(layer: Any, name: str, value: Any) -> bool:
    if isinstance(value, (type, keras.layers.Layer, keras.Variable)):
        return False
    if inspect.ismethod(value) or callable(getattr(type(layer), name, None)):
        # Its own method, which Keras wraps for each layer.
        return False
    if inspect.isfunction(value):
        return not is_from_keras(value)
    return callable(value) and not is_from_keras(type(value))


def _function_named(name: str, value: Any) -> Any:
    """A function that computes what a callable does, of another name."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return value(*args, **kwargs)

    if inspect.isfunction(value):
        # `Lambda` looks at the arguments of its function.
        vars(stand_in)["__signature__"] = inspect.signature(value)
    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in
