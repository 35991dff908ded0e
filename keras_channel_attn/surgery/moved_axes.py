"""Operations that only move axes, or take a part, as normal operations."""

import itertools
from typing import Any

import keras

from keras_channel_attn.graph import Call
from keras_channel_attn.graph.keras_internals import argument
from keras_channel_attn.surgery.normal_nodes import (
    Dimension,
    Layout,
    Value,
    made,
    size_of,
)


def regrouped(call: Call, x: Value) -> Value | None:
    """The numbers in the same order, in another shape."""
    layout = x.layout
    if getattr(call.operation, "data_format", None) == "channels_first":
        # `Flatten` moves the channels to the end.
        layout = (x.layout[0], *x.layout[2:], *x.layout[1:2])
    new = _regroup(layout, tuple(call.outputs[0].shape))
    return None if new is None else Value(x.node, new)


def _regroup(layout: Layout, shape: tuple[int | None, ...]) -> Layout | None:
    if not shape or size_of(layout[0]) != shape[0]:
        return None
    pairs = [pair for pair in sum(layout[1:], ()) if pair[1] != 1]
    sizes = list(shape[1:])
    last = _stripped(pairs, sizes)
    pairs.reverse()
    sizes.reverse()
    first = [dimension[::-1] for dimension in _stripped(pairs, sizes)]
    pairs.reverse()
    sizes.reverse()
    # Unknown sizes are left: one of all that is left, or each of one axis.
    wide = [size for size in sizes if size != 1]
    groups = [tuple(pairs)]
    if [size for _, size in pairs] == wide:
        groups = [(pair,) for pair in pairs]
    if len(groups) != len(wide):
        return None
    between = [() if size == 1 else groups.pop(0) for size in sizes]
    return (layout[0], *first, *between, *last[::-1])


def _stripped(pairs: list[Any], sizes: list[int | None]) -> list[Dimension]:
    """Take dimensions of known sizes from the ends of two lists."""
    found: list[Dimension] = []
    while sizes and sizes[-1] is not None:
        count, product = 0, 1
        while product < sizes[-1] and count < len(pairs):
            count += 1
            product *= pairs[-count][1] or sizes[-1] + 1
        if product != sizes[-1]:
            break
        found.append(tuple(pairs[len(pairs) - count :]))
        del pairs[len(pairs) - count :], sizes[-1]
    return found


def permuted(call: Call, x: Value) -> Value:
    # Sizes that tell where an axis went.
    sized = keras.KerasTensor(tuple(range(len(x.layout))))
    moved = call.operation.compute_output_spec(sized)
    return Value(x.node, tuple(x.layout[axis] for axis in moved.shape))


def indexed(call: Call, x: Value) -> Value | None:
    """New axes, or one part of a concatenation."""
    key = call.kwargs.get("key", call.args[-1] if len(call.args) > 1 else None)
    keys = list(key) if isinstance(key, (tuple, list)) else [key]
    whole = slice(None)
    known = (slice, int, type(None), type(Ellipsis))
    if not all(isinstance(entry, known) for entry in keys):
        return None
    if all(entry in (None, Ellipsis, whole) for entry in keys):
        return regrouped(call, x)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [whole] * (len(x.layout) - len(keys) + 1)
    cuts = [i for i, entry in enumerate(keys) if entry != whole]
    if len(cuts) != 1 or not isinstance(keys[cuts[0]], slice):
        return None
    size = size_of(x.layout[cuts[0]])
    if size is None or keys[cuts[0]].step not in (None, 1):
        return None
    start, stop, _ = keys[cuts[0]].indices(size)
    return _part(call, x, cuts[0], start, stop)


def split(call: Call, x: Value) -> list[Value] | None:
    axis = argument(call.operation, "axis") % len(x.layout)
    sizes = [tensor.shape[axis] for tensor in call.outputs]
    if None in sizes:
        return None
    parts = [
        _part(call, x, axis, start, stop)
        for start, stop in itertools.pairwise(
            itertools.accumulate(sizes, initial=0)
        )
    ]
    return None if None in parts else parts  # type: ignore[return-value]


def _part(
    call: Call, x: Value, axis: int, start: int, stop: int
) -> Value | None:
    if len(x.layout[axis]) != 1:
        return None
    offset = 0
    for position, (size, dimension) in enumerate(x.layout[axis][0][0].parts):
        if (start, stop) == (offset, offset + size):
            layout = (*x.layout[:axis], dimension, *x.layout[axis + 1 :])
            return made("part", call, [x], layout, position=position)
        offset += size
    return None
