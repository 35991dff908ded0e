"""The value of an attribute, as a copy of its owner may have it."""

import collections
import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import keras
import numpy as np

from keras_channel_attn.graph.operations import is_from_keras

# In the place of the value of an attribute that a copy does not have.
MISSING = object()
# The state of training starts anew, as in a model that is not compiled.
_TRAINING = (keras.metrics.Metric, keras.optimizers.Optimizer)
PARTS = (
    *(keras.KerasTensor, keras.Variable, keras.layers.Layer),
    keras.random.SeedGenerator,
)
_PLAIN = (bool, int, float, str, type(None))
# Their objects hold state that a copy must not share.
_BACKENDS = {"tensorflow", "torch", "jax", "jaxlib"}


class Parts(Protocol):
    """What stands in a copy for the parts of a model.

    Attributes:
        keeps_sizes: Boolean, whether no layer of the copy has another size.
    """

    keeps_sizes: bool

    def of(self, part: Any, current: Any) -> Any:
        """The counterpart of a tensor, layer or variable, or `None`."""

    def holds(self, value: Any) -> bool:
        """Whether something is a part of the original."""


class NoParts:
    """Stands for them while a layer is made, when none of them is known.

    Args:
        keeps_sizes: As in `Parts`.
        copy_of_layer: Callable from a layer to a copy. Defaults to `None`: a
            layer that the copy has not made itself is no part of it yet.
    """

    def __init__(
        self, keeps_sizes: bool, copy_of_layer: Callable[[Any], Any] | None
    ) -> None:
        self.keeps_sizes = keeps_sizes
        self._copy_of_layer = copy_of_layer

    def of(self, part: Any, current: Any) -> Any:
        if type(current) is type(part):
            return current
        if self._copy_of_layer and isinstance(part, keras.layers.Layer):
            return self._copy_of_layer(part)
        return None

    def holds(self, value: Any) -> bool:
        return isinstance(value, PARTS)


class NoCounterpartError(Exception):
    """A value refers to the original, and the copy has none in its place."""


def counterpart(value: Any, current: Any, parts: Parts) -> Any:
    """The value for the copy, which has `current` or `MISSING` there."""
    if isinstance(value, (dict, list, tuple)):
        return _container(value, current, parts)
    if isinstance(value, (set, frozenset)):
        entries = {counterpart(entry, entry, parts) for entry in value}
        return current if entries == current else type(value)(entries)
    if inspect.ismethod(value):
        own = getattr(current, "__self__", MISSING)
        owner = counterpart(value.__self__, own, parts)
        new = types.MethodType(value.__func__, owner)
        return current if new == current else new
    if isinstance(value, PARTS):
        found = parts.of(value, None if current is MISSING else current)
        if found is None:
            raise NoCounterpartError
        return found
    if isinstance(value, _TRAINING) or _refers(value, parts):
        if not _is_alike(value, current):
            raise NoCounterpartError
        return current
    return current if _is_equal(value, current) else _copy_if_mutable(value)


def _container(value: Any, current: Any, parts: Parts) -> Any:
    old = dict(_entries(current))
    new = {}
    for key, entry in _entries(value):
        # The keys of a dictionary may be layers.
        place = counterpart(key, key, parts)
        new[place] = counterpart(entry, old.get(place, MISSING), parts)
    is_same = old.keys() == new.keys() and all(
        old[key] is entry for key, entry in new.items()
    )
    if is_same and isinstance(current, type(value)):
        return current
    if isinstance(value, dict):
        # Keras wraps dictionaries of some classes when they are assigned.
        kinds = type(value).__mro__
        kind = next(kind for kind in kinds if not is_from_keras(kind))
        return kind(new)
    if hasattr(value, "_fields"):
        return type(value)(*new.values())
    return tuple(new.values()) if isinstance(value, tuple) else [*new.values()]


def _entries(container: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(container, dict):
        return container.items()
    if isinstance(container, (list, tuple)):
        return enumerate(container)
    return ()


def _refers(value: Any, parts: Parts) -> bool:
    """Whether an object holds a part of the original."""
    if isinstance(value, (type, types.ModuleType)):
        return False
    held = [getattr(value, "__dict__", None)]
    if isinstance(value, functools.partial):
        held += [value.func, value.args, value.keywords]
    if inspect.isfunction(value):
        cells = value.__closure__ or ()
        held += [c.cell_contents for c in cells if c != types.CellType()]
    return any(
        parts.holds(part) or parts.holds(getattr(part, "__self__", None))
        for part in keras.tree.flatten(held)
    )


def _is_alike(value: Any, current: Any) -> bool:
    """Whether the constructors of both layers made these objects."""
    code = getattr(value, "__code__", None)
    return (
        type(value) is type(current)
        and getattr(current, "__code__", None) is code
    )


def _is_equal(value: Any, current: Any) -> bool:
    """Whether the copy has an equal value, as far as can be known."""
    if value is current:
        return True
    if type(value) is not type(current) or inspect.isfunction(value):
        return False
    if _is_array(value):
        return np.array_equal(
            *map(keras.ops.convert_to_numpy, (value, current))
        )
    if isinstance(value, (dict, list, tuple)):
        entries, others = dict(_entries(value)), dict(_entries(current))
        return entries.keys() == others.keys() and all(
            _is_equal(entry, others[key]) for key, entry in entries.items()
        )
    kinds = type(value).__mro__[:-1]
    if any("__eq__" in vars(kind) for kind in kinds):
        return bool(np.all(value == current))
    if (config := _configuration(value)) is not None:
        return _is_equal(config, _configuration(current))
    roots = {kind.__module__.partition(".")[0] for kind in kinds}
    own, others = (getattr(x, "__dict__", {}) for x in (value, current))
    return not roots.isdisjoint(_BACKENDS) or all(
        others.get(name, MISSING) == entry
        for name, entry in own.items()
        if isinstance(entry, _PLAIN) and not name.startswith("_")
    )


def _configuration(value: Any) -> Any:
    """What `get_config` returns, or `None`: classes of a user may lack it."""
    try:
        return value.get_config()
    except (AttributeError, NotImplementedError):
        return None


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or keras.ops.is_tensor(value)


def _copy_if_mutable(value: Any) -> Any:
    """The value, or a copy of one that is often changed in place."""
    if keras.ops.is_tensor(value):
        return keras.ops.copy(value)
    if isinstance(value, (np.ndarray, bytearray, collections.deque)):
        return value.copy()
    return value
