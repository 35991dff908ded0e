"""The Python attributes of a model, carried over to its copy.

Libraries set attributes of functional models: the strides of a backbone, the
tensors at the ends of its stages, layers that are not in the graph.
"""

import functools
import inspect
import types
from collections.abc import Iterable
from typing import Any

import keras

from keras_channel_attn.graph.counterparts import Counterparts
from keras_channel_attn.graph.keras_internals import (
    attributes_of,
    attributes_of_any_model,
)
from keras_channel_attn.graph.layer_copies import copy_of_variable
from keras_channel_attn.graph.operations import is_from_keras
from keras_channel_attn.graph.state import ids_of_inner_variables
from keras_channel_attn.warnings_to_user import warn

_MISSING = object()


def carry_attributes(model: Any, copy: Any, counterparts: Counterparts) -> None:
    """Give a copy the Python attributes that its class or a user has set.

    Tensors, layers and variables among them, also in lists, tuples and
    dictionaries, become those of the copy. Other objects that hold a part of
    the original are named in a warning.
    """
    lost = []
    ignored = attributes_of_any_model()
    present = attributes_of(copy)
    values = attributes_of(model)
    if type(copy) is not type(model):
        values |= _properties(model)
    for name, value in values.items():
        is_private = name.startswith("_") and is_from_keras(type(model))
        if name in ignored or is_private:
            continue
        current = present.get(name, _MISSING)
        try:
            new = _counterpart(value, current, counterparts)
        except _NoCounterpartError:
            lost.append(name)
            continue
        if new is not current:
            setattr(copy, name, new)
    lost += _carry_unnamed_variables(model, copy)
    if lost:
        warn(
            f"The copy of the model '{model.name}' lacks its attributes "
            f"{lost}, which refer to the original. Set them on the copy."
        )


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
    # The variable of a `SeedGenerator` is its state.
    named = {id(getattr(x, "state", x)) for x in vars(model).values()}
    named |= ids_of_inner_variables(model)
    return [v for v in model.variables if id(v) not in named]


class _NoCounterpartError(Exception):
    """A value refers to the original, and the copy has none in its place."""


def _counterpart(value: Any, current: Any, counterparts: Counterparts) -> Any:
    """The value for the copy, which has `current` or `_MISSING` there."""
    if isinstance(value, (dict, list, tuple)):
        return _container(value, current, counterparts)
    if isinstance(value, keras.Variable):
        return _variable(value, current, counterparts)
    if isinstance(value, keras.random.SeedGenerator):
        if not isinstance(current, keras.random.SeedGenerator):
            current = type(value).from_config(value.get_config())
        current.state.assign(keras.ops.copy(value.state.value))
        return current
    if isinstance(value, keras.KerasTensor):
        found = counterparts.tensors.get(value)
    elif isinstance(value, keras.layers.Layer):
        same_kind = type(current) is type(value)
        found = counterparts.layer(value, current if same_kind else None)
    elif _is_of_original(value, counterparts):
        found = None if current is _MISSING else current
    else:
        return value
    if found is None:
        raise _NoCounterpartError
    return found


def _container(value: Any, current: Any, counterparts: Counterparts) -> Any:
    old = dict(_entries(current))
    new = {
        key: _counterpart(entry, old.get(key, _MISSING), counterparts)
        for key, entry in _entries(value)
    }
    is_same = old.keys() == new.keys() and all(
        old[key] is entry for key, entry in new.items()
    )
    if is_same and isinstance(current, type(value)):
        return current
    if isinstance(value, dict):
        return new
    if hasattr(value, "_fields"):
        return type(value)(*new.values())
    return tuple(new.values()) if isinstance(value, tuple) else [*new.values()]


def _entries(container: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(container, dict):
        return container.items()
    if isinstance(container, (list, tuple)):
        return enumerate(container)
    return ()


def _variable(variable: Any, current: Any, counterparts: Counterparts) -> Any:
    of_layer = counterparts.variables.get(variable)
    if of_layer is not None:
        return of_layer
    if isinstance(current, keras.Variable):
        current.assign(keras.ops.copy(variable.value))
        return current
    return copy_of_variable(variable)


def _is_of_original(value: Any, counterparts: Counterparts) -> bool:
    """Whether an object is a state of training or holds a part of the model.

    Metrics and optimizers start anew, as in a model that is not compiled.
    """
    if isinstance(value, (keras.metrics.Metric, keras.optimizers.Optimizer)):
        return True
    if isinstance(value, (type, types.ModuleType)):
        return False
    parts = [getattr(value, "__self__", None), getattr(value, "__dict__", None)]
    if isinstance(value, functools.partial):
        parts += [value.func, value.args, value.keywords]
    if inspect.isfunction(value):
        cells = value.__closure__ or ()
        parts += [c.cell_contents for c in cells if c != types.CellType()]
    return any(map(counterparts.holds, keras.tree.flatten(parts)))
