"""Rules for operations that join, split or move the channels of tensors.

The form of a rule is that of `producers`.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.pruning.coupling import FIXED, Channels, Coupling
from keras_channel_attn.pruning.passthrough import (
    Inputs,
    Outputs,
    Rule,
    first_channels,
    input_rank,
    pass_channels,
)

Shape = tuple[int | None, ...]


def combination(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    """Elementwise, of several tensors: channels that meet are coupled."""
    operands = _operands(call, inputs)
    # Shapes are aligned at their ends.
    axes = {len(shape) - x.axis for shape, x in operands if x}
    if not axes:
        return [None]
    if len(axes) > 1:
        return _lock_axes(coupling, call, inputs)
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
    coupling.use(call, "passthrough", first)
    for ids in others:
        reason = f"'{call.path}' combines them with channels that stay"
        coupling.couple(first, ids, reason)
    if (first == FIXED).all():
        return [None]
    return [Channels(rank - from_end, first)]


def _operands(
    call: Call, inputs: Inputs
) -> list[tuple[Shape, Channels | None]]:
    """The shape of each argument, with its channels."""
    waiting = list(inputs)
    return [
        (
            tuple(getattr(leaf, "shape", ())),
            waiting.pop(0) if isinstance(leaf, keras.KerasTensor) else None,
        )
        for leaf in keras.tree.flatten((call.args, call.kwargs))
    ]


def _lock_axes(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    what = "combines tensors with different channel axes"
    return coupling.lock_inputs(call, inputs, what)


def concatenation(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    axis = call.operation.axis % input_rank(call)
    axes = {channels.axis for channels in inputs if channels}
    if not axes:
        return [None]
    if axes != {axis}:
        if len(axes) > 1 or axis in axes:
            return _lock_axes(coupling, call, inputs)
        return combination(coupling, call, inputs)
    if len(inputs) != len(_operands(call, inputs)):
        return coupling.lock_inputs(call, inputs, "takes an array")
    ids = np.concatenate(
        [
            channels.ids if channels else np.full(tensor.shape[axis], FIXED)
            for channels, tensor in zip(inputs, call.inputs, strict=True)
        ]
    )
    coupling.use(call, "passthrough", ids)
    return [Channels(axis, ids)]


def split(entry: str) -> Rule:
    """The rule for an operation whose `entry` has the ends of the parts."""

    def rule(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
        channels = first_channels(coupling, call, inputs)
        axis = call.operation.axis % input_rank(call)
        if channels is None:
            return [None] * len(call.outputs)
        if channels.axis != axis:
            coupling.use(call, "passthrough", channels.ids)
            return [channels] * len(call.outputs)
        ends = np.cumsum([tensor.shape[axis] for tensor in call.outputs])

        def config(kept: Any) -> dict[str, Any]:
            left = np.cumsum(kept)
            return {entry: tuple(int(left[end - 1]) for end in ends[:-1])}

        coupling.use(call, "passthrough", channels.ids, config=config)
        parts = np.split(channels.ids, ends[:-1])
        for part in parts:
            coupling.use(call, "passthrough", part)
        return [Channels(axis, part) for part in parts]

    return rule


def indexing(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    """Slices and indices along other axes than that of the channels."""
    channels = first_channels(coupling, call, inputs)
    if channels is None:
        return [None]
    key = call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    entries = _entry_for_each_axis(key, input_rank(call))
    if entries is None:
        what = "has an index that is more than integers and slices"
        return coupling.lock_inputs(call, inputs, what)
    size, entry = len(channels.ids), entries[channels.axis]
    if isinstance(entry, int) or entry.indices(size) != (0, size, 1):
        what = "takes some of the channels"
        return coupling.lock_inputs(call, inputs, what)
    coupling.use(call, "passthrough", channels.ids)
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


def permutation(new_axes: Callable[[Any], Any]) -> Rule:
    """The rule for an operation that permutes axes.

    Args:
        new_axes: Callable from the operation to the axis of the input for each
            axis of the output, or `None` if their order is reversed.
    """

    def rule(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
        channels = pass_channels(coupling, call, inputs)
        if channels is None:
            return [None]
        rank = input_rank(call)
        axes = new_axes(call.operation) or range(rank)[::-1]
        axis = [axis % rank for axis in axes].index(channels.axis)
        return [Channels(axis, channels.ids)]

    return rule


def flattening(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    """With the channels first, they are moved behind the spatial axes."""
    rank, channels = input_rank(call), inputs[0]
    before = tuple(call.inputs[0].shape)
    if channels and call.operation.data_format == "channels_first":
        before = (before[0], *before[2:], before[1])
        axis = rank - 1 if channels.axis == 1 else channels.axis - 1
        inputs = [Channels(axis, channels.ids), *inputs[1:]]
    return _reshape(coupling, call, inputs, before)


def reshaping(entry: str | None = None, offset: int = 0) -> Rule:
    """The rule for an operation that changes the shape of a tensor.

    Args:
        entry: String, the entry of the configuration that has the new shape.
            Defaults to `None`: there is none.
        offset: Integer, the first axis in this shape. Defaults to 0.
    """

    def rule(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
        outputs = _reshape(coupling, call, inputs, tuple(call.inputs[0].shape))
        if entry and outputs[0]:
            shape = list(getattr(call.operation, entry))
            position = outputs[0].axis - offset

            def config(kept: Any) -> dict[str, Any]:
                size = shape[position]
                size = -1 if size == -1 else int(kept.sum())
                new = (*shape[:position], size, *shape[position + 1 :])
                return {entry: new}

            coupling.use(call, "passthrough", outputs[0].ids, config=config)
        return outputs

    return rule


def squeezing(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    before = tuple(call.inputs[0].shape)
    outputs = _reshape(coupling, call, inputs, before)
    if outputs[0] and call.operation.axis is None:
        # The channels are not to be squeezed when one of them is left.
        ones = tuple(axis for axis, size in enumerate(before) if size == 1)
        coupling.use(
            call,
            "passthrough",
            outputs[0].ids,
            config=lambda kept: {"axis": ones},
        )
    return outputs


def _reshape(
    coupling: Coupling, call: Call, inputs: Inputs, before: Shape
) -> Outputs:
    channels = first_channels(coupling, call, inputs)
    if channels is None:
        return [None]
    found = _channels_after_reshape(
        channels, before, tuple(call.outputs[0].shape)
    )
    if found is None:
        what = "mixes channels with other axes"
        return coupling.lock_inputs(call, inputs, what)
    coupling.use(call, "passthrough", channels.ids)
    return [found]


def _channels_after_reshape(
    channels: Channels, before: Shape, after: Shape
) -> Channels | None:
    """Where the channels of a tensor are after its reshape.

    An axis of the result has the channels if it begins and ends where axes of
    the tensor do: it may have absorbed whole axes beside theirs. With sizes
    (2, 3, 4) and the channels along the second one, an axis of 6 in (6, 4) has
    them twice, one after the other, and an axis of 12 in (2, 12) has each of
    them four times.
    """
    position, size = channels.axis, len(channels.ids)
    if (
        position == 0
        or before[0] != after[0]
        or _product(before[1:]) != _product(after[1:])
    ):
        return None
    # The axis of the same size first: an axis of one position fits anywhere.
    axes = sorted(
        range(1, len(after)), key=lambda axis: (after[axis] == size, axis)
    )
    for axis in axes[::-1]:
        # How often each channel is repeated, and all of them are. Products of
        # the axes behind, or if these are unknown, of those in front, tell one
        # of the two numbers; the size of the axis tells the other.
        repeats = _quotient(
            _product(before[position + 1 :]), _product(after[axis + 1 :])
        )
        if repeats:
            tiles = _quotient(after[axis], size * repeats)
        else:
            tiles = _quotient(
                _product(before[1:position]), _product(after[1:axis])
            )
            repeats = _quotient(after[axis], size * (tiles or 0))
        if repeats and tiles:
            ids = np.tile(np.repeat(channels.ids, repeats), tiles)
            return Channels(axis, ids)
    return None


def _product(sizes: Shape) -> int | None:
    """The product of sizes, `None` if one of them is unknown."""
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None


def _quotient(whole: int | None, part: int | None) -> int | None:
    """A number divided by another, `None` if unknown or with a remainder."""
    if not whole or not part or whole % part:
        return None
    return whole // part
