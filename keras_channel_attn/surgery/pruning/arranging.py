"""Rules for layers that combine, cut or move the channels of tensors."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.surgery.pruning.carrying import (
    carried_channels,
)
from keras_channel_attn.surgery.pruning.reading import Channels, Reading
from keras_channel_attn.surgery.pruning.rules import (
    Inputs,
    Outputs,
    first_channels,
    input_rank,
    locked,
)
from keras_channel_attn.surgery.pruning.ties import FIXED

_layers = keras.layers


def combined(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    """Elementwise, of several tensors: channels that meet are tied."""
    operands = _operands(call, inputs)
    # Shapes are aligned at their ends.
    axes = {len(shape) - x.axis for shape, x in operands if x}
    if not axes:
        return [None]
    if len(axes) > 1:
        what = "combines tensors with different channel axes"
        return locked(reading, call, inputs, what)
    from_end = axes.pop()
    rank = len(call.outputs[0].shape)
    size = call.outputs[0].shape[rank - from_end]
    meeting = [
        x.ids if x else np.full(size, FIXED)
        for shape, x in operands
        # One position is broadcast along all channels.
        if len(shape) >= from_end and shape[len(shape) - from_end] == size
    ]
    first, *others = sorted(meeting, key=lambda ids: ids[0] == FIXED)
    reading.note("carriers", call, first)
    what = "combines them with channels that stay"
    for ids in others:
        reading.ties.tie(first, ids, f"'{call.path}' {what}")
    if (first == FIXED).all():
        return [None]
    return [Channels(rank - from_end, first)]


def _operands(
    call: Call, inputs: Inputs
) -> list[tuple[tuple[int | None, ...], Channels | None]]:
    """The shape of each argument, with its channels."""
    waiting = list(inputs)
    return [
        (
            tuple(getattr(leaf, "shape", ())),
            waiting.pop(0) if isinstance(leaf, keras.KerasTensor) else None,
        )
        for leaf in keras.tree.flatten((call.args, call.kwargs))
    ]


def concatenated(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    axis = call.operation.axis % input_rank(call)
    axes = {channels.axis for channels in inputs if channels}
    if not axes:
        return [None]
    if axes != {axis}:
        if len(axes) > 1 or axis in axes:
            what = "combines tensors with different channel axes"
            return locked(reading, call, inputs, what)
        return combined(reading, call, inputs)
    if len(inputs) != len(_operands(call, inputs)):
        return locked(reading, call, inputs, "takes an array")
    ids = np.concatenate(
        [
            channels.ids if channels else np.full(tensor.shape[axis], FIXED)
            for channels, tensor in zip(inputs, call.inputs, strict=True)
        ]
    )
    reading.note("carriers", call, ids)
    return [Channels(axis, ids)]


def split(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    channels = first_channels(reading, call, inputs)
    axis = call.operation.axis % input_rank(call)
    if channels is None:
        return [None] * len(call.outputs)
    reading.note("carriers", call, channels.ids)
    if channels.axis != axis:
        return [channels] * len(call.outputs)
    sizes = [tensor.shape[axis] for tensor in call.outputs]
    parts = np.split(channels.ids, np.cumsum(sizes)[:-1])
    reading.resize(
        call,
        channels.ids,
        indices_or_sections=lambda count: tuple(
            int(end) for end in np.cumsum([count(part) for part in parts])[:-1]
        ),
    )
    return [Channels(axis, part) for part in parts]


def indexed(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    """Slices and indices along other axes than that of the channels."""
    channels = first_channels(reading, call, inputs)
    if channels is None:
        return [None]
    key = call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    entries = _entry_for_each_axis(key, input_rank(call))
    if entries is None:
        return locked(reading, call, inputs)
    size, entry = len(channels.ids), entries[channels.axis]
    if isinstance(entry, int) or entry.indices(size) != (0, size, 1):
        return locked(reading, call, inputs, "takes some of the channels")
    reading.note("carriers", call, channels.ids)
    dropped = sum(isinstance(x, int) for x in entries[: channels.axis])
    return [Channels(channels.axis - dropped, channels.ids)]


def _entry_for_each_axis(key: Any, rank: int) -> list[Any] | None:
    """The slices and integers of an index, `None` if it has anything else."""
    entries = [*key] if isinstance(key, (tuple, list)) else [key]
    if not any(entry is Ellipsis for entry in entries):
        entries.append(Ellipsis)
    known = (int, slice, type(Ellipsis))
    if not all(isinstance(entry, known) for entry in entries):
        return None
    place = entries.index(Ellipsis)
    whole = [slice(None)] * (rank - len(entries) + 1)
    return [*entries[:place], *whole, *entries[place + 1 :]]


def permuted(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    channels = carried_channels(reading, call, inputs)
    if channels is None:
        return [None]
    return [Channels(_new_axes(call).index(channels.axis), channels.ids)]


def _new_axes(call: Call) -> list[int]:
    """For each axis of the output of a permutation, that of the input."""
    operation, rank = call.operation, input_rank(call)
    if isinstance(operation, _layers.Permute):
        return [0, *operation.dims]
    if operation.axes is None:
        return list(range(rank))[::-1]
    return [axis % rank for axis in operation.axes]


def reshaped(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    channels = first_channels(reading, call, inputs)
    if channels is None:
        return [None]
    found = _channels_after_reshape(call, channels)
    if found is None:
        what = "mixes channels with other axes"
        return locked(reading, call, inputs, what)
    reading.note("carriers", call, channels.ids)
    if _kind(call.operation) == "Squeeze" and call.operation.axis is None:
        # The channels are not to be squeezed when one of them is left.
        ones = [axis for axis, n in enumerate(call.inputs[0].shape) if n == 1]
        reading.resize(call, found.ids, axis=lambda count: tuple(ones))
    name, position = {
        "Reshape": ("newshape", found.axis),
        "ReshapeLayer": ("target_shape", found.axis - 1),
    }.get(_kind(call.operation), (None, 0))
    if name:
        shape = list(getattr(call.operation, name))

        def new_shape(count: Any) -> tuple[Any, ...]:
            size = shape[position]
            size = -1 if size == -1 else count(found.ids)
            return (*shape[:position], size, *shape[position + 1 :])

        reading.resize(call, found.ids, **{name: new_shape})
    return [found]


def _kind(operation: Any) -> str:
    is_layer = isinstance(operation, _layers.Layer)
    return type(operation).__name__ + ("Layer" if is_layer else "")


def _channels_after_reshape(call: Call, channels: Channels) -> Channels | None:
    """Where the channels of a tensor are after its reshape."""
    before, after = call.inputs[0].shape, call.outputs[0].shape
    if (
        channels.axis == 0
        or before[0] != after[0]
        or list(after).count(None) > 2
    ):
        return None
    # Some sizes fit by chance: what holds for any must hold for both of these.
    first, second = (
        _reshaped_with(call, channels, iter(unknown))
        for unknown in ([2, 3, 5, 7, 11], [13, 17, 19, 23, 29])
    )
    if (
        first is None
        or second is None
        or first.axis != second.axis
        or not np.array_equal(first.ids, second.ids)
    ):
        return None
    return first


def _reshaped_with(
    call: Call, channels: Channels, unknown: Iterator[int]
) -> Channels | None:
    """Where the channels are, with numbers for the unknown sizes."""
    before, after = call.inputs[0].shape, call.outputs[0].shape
    sizes = [next(unknown) if x is None else x for x in before[1:]]
    shape = [1] * len(sizes)
    shape[channels.axis - 1] = -1
    ids = np.broadcast_to(channels.ids.reshape(shape), sizes)
    if (
        isinstance(call.operation, _layers.Flatten)
        and call.operation.data_format == "channels_first"
    ):
        ids = np.moveaxis(ids, 0, -1)
    try:
        ids = ids.reshape([-1 if x is None else x for x in after[1:]])
    except ValueError:
        return None
    # The axis of the same size first, then the last one: where an axis has one
    # position, the channels fit to others as well.
    axes = sorted(
        range(ids.ndim),
        key=lambda axis: (ids.shape[axis] == len(channels.ids), axis),
    )
    for axis in axes[::-1]:
        lines = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
        if after[axis + 1] is not None and (lines == lines[:, :1]).all():
            return Channels(axis + 1, lines[:, 0])
    return None
