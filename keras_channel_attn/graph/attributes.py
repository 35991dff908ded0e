"""The Python attributes of layers, models and variables, carried to a copy.

A copy made from a configuration has none of what was set on the original after
it was made: another activation, `supports_masking`, the regularizer of a built
weight, the tensors at the ends of a backbone's stages.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_channel_attn.graph.keras_internals import (
    attributes_of,
    attributes_of_any_layer,
    attributes_of_any_model,
)
from keras_channel_attn.graph.operations import is_from_keras
from keras_channel_attn.graph.values import (
    MISSING,
    PARTS,
    NoCounterpartError,
    NoParts,
    Parts,
    counterpart,
)
from keras_channel_attn.warnings_to_user import warn

# What can be set on any layer or variable, beside the attributes of its class.
_SETTABLE = (
    *("supports_masking", "input_spec", "activity_regularizer"),
    *("autocast", "supports_jit"),
    *("regularizer", "constraint", "overwrite_with_gradient"),
)
_FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")


def carry_attributes(original: Any, copy: Any, parts: Parts) -> list[str]:
    """Give a copy the attributes that its class or a user has set.

    An attribute that is equal in both stays. Tensors, layers and variables,
    also in containers, become those of the copy.

    Args:
        original: Layer, model or variable.
        copy: Its copy.
        parts: `Parts`.

    Returns:
        List of the names of attributes that refer to the original, and that
        the copy cannot have.
    """
    lost = []
    present = dict(_attributes(copy))
    values = dict(_attributes(original))
    if isinstance(original, keras.Model) and type(copy) is not type(original):
        values |= _properties(original)
    for name, value in values.items():
        current = present.get(name, MISSING)
        if _follows_from_policy(original, copy, value, current):
            continue
        if not parts.keeps_sizes and _follows_from_sizes(value, current):
            continue
        try:
            new = counterpart(value, current, parts)
        except NoCounterpartError:
            lost.append(name)
            continue
        if new is not current:
            _set(copy, name, new)
    return lost


def _set(copy: Any, name: str, value: Any) -> None:
    try:
        setattr(copy, name, value)
    except ValueError as error:
        raise ValueError(
            f"'{copy.name}' (of type {type(copy).__name__}) cannot be copied: "
            f"its attribute `{name}` was set after it was made, and cannot be "
            f"set on the copy ({error}). Make it an argument of the "
            "constructor."
        ) from error


def carry_early(
    layer: Any,
    copy: Any,
    keeps_sizes: bool,
    copy_of_layer: Callable[[Any], Any],
) -> None:
    """Carry attributes before the first call, but after `build` sets its own.

    `build` may depend on them: whether something was made already. A layer is
    carried only where there is no `build` that may have made it.
    """
    build = copy.build

    @functools.wraps(build)
    def build_and_carry(*args: Any, **kwargs: Any) -> None:
        vars(copy)["build"] = build
        build(*args, **kwargs)
        carry_attributes(layer, copy, NoParts(keeps_sizes, None))

    if copy.built:
        carry_attributes(layer, copy, NoParts(keeps_sizes, None))
    elif type(copy).build is keras.layers.Layer.build:
        carry_attributes(layer, copy, NoParts(keeps_sizes, copy_of_layer))
    else:
        vars(copy)["build"] = build_and_carry


def warn_of_lost(original: Any, names: list[str]) -> None:
    """Name the attributes that a copy could not be given."""
    if names:
        kind = "model" if isinstance(original, keras.Model) else "layer"
        warn(
            f"The copy of the {kind} '{original.name}' lacks its attributes "
            f"{names}, which refer to the original. Set them on the copy."
        )


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    """The attributes that are not those of Keras itself."""
    ignored: set[str] = set()
    if isinstance(thing, keras.Model):
        ignored = attributes_of_any_model()
    elif isinstance(thing, keras.layers.Layer):
        ignored = attributes_of_any_layer()
    hides = is_from_keras(type(thing))
    for name, value in attributes_of(thing).items():
        if name not in ignored and not (hides and name.startswith("_")):
            yield name, value
    for name in _SETTABLE:
        value = getattr(thing, name, MISSING)
        if value is not MISSING:
            yield name, value


def _properties(model: Any) -> dict[str, Any]:
    """Attributes that the class shows as properties, which a copy lacks.

    keras-hub's backbones keep `pyramid_outputs` as `_pyramid_outputs`.
    """
    return {
        name: vars(model)[f"_{name}"]
        for kind in type(model).__mro__
        if not is_from_keras(kind)
        for name, value in vars(kind).items()
        if isinstance(value, property) and f"_{name}" in vars(model)
    }


def _follows_from_policy(
    original: Any, copy: Any, value: Any, current: Any
) -> bool:
    """Whether values are dtypes of layers that compute in different ones."""
    policies = [getattr(x, "dtype_policy", None) for x in (original, copy)]
    return policies[0] != policies[1] and all(map(_is_dtype, (value, current)))


def _is_dtype(value: Any) -> bool:
    if isinstance(value, keras.DTypePolicy):
        return True
    return isinstance(value, str) and value in _FLOAT_DTYPES


def _follows_from_sizes(value: Any, current: Any) -> bool:
    """Whether values may differ because the copy has other sizes."""
    return current is not MISSING and not (
        _is_free_of_sizes(value) and _is_free_of_sizes(current)
    )


def _is_free_of_sizes(value: Any) -> bool:
    if isinstance(value, (bool, str, type(None))):
        return True
    # Arrays are initializers too.
    return callable(value) and not isinstance(
        value, (*PARTS, keras.initializers.Initializer)
    )
