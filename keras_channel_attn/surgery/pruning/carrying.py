"""Rules for layers that carry each channel on by itself."""

from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.surgery.pruning.making import (
    activated,
)
from keras_channel_attn.surgery.pruning.reading import Channels, Reading
from keras_channel_attn.surgery.pruning.rules import (
    Inputs,
    Outputs,
    carried_ids,
    channel_axis,
    check_function,
    first_channels,
    input_rank,
    locked,
    tie_within,
)

_layers = keras.layers


def depthwise_convolution(
    reading: Reading, call: Call, inputs: Inputs
) -> Outputs:
    layer = call.operation
    axis = channel_axis(layer, input_rank(call))
    ids = carried_ids(reading, call, inputs, axis)
    if ids is None:
        return [None]
    outputs = np.repeat(ids, layer.depth_multiplier)
    reading.cut(call, "kernel", -2, ids, "carriers")
    reading.cut(call, "bias", 0, outputs, "carriers")
    return activated(reading, call, Channels(axis, outputs))


def batch_normalization(
    reading: Reading, call: Call, inputs: Inputs
) -> Outputs:
    axis = call.operation.axis % input_rank(call)
    ids = carried_ids(reading, call, inputs, axis)
    if ids is None:
        return [None]
    for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
        reading.cut(call, weight, 0, ids, "carriers")
    return [Channels(axis, ids)]


def group_normalization(
    reading: Reading, call: Call, inputs: Inputs
) -> Outputs:
    layer = call.operation
    axis = layer.axis % input_rank(call)
    ids = carried_ids(reading, call, inputs, axis)
    if ids is None:
        return [None]
    groups = len(ids) if layer.groups == -1 else layer.groups
    if groups == 1:
        what = "normalizes all channels together"
        return locked(reading, call, inputs, what)
    tie_within(reading, call, groups, ids)
    size = len(ids) // groups
    reading.cut(call, "gamma", 0, ids, "carriers")
    reading.cut(call, "beta", 0, ids, "carriers")
    reading.resize(call, ids, groups=lambda count: count(ids[::size]))
    return [Channels(axis, ids)]


def layer_normalization(
    reading: Reading, call: Call, inputs: Inputs
) -> Outputs:
    return locked(reading, call, inputs, "normalizes all channels together")


def parametric_relu(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    outputs = carried(reading, call, inputs)
    if outputs[0] and call.operation.alpha.shape[outputs[0].axis - 1] > 1:
        axis = outputs[0].axis - 1
        reading.cut(call, "alpha", axis, outputs[0].ids, "carriers")
    return outputs


def carried(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    """Each channel of the output is computed from that of the input alone."""
    channels = carried_channels(reading, call, inputs)
    if channels and (
        len(call.outputs[0].shape) != input_rank(call)
        or call.outputs[0].shape[channels.axis] != len(channels.ids)
    ):
        return locked(reading, call, inputs, "changes the number of channels")
    return [channels]


def clipped(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    bounds = call.operation.x_min, call.operation.x_max
    return _with_numbers(reading, call, inputs, bounds)


def rescaled(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    factors = call.operation.scale, call.operation.offset
    return _with_numbers(reading, call, inputs, factors)


def _with_numbers(
    reading: Reading, call: Call, inputs: Inputs, numbers: Any
) -> Outputs:
    """Like `carried`, if the configuration has one number for all channels."""
    if any(np.ndim(number) for number in numbers):
        return locked(reading, call, inputs, "has a number for each channel")
    return carried(reading, call, inputs)


def padded(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    channels, widths = inputs[0], call.operation.pad_width
    if len(widths) == 1:
        widths = widths * input_rank(call)
    if channels and tuple(widths[channels.axis]) != (0, 0):
        return locked(reading, call, inputs, "pads them")
    return carried(reading, call, inputs)


def carried_channels(
    reading: Reading, call: Call, inputs: Inputs
) -> Channels | None:
    """The channels of the only input, if the layer works along their axis."""
    channels = first_channels(reading, call, inputs)
    if channels is None:
        return None
    axis = channels.axis
    if getattr(call.operation, "data_format", None) is not None:
        axis = channel_axis(call.operation, input_rank(call))
    ids = carried_ids(reading, call, inputs, axis)
    return None if ids is None else channels


def activation(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    outputs = carried(reading, call, inputs)
    if outputs[0]:
        function = call.operation.activation
        check_function(reading, call, outputs[0], function)
    return outputs


def softmax(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    channels, axes = inputs[0], call.operation.axis
    rank = input_rank(call)
    axes = [axes] if isinstance(axes, int) else axes or range(rank)
    if channels and channels.axis in [axis % rank for axis in axes]:
        return locked(reading, call, inputs, "is computed over all channels")
    return carried(reading, call, inputs)


def noise(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    shape = getattr(call.operation, "noise_shape", None)
    channels = inputs[0]
    if channels and shape and shape[channels.axis] not in (None, 1):
        return locked(reading, call, inputs, "has noise of a fixed shape")
    return carried(reading, call, inputs)


def global_pooling(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    channels = carried_channels(reading, call, inputs)
    if channels is None or call.operation.keepdims:
        return [channels]
    return [Channels(1, channels.ids)]


def reduction(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    channels = carried_channels(reading, call, inputs)
    axes, rank = call.operation.axis, input_rank(call)
    if channels is None:
        return [None]
    axes = [axes] if isinstance(axes, int) else axes
    if axes is None:
        return locked(reading, call, inputs, "is computed over all channels")
    axes = [axis % rank for axis in axes]
    if channels.axis in axes or 0 in axes:
        return locked(reading, call, inputs, "is computed over all channels")
    if call.operation.keepdims:
        return [channels]
    before = sum(axis < channels.axis for axis in axes)
    return [Channels(channels.axis - before, channels.ids)]
