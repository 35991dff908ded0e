"""The Python attributes of a model, carried over to its copy.

Libraries hang on a functional model what belongs to it: strides of a backbone,
tensors at the ends of its stages, layers beside the graph.
"""

import dataclasses
import functools
import inspect
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_channel_attn.graph.operations import (
    is_from_keras,
    is_model,
)
from keras_channel_attn.graph.state import ids_of_inner_variables
from keras_channel_attn.graph.tensors import IdentityMap, with_tensors_replaced

# What Keras adds to a model that is compiled and used. A copy is not.
_KERAS_ATTRIBUTES = {
    *("history", "optimizer", "stop_training"),
    *("stop_evaluating", "stop_predicting"),
    *("_compile_config", "_compiled_trainable_state"),
    *("_eval_epoch_iterator", "_functional", "_jax_state", "_modules"),
}
_MISSING = object()
# How far references are followed inside an object of a user.
_DEPTH = 4


@dataclasses.dataclass(frozen=True)
class Translation:
    """From what belongs to a model to what belongs to its copy.

    Attributes:
        tensor: Callable from a symbolic tensor to that of the copy, or `None`.
        variable: Callable from a variable to that of the copy, or `None`.
        layer: Callable from a layer to its copy, or `None`. The second argument
            is the layer that the copy of the model holds already, or `None`.
        belongs: Callable: whether a layer is one of the original.
    """

    tensor: Callable[[Any], Any]
    variable: Callable[[Any], Any]
    layer: Callable[[Any, Any], Any]
    belongs: Callable[[Any], bool]


def carry_attributes(model: Any, copy: Any, translation: Translation) -> None:
    """Give a copy the Python attributes that its class or a user has set.

    Tensors, layers and variables among them become those of the copy. What
    cannot be translated is named in a warning.
    """
    lost = []
    ignored = _attributes_of_keras(isinstance(model, keras.Sequential))
    carried = _attributes(copy)
    values = _attributes(model)
    if type(copy) is not type(model):
        values |= _properties(model)
    for name, value in values.items():
        is_private = name.startswith("_") and is_from_keras(type(model))
        if name in ignored or is_private:
            continue
        current = carried.get(name, _MISSING)
        try:
            new = _translated(value, current, translation)
        except _Untranslatable:
            lost.append(name)
            continue
        if new is not current:
            setattr(copy, name, new)
    lost += _carry_unnamed_variables(model, copy)
    if lost:
        warnings.warn(
            f"The copy of the model '{model.name}' lacks its attributes "
            f"{lost}, which refer to the original. Set them on the copy.",
            stacklevel=5,
        )


def _attributes(model: Any) -> dict[str, Any]:
    # On torch layers are not in the dictionary of an object.
    return {**vars(model), **vars(model).get("_modules", {})}


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


@functools.cache
def _attributes_of_keras(sequential: bool) -> set[str]:
    """Names of the attributes of any model."""
    if sequential:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    else:
        inputs = keras.Input((1,))
        model = keras.Model(inputs, keras.layers.Identity()(inputs))
    return {*_attributes(model), *_KERAS_ATTRIBUTES}


def _carry_unnamed_variables(model: Any, copy: Any) -> list[str]:
    """Carry the model's own variables that are no attributes of it."""
    pairs = _unnamed_variables(model), _unnamed_variables(copy)
    originals, copies = pairs
    shapes = [[tuple(v.shape) for v in variables] for variables in pairs]
    if shapes[0] != shapes[1]:
        return [variable.name for variable in originals]
    for variable, other in zip(originals, copies, strict=True):
        other.assign(keras.ops.copy(variable.value))
    return []


def _unnamed_variables(model: Any) -> list[Any]:
    named = ids_of_inner_variables(model)
    for value in vars(model).values():
        if isinstance(value, keras.Variable):
            named.add(id(value))
        elif isinstance(value, keras.random.SeedGenerator):
            named.add(id(value.state))
    return [v for v in model.variables if id(v) not in named]


class _Untranslatable(Exception):
    """A value that refers to the original and has no counterpart."""


def _translated(value: Any, current: Any, translation: Translation) -> Any:
    """The value for the copy.

    Args:
        value: Value in the original.
        current: That in the copy, `_MISSING` if there is none.
        translation: `Translation`.
    """
    if isinstance(value, (dict, list, tuple)):
        return _translated_container(value, current, translation)
    if isinstance(value, keras.KerasTensor):
        tensor = translation.tensor(value)
        if tensor is None:
            raise _Untranslatable
        return tensor
    if isinstance(value, keras.layers.Layer):
        same_kind = type(current) is type(value)
        layer = translation.layer(value, current if same_kind else None)
        if layer is None:
            raise _Untranslatable
        return layer
    if isinstance(value, keras.Variable):
        return _translated_variable(value, current, translation)
    if isinstance(value, keras.random.SeedGenerator):
        if not isinstance(current, keras.random.SeedGenerator):
            current = type(value).from_config(value.get_config())
        current.state.assign(keras.ops.copy(value.state.value))
        return current
    if isinstance(value, (keras.metrics.Metric, keras.optimizers.Optimizer)):
        if current is _MISSING:
            raise _Untranslatable
        # It starts anew, as in a model that is not compiled.
        return current
    if any(_belongs(x, translation) for x in _reachable(value, _DEPTH)):
        if current is _MISSING:
            raise _Untranslatable
        return current
    return value


def _translated_container(
    value: Any, current: Any, translation: Translation
) -> Any:
    if isinstance(value, dict):
        old = current if isinstance(current, dict) else {}
        translated = {
            key: _translated(entry, old.get(key, _MISSING), translation)
            for key, entry in value.items()
        }
        same = old.keys() == translated.keys() and all(
            old[key] is entry for key, entry in translated.items()
        )
        return current if same and isinstance(current, dict) else translated
    held = list(current) if isinstance(current, (list, tuple)) else []
    held += [_MISSING] * (len(value) - len(held))
    entries = [
        _translated(entry, old, translation)
        for entry, old in zip(value, held, strict=False)
    ]
    if len(held) == len(entries) and all(
        old is entry for old, entry in zip(held, entries, strict=True)
    ):
        return current if isinstance(current, type(value)) else entries
    if isinstance(value, tuple):
        named = hasattr(value, "_fields")
        return type(value)(*entries) if named else tuple(entries)
    return entries


def _translated_variable(
    variable: Any, current: Any, translation: Translation
) -> Any:
    of_layer = translation.variable(variable)
    if of_layer is not None:
        return of_layer
    if isinstance(current, keras.Variable):
        current.assign(keras.ops.copy(variable.value))
        return current
    return keras.Variable(
        keras.ops.copy(variable.value),
        trainable=variable.trainable,
        dtype=variable.dtype,
        name=variable.name,
    )


def _belongs(value: Any, translation: Translation) -> bool:
    """Whether something is a part of the original."""
    if isinstance(value, keras.KerasTensor):
        return translation.tensor(value) is not None
    if isinstance(value, keras.Variable):
        return translation.variable(value) is not None
    return isinstance(value, keras.layers.Layer) and translation.belongs(value)


def _reachable(value: Any, depth: int) -> Iterator[Any]:
    """Layers, tensors and variables that an object refers to."""
    if isinstance(
        value, (keras.layers.Layer, keras.KerasTensor, keras.Variable)
    ):
        yield value
    elif depth:
        for part in _parts(value):
            yield from _reachable(part, depth - 1)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, (type, types.ModuleType, str, bytes)):
        return []
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if inspect.ismethod(value):
        return [value.__self__]
    if inspect.isfunction(value):
        cells = value.__closure__ or ()
        return [c.cell_contents for c in cells if c != types.CellType()]
    return list(getattr(value, "__dict__", {}).values())


def view_of(model: Any, tensors: IdentityMap) -> Any:
    """A model on tensors of the copy, if it is one on those of the original.

    Args:
        model: Layer or model of the original.
        tensors: `IdentityMap` from tensors of the original to the copy's.

    Returns:
        A functional model, or `None`.
    """
    if not is_model(model) or isinstance(model, keras.Sequential):
        return None
    if any(tensor not in tensors for tensor in (*model.inputs, *model.outputs)):
        return None
    inputs, outputs = with_tensors_replaced(
        (model.input, model.output), tensors
    )
    return keras.Model(inputs, outputs, name=model.name)
