"""Rules for operations that join, split or move the channels of tensors."""

import math
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph.keras_internals import argument
from keras_channel_attn.pruning.coupling import (
    FIXED,
    Channels,
    NotFollowed,
    Step,
    TensorChannels,
    ids_along,
)
from keras_channel_attn.pruning.passthrough import Rule, pass_channels

Shape = tuple[int | None, ...]


def combination(step: Step) -> TensorChannels:
    """Elementwise, of several tensors: channels that meet are coupled."""
    operands = _operands(step)
    # Shapes are aligned at their ends.
    axes = {len(shape) - x.axis for shape, x in operands if x}
    if not axes:
        return [None]
    if len(axes) > 1:
        raise NotFollowed("combines tensors with different channel axes")
    from_end = axes.pop()
    output = step.call.outputs[0].shape
    size = output[len(output) - from_end]
    meeting = [
        ids_along(x, size)
        for shape, x in operands
        # One position is broadcast along all channels.
        if len(shape) >= from_end and shape[len(shape) - from_end] == size
    ]
    first, *others = sorted(meeting, key=lambda ids: ids[0] == FIXED)
    step.use("passthrough", first)
    for ids in others:
        reason = f"'{step.call.path}' combines them with channels that stay"
        step.coupling.couple(first, ids, reason)
    if (first == FIXED).all():
        return [None]
    return [Channels(len(output) - from_end, first)]


def _operands(step: Step) -> list[tuple[Shape, Channels | None]]:
    """The shape of each argument, with its channels."""
    waiting = list(step.inputs)
    return [
        (
            tuple(getattr(leaf, "shape", ())),
            waiting.pop(0) if isinstance(leaf, keras.KerasTensor) else None,
        )
        for leaf in keras.tree.flatten((step.call.args, step.call.kwargs))
    ]


def concatenation(step: Step) -> TensorChannels:
    axis = step.operation.axis % step.rank
    axes = {channels.axis for channels in step.inputs if channels}
    if axis not in axes:
        return combination(step)
    if len(axes) > 1:
        raise NotFollowed("combines tensors with different channel axes")
    if len(step.inputs) != len(_operands(step)):
        raise NotFollowed("takes an array")
    sizes = [tensor.shape[axis] for tensor in step.call.inputs]
    ids = np.concatenate(list(map(ids_along, step.inputs, sizes)))
    step.use("passthrough", ids)
    return [Channels(axis, ids)]


def split(step: Step) -> TensorChannels:
    channels, outputs = step.first_channels(), step.call.outputs
    axis = step.operation.axis % step.rank
    if channels.axis != axis:
        step.use("passthrough", channels.ids)
        return [channels] * len(outputs)
    ends = np.cumsum([tensor.shape[axis] for tensor in outputs])

    def config(kept: Any) -> dict[str, Any]:
        new_ends = np.cumsum([0, *kept])[ends[:-1]]
        return {"indices_or_sections": tuple(map(int, new_ends))}

    step.use("passthrough", channels.ids, config=config)
    parts = np.split(channels.ids, ends[:-1])
    for part in parts:
        step.use("passthrough", part)
    return [Channels(axis, part) for part in parts]


def indexing(step: Step) -> TensorChannels:
    """Slices and indices along other axes than that of the channels."""
    channels = step.first_channels()
    positional = step.call.args[1:]
    key = positional[0] if positional else step.call.kwargs["key"]
    entries = _entry_for_each_axis(key, step.rank)
    size, entry = len(channels.ids), entries[channels.axis]
    if isinstance(entry, int) or entry.indices(size) != (0, size, 1):
        raise NotFollowed("takes some of the channels")
    step.use("passthrough", channels.ids)
    dropped = sum(isinstance(x, int) for x in entries[: channels.axis])
    return [Channels(channels.axis - dropped, channels.ids)]


def _entry_for_each_axis(key: Any, rank: int) -> list[Any]:
    """The slices and integers of an index."""
    entries = [*key] if isinstance(key, (tuple, list)) else [key]
    if not any(entry is Ellipsis for entry in entries):
        entries.append(Ellipsis)
    known = (int, slice, type(Ellipsis))
    if not all(isinstance(entry, known) for entry in entries):
        raise NotFollowed("has an index that is more than integers and slices")
    place = entries.index(Ellipsis)
    whole = [slice(None)] * (rank - len(entries) + 1)
    return [*entries[:place], *whole, *entries[place + 1 :]]


def permutation(step: Step) -> TensorChannels:
    channels = pass_channels(step)
    # Sizes that tell where an axis goes.
    sized = keras.KerasTensor(tuple(range(step.rank)))
    moved = step.operation.compute_output_spec(sized)
    return [Channels(moved.shape.index(channels.axis), channels.ids)]


def reshaping(entry: str | None = None, offset: int = 0) -> Rule:
    """The rule for an operation that changes the shape of a tensor.

    Its configuration may have the new shape as `entry`, which begins with the
    axis `offset`.
    """

    def rule(step: Step) -> TensorChannels:
        channels = _reshape(step)
        if entry:
            shape = list(argument(step.operation, entry))
            position = channels.axis - offset

            def config(kept: Any) -> dict[str, Any]:
                size = int(kept.sum())
                return {
                    entry: (*shape[:position], size, *shape[position + 1 :])
                }

            # A size of -1 is any.
            if shape[position] != -1:
                step.use("passthrough", channels.ids, config=config)
        return [channels]

    return rule


def squeezing(step: Step) -> TensorChannels:
    channels, before = _reshape(step), step.call.inputs[0].shape
    if step.operation.axis is None:
        # The channels are not to be squeezed when one of them is left.
        ones = tuple(axis for axis, size in enumerate(before) if size == 1)
        step.use("passthrough", channels.ids, config=lambda _: {"axis": ones})
    return [channels]


def _reshape(step: Step) -> Channels:
    channels, before = step.first_channels(), tuple(step.call.inputs[0].shape)
    if getattr(step.operation, "data_format", None) == "channels_first":
        # `Flatten` moves the channels behind the spatial axes.
        before = (before[0], *before[2:], before[1])
        axis = channels.axis - 1 or step.rank - 1
        channels = Channels(axis, channels.ids)
    after = tuple(step.call.outputs[0].shape)
    found = channels_after_reshape(channels, before, after)
    if found is None:
        raise NotFollowed("mixes channels with other axes")
    step.use("passthrough", channels.ids)
    return found


def channels_after_reshape(
    channels: Channels, before: Shape, after: Shape
) -> Channels | None:
    """Where the channels of a tensor are after its reshape.

    An axis of the result has the channels if it is made of theirs and of whole
    axes beside it. For the shape (2, 3, 4) without the batch axis and channels
    along the axis of 3: in (6, 4), the axis of 6 has them twice, one after the
    other; in (2, 12), the axis of 12 has each of them four times. In (8, 3) no
    axis has them.

    Args:
        channels: `Channels` of the tensor.
        before: Shape of the tensor, with the batch axis.
        after: Shape of the result, with the batch axis.

    Returns:
        `Channels` of the result, or `None` if channels are mixed with others,
        or if that depends on unknown sizes.
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
        # `repeats`: how often each channel is repeated, `tiles`: how often all
        # of them are. One of the two is a quotient of sizes behind the axes, or
        # in front of them if sizes behind are unknown. The size of the axis
        # determines the other.
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
