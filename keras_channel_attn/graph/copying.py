"""A layer or operation made again from its configuration."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_channel_attn.graph.operations import (
    inner_layers,
    is_from_keras,
    is_model,
    operations_of,
)

_DETAIL_LENGTH = 200


def copy_of(
    operation: Any,
    shared: Callable[[Any], Any] = lambda layer: None,
    configuration: dict[str, Any] | None = None,
) -> Any:
    """A new layer or operation of the same configuration, without weights.

    Functions and other callables that a user passed to a layer are not made
    again from their names: the copy gets the same objects.

    Args:
        operation: Layer or operation.
        shared: Callable from a layer that the operation holds to the copy that
            it has already, or `None`. Defaults to a function that returns
            `None`: all layers inside are made again.
        configuration: Dictionary, entries of the configuration that are to be
            different. Defaults to `None`.
    """
    changes = configuration or {}
    if not isinstance(operation, keras.layers.Layer):
        return _copy_of_function(operation, changes)
    if "call" in vars(operation):
        raise ValueError(
            f"The layer '{operation.name}' (of type "
            f"{type(operation).__name__}) cannot be copied: its `call` was "
            "replaced on this object. Write a class with that `call`."
        )
    with _named_callables(operation) as callables, _same_remat(operation):
        custom_objects = {**_own_classes(operation), **callables}
        try:
            with keras.saving.custom_object_scope(custom_objects):
                copy = _from_config(operation, shared, changes)
        except Exception as error:
            raise ValueError(_cannot_be_copied(operation, error)) from error
        _put_back(copy, callables)
    _share(operation, copy, shared)
    _rename_inner(operation, copy)
    return copy


def _rename_inner(layer: Any, copy: Any) -> None:
    """Give the layers inside a copy the names of the original's.

    Keras numbers layers without a name through the whole process, and
    the paths of variables hold these names.
    """
    places = dict(inner_layers(copy))
    for place, inner in inner_layers(layer):
        other = places.get(place)
        if other is not None and not other.built and other.name != inner.name:
            other.name = inner.name


def _from_config(
    layer: Any, shared: Callable[[Any], Any], changes: dict[str, Any]
) -> Any:
    kind = type(layer)
    if isinstance(layer, keras.layers.Lambda):
        # Its functions are those of a model that is in memory already.
        return kind.from_config(layer.get_config(), safe_mode=False)
    if kind.get_config is not keras.layers.Layer.get_config:
        return kind.from_config({**layer.get_config(), **changes})
    try:
        # Keras records arguments that are numbers or strings.
        config = layer.get_config()
    except NotImplementedError:
        config = _arguments(layer, shared)
    return _constructed(layer, config)


def _constructed(layer: Any, config: dict[str, Any]) -> Any:
    """A layer of a class without `get_config`, which may not take a name."""
    kind = type(layer)
    parameters = inspect.signature(kind.__init__).parameters
    takes_any = any(
        parameter.kind == parameter.VAR_KEYWORD
        for parameter in parameters.values()
    )
    copy = kind.from_config(
        {
            name: value
            for name, value in config.items()
            if takes_any or name in parameters
        }
    )
    copy.name = layer.name
    if copy.dtype_policy != layer.dtype_policy:
        copy.dtype_policy = layer.dtype_policy
    return copy


def _arguments(layer: Any, shared: Callable[[Any], Any]) -> dict[str, Any]:
    """The arguments of a layer without `get_config`, from its attributes.

    Keras' convention is one attribute for each argument, of the same name.
    """
    config = {
        "name": layer.name,
        "trainable": layer.trainable,
        "dtype": layer.dtype_policy,
    }
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for name, parameter in inspect.signature(
        type(layer).__init__
    ).parameters.items():
        if name in ("self", *config) or parameter.kind in variadic:
            continue
        if not hasattr(layer, name):
            raise TypeError(f"it does not keep its argument `{name}`.")
        value = getattr(layer, name)
        if isinstance(value, keras.Variable):
            raise TypeError(f"its argument `{name}` is a variable.")
        if isinstance(value, keras.layers.Layer):
            value = shared(value) or built(value, copy_of(value, shared))
        config[name] = value
    return config


def built(layer: Any, copy: Any) -> Any:
    """The copy of a layer that is not called yet, with its variables."""
    shapes = layer.get_build_config() if layer.built else None
    if shapes and not copy.built:
        if type(layer).build is not keras.layers.Layer.build:
            copy.build_from_config(shapes)
        elif "input_shape" in shapes:
            # Its layers are built when it is called.
            copy(keras.Input(batch_shape=shapes["input_shape"]))
    return copy


def _share(layer: Any, copy: Any, shared: Callable[[Any], Any]) -> None:
    """Let a copy hold the copies of layers that others hold or call too."""
    places = dict(inner_layers(copy))
    for place, inner in inner_layers(layer):
        held = places.get(place)
        if not place or held is None:
            continue
        other = shared(inner)
        if other is None and held is inner:
            # The configuration holds the layer itself.
            other = built(inner, copy_of(inner, shared))
        if other is None or other is held:
            continue
        for holder in places.values():
            _replace_held(holder, held, other)


def _replace_held(holder: Any, old: Any, new: Any) -> None:
    if is_model(holder) and old in operations_of(holder):
        # Its graph would go on with the old one.
        raise ValueError(
            f"The model '{holder.name}' (of type {type(holder).__name__}) "
            "cannot be copied: its graph shares the layer "
            f"'{old.name}' with other parts of the network."
        )
    for name, value in vars(holder).items():
        # Not assigned: Keras would track the new layer beside the old one.
        vars(holder)[name] = _with_replaced(value, old, new)


def _with_replaced(value: Any, old: Any, new: Any) -> Any:
    if value is old:
        return new
    if isinstance(value, dict):
        for key, entry in value.items():
            dict.__setitem__(value, key, _with_replaced(entry, old, new))
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            list.__setitem__(value, position, _with_replaced(entry, old, new))
    elif isinstance(value, tuple) and any(entry is old for entry in value):
        return type(value)([_with_replaced(x, old, new) for x in value])
    return value


def _cannot_be_copied(layer: Any, error: Exception) -> str:
    # The first sentence: Keras shows bytecode and whole configurations.
    detail = " ".join(str(error).split())[:_DETAIL_LENGTH]
    detail = detail.partition(". ")[0].rstrip(".")
    return (
        f"The layer '{layer.name}' (of type {type(layer).__name__}) cannot be "
        f"copied ({type(error).__name__}: {detail}). Give it a `get_config` "
        "that returns the arguments of its constructor."
    )


@contextlib.contextmanager
def _named_callables(layer: Any) -> Iterator[dict[str, Any]]:
    """Give the user's callables in a layer names that mean no other object.

    Keras saves a callable by its name, which may be that of one of its own or
    of another one in the same layer, and a lambda as bytecode. While this
    context is active, functions with unique names stand in their place.

    Yields:
        Dictionary from each of these names to the callable.
    """
    callables: dict[str, Any] = {}
    replaced = []
    try:
        for place, inner in inner_layers(layer):
            for name, value in list(vars(inner).items()):
                if _is_users_callable(inner, name, value):
                    unique = f"keras_channel_attn_{place}.{name}"
                    callables[unique] = value
                    replaced.append((inner, name, value))
                    vars(inner)[name] = _stand_in(value, unique)
        yield callables
    finally:
        for inner, name, value in replaced:
            vars(inner)[name] = value


def _is_users_callable(layer: Any, name: str, value: Any) -> bool:
    if isinstance(value, (type, keras.layers.Layer, keras.Variable)):
        return False
    if inspect.ismethod(value) or callable(getattr(type(layer), name, None)):
        # Its own method, which Keras wraps for each layer.
        return False
    if inspect.isfunction(value):
        return not is_from_keras(value)
    return callable(value) and not is_from_keras(type(value))


def _stand_in(value: Any, name: str) -> Any:
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return value(*args, **kwargs)

    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in


def _put_back(copy: Any, callables: dict[str, Any]) -> None:
    """Replace the stand-ins that a configuration handed on as they are."""
    for _, inner in inner_layers(copy):
        for name, value in list(vars(inner).items()):
            if inspect.isfunction(value) and value.__name__ in callables:
                vars(inner)[name] = callables[value.__name__]


def _own_classes(layer: Any) -> dict[str, type]:
    """The classes of a user in a layer, which need not be registered."""
    return {
        type(inner).__name__: type(inner)
        for _, inner in inner_layers(layer)
        if not is_from_keras(type(inner))
    }


def _same_remat(layer: Any) -> contextlib.AbstractContextManager[Any]:
    """The rematerialization that a layer was made under."""
    # Not public: a layer does not tell its `RematScope` otherwise.
    mode = getattr(layer, "_remat_mode", None)
    if mode is None:
        return contextlib.nullcontext()
    return keras.RematScope(
        mode=mode.mode,
        output_size_threshold=mode.output_size_threshold,
        layer_names=mode.layer_names,
    )


def _copy_of_function(operation: Any, changes: dict[str, Any]) -> Any:
    """An operation of `keras.ops` made again; it has no weights."""
    try:
        config = {**operation.get_config(), **changes}
        copy = type(operation).from_config(config)
    except (TypeError, ValueError, NotImplementedError):
        # It holds a function or another object: the operation serves itself.
        return operation
    # The configuration does not hold the name.
    copy.name = operation.name
    return copy
