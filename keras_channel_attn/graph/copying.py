"""A layer or operation made again from its configuration."""

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import keras

from keras_channel_attn.graph.operations import inner_layers, is_from_keras

_DETAIL_LENGTH = 200


def copy_of(operation: Any) -> Any:
    """A new layer or operation of the same configuration, without weights.

    Functions and other callables that a user passed to a layer are not made
    again from their names: the copy gets the same objects.
    """
    if not isinstance(operation, keras.layers.Layer):
        return _copy_of_function(operation)
    with _named_callables(operation) as callables, _same_remat(operation):
        custom_objects = {**_own_classes(operation), **callables}
        try:
            with keras.saving.custom_object_scope(custom_objects):
                copy = _from_config(operation)
        except Exception as error:
            raise ValueError(_cannot_be_copied(operation, error)) from error
        _put_back(copy, callables)
    return copy


def _from_config(layer: Any) -> Any:
    if type(layer).get_config is keras.layers.Layer.get_config:
        return _from_attributes(layer)
    config = layer.get_config()
    if isinstance(layer, keras.layers.Lambda):
        # Its functions are those of a model that is in memory already.
        return type(layer).from_config(config, safe_mode=False)
    return type(layer).from_config(config)


def _from_attributes(layer: Any) -> Any:
    """A layer without `get_config`, if its arguments are its attributes.

    Keras' convention is one attribute for each argument, of the same name. It
    is checked: the copy must keep the arguments as the original does.
    """
    config = {
        "name": layer.name,
        "trainable": layer.trainable,
        "dtype": layer.dtype_policy,
    }
    parameters = inspect.signature(type(layer).__init__).parameters
    kept = [
        name
        for name, parameter in parameters.items()
        if name not in ("self", *config)
        and parameter.kind
        not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    for name in kept:
        if not hasattr(layer, name):
            raise TypeError(f"it does not keep its argument `{name}`.")
        config[name] = getattr(layer, name)
    takes_any = any(
        parameter.kind == parameter.VAR_KEYWORD
        for parameter in parameters.values()
    )
    copy = type(layer)(
        **{
            name: value
            for name, value in config.items()
            if takes_any or name in parameters
        }
    )
    for name in kept:
        value, copied = getattr(layer, name), getattr(copy, name)
        if copied is not value and copied != value:
            raise TypeError(f"it changes its argument `{name}`.")
    return copy


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
    if isinstance(value, functools.partial):
        return True
    if inspect.isfunction(value):
        return not is_from_keras(value)
    kinds = (
        keras.initializers.Initializer,
        keras.regularizers.Regularizer,
        keras.constraints.Constraint,
    )
    return isinstance(value, kinds) and not is_from_keras(type(value))


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
