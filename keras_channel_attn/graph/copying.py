"""A layer or operation made again from its configuration."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import keras

from keras_channel_attn.graph.attributes import carry_early
from keras_channel_attn.graph.keras_internals import rematerialization
from keras_channel_attn.graph.operations import (
    inner_layers,
    inner_pairs,
    is_from_keras,
    is_model,
    operations_of,
)
from keras_channel_attn.graph.snapshots import Snapshot

_DETAIL_LENGTH = 200


def copy_of(
    operation: Any,
    copy_of_model: Callable[[Any], Any],
    shared: Callable[[Any], Any] = lambda layer: None,
    configuration: dict[str, Any] | None = None,
    keeps_sizes: bool = True,
    policy_of: Callable[[Any], Any] | None = None,
) -> Any:
    """A new layer or operation of the same configuration, without weights.

    Functions and other callables that a user passed to a layer are not made
    again from their names: the copy gets the same objects. What was set on the
    layer since is set on the copy before its first call, because masks and
    shapes may depend on it.

    Args:
        operation: Layer or operation.
        copy_of_model: Callable from a functional model inside a layer to a
            copy: see `Snapshot`.
        shared: Callable from a layer that the operation holds to the copy that
            it has already, or `None`. Defaults to a function that returns
            `None`: all layers inside are made again.
        configuration: Dictionary, entries of the configuration that are to be
            different. Defaults to `None`.
        keeps_sizes: Boolean, whether the copy and its inputs have the sizes of
            the original's. Defaults to `True`.
        policy_of: Callable from the layer, and from each that it holds, to
            another dtype policy or `None`. Defaults to `None`: all keep theirs.
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

    refusals = []

    def copy_of_inner(layer: Any) -> Any:
        copy = shared(layer)
        if copy is None:
            try:
                copy = copy_of(
                    layer,
                    copy_of_model,
                    shared,
                    keeps_sizes=keeps_sizes,
                    policy_of=policy_of,
                )
            except ValueError as refusal:
                refusals.append(refusal)
                raise
        return copy

    def built_copy_of_inner(layer: Any) -> Any:
        return build_as(layer, copy_of_inner(layer))

    snapshot = Snapshot(operation, copy_of_model)
    custom_objects = {**_own_classes(operation), **snapshot.custom_objects}
    policy = policy_of(operation) if policy_of else None
    try:
        with (
            rematerialization(operation),
            keras.saving.custom_object_scope(custom_objects),
        ):
            copy = _from_config(
                operation, snapshot, built_copy_of_inner, changes, policy
            )
    except Exception as error:
        if error in refusals:
            # It names the layer inside.
            raise
        raise ValueError(_cannot_be_copied(operation, error)) from error
    snapshot.put_back(copy)
    for inner, held in inner_pairs(operation, copy)[1:]:
        # The configuration may hold the layer itself.
        is_inner = snapshot.original(held) is inner
        other = built_copy_of_inner(inner) if is_inner else shared(inner)
        if other is not None and other is not held:
            # Anew each time: what a replaced model holds is no part any more.
            for _, holder in list(inner_layers(copy)):
                _replace_held(holder, held, other)
    for inner, other in inner_pairs(operation, copy):
        if policy_of and (policy := policy_of(inner)) is not None:
            other.dtype_policy = policy
        # Keras numbers layers without a name through the whole process, and
        # the paths of variables hold these names.
        if not other.built and other.name != inner.name:
            other.name = inner.name
        if type(other) is type(inner):
            carry_early(inner, other, keeps_sizes, copy_of_inner)
    return copy


def _from_config(
    layer: Any,
    snapshot: Snapshot,
    copy_of_inner: Callable[[Any], Any],
    changes: dict[str, Any],
    policy: Any,
) -> Any:
    kind = type(layer)
    if isinstance(layer, keras.layers.Lambda):
        # Its functions are those of a model that is in memory already.
        return kind.from_config(snapshot.layer.get_config(), safe_mode=False)
    if kind.get_config is not keras.layers.Layer.get_config:
        config = {**snapshot.layer.get_config(), **changes}
        return kind.from_config(_with_policy(config, policy))
    try:
        # Keras records arguments that are numbers or strings.
        config = layer.get_config()
    except NotImplementedError:
        config = _arguments(layer, copy_of_inner)
    return _construct(layer, _with_policy(config, policy))


def _with_policy(config: dict[str, Any], policy: Any) -> dict[str, Any]:
    if policy is None or "dtype" not in config:
        return config
    return {**config, "dtype": policy}


def _construct(layer: Any, config: dict[str, Any]) -> Any:
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


def _arguments(
    layer: Any, copy_of_inner: Callable[[Any], Any]
) -> dict[str, Any]:
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
            value = copy_of_inner(value)
        config[name] = value
    return config


def build_as(layer: Any, copy: Any) -> Any:
    """The copy of a layer that is not called yet, with its variables."""
    shapes = layer.get_build_config() if layer.built else None
    if shapes and not copy.built:
        if type(layer).build is not keras.layers.Layer.build:
            copy.build_from_config(shapes)
        elif "input_shape" in shapes:
            # Its layers are built when it is called.
            copy(keras.Input(batch_shape=shapes["input_shape"]))
    return copy


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
        vars(holder)[name] = _replace_in(value, old, new)


def _replace_in(value: Any, old: Any, new: Any) -> Any:
    if value is old:
        return new
    if isinstance(value, dict):
        for key, entry in value.items():
            # TensorFlow wraps lists that it tracks, and these refuse writing.
            if (other := _replace_in(entry, old, new)) is not entry:
                dict.__setitem__(value, key, other)
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            if (other := _replace_in(entry, old, new)) is not entry:
                list.__setitem__(value, position, other)
    elif isinstance(value, tuple) and any(entry is old for entry in value):
        return type(value)([_replace_in(x, old, new) for x in value])
    return value


def _cannot_be_copied(layer: Any, error: Exception) -> str:
    has_config = type(layer).get_config is not keras.layers.Layer.get_config
    remedy = (
        "Its `get_config` must return"
        if has_config
        else ("Give it a `get_config` that returns")
    )
    return (
        f"The layer '{layer.name}' (of type {type(layer).__name__}) cannot be "
        f"copied ({first_sentence_of(error)}). {remedy} the arguments of its "
        "constructor."
    )


def first_sentence_of(error: Exception) -> str:
    """The kind and the cause: Keras shows bytecode and configurations too."""
    # Keras prints the message of an error in a `call` in bold.
    bold = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
    detail = " ".join((bold[1] if bold else str(error)).split())
    detail = detail[:_DETAIL_LENGTH]
    detail = detail.partition(". ")[0].rstrip(".")
    return f"{type(error).__name__}: {detail}"


def _own_classes(layer: Any) -> dict[str, type]:
    """The classes of a user in a layer, which need not be registered."""
    return {
        type(inner).__name__: type(inner)
        for _, inner in inner_layers(layer)
        if not is_from_keras(type(inner))
    }


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
