"""Rules for layers that make channels: convolutions and dense maps."""

from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.surgery.pruning.reading import Channels, Reading
from keras_channel_attn.surgery.pruning.rules import (
    Inputs,
    Outputs,
    channel_axis,
    check_function,
    first_channels,
    input_rank,
    tie_within,
)

_layers = keras.layers


def convolution(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    layer = call.operation
    axis = channel_axis(layer, input_rank(call))
    read = _read_channels(reading, call, inputs, axis)
    made = reading.made(call, layer.filters)
    if layer.groups == 1:
        reading.cut(call, "kernel", -2, read, "readers")
        reading.resize(call, made, filters=lambda count: count(made))
    else:
        size = layer.filters // layer.groups
        tie_within(reading, call, layer.groups, read, made)
        reading.resize(
            call,
            made,
            filters=lambda count: count(made),
            groups=lambda count: count(made[::size]),
        )
    reading.cut(call, "kernel", -1, made, "makers")
    reading.cut(call, "bias", 0, made, "makers")
    return activated(reading, call, Channels(axis, made))


def transposed_convolution(
    reading: Reading, call: Call, inputs: Inputs
) -> Outputs:
    layer = call.operation
    axis = channel_axis(layer, input_rank(call))
    read = _read_channels(reading, call, inputs, axis)
    made = reading.made(call, layer.filters)
    reading.cut(call, "kernel", -1, read, "readers")
    reading.cut(call, "kernel", -2, made, "makers")
    reading.cut(call, "bias", 0, made, "makers")
    reading.resize(call, made, filters=lambda count: count(made))
    return activated(reading, call, Channels(axis, made))


def separable_convolution(
    reading: Reading, call: Call, inputs: Inputs
) -> Outputs:
    layer = call.operation
    axis = channel_axis(layer, input_rank(call))
    read = _read_channels(reading, call, inputs, axis)
    made = reading.made(call, layer.filters)
    between = np.repeat(read, layer.depth_multiplier)
    reading.cut(call, "depthwise_kernel", -2, read, "readers")
    reading.cut(call, "pointwise_kernel", -2, between, "readers")
    reading.cut(call, "pointwise_kernel", -1, made, "makers")
    reading.cut(call, "bias", 0, made, "makers")
    reading.resize(call, made, filters=lambda count: count(made))
    return activated(reading, call, Channels(axis, made))


def dense(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    axis = input_rank(call) - 1
    read = _read_channels(reading, call, inputs, axis)
    made = reading.made(call, call.operation.units)
    reading.cut(call, "kernel", 0, read, "readers")
    reading.cut(call, "kernel", 1, made, "makers")
    reading.cut(call, "bias", 0, made, "makers")
    reading.resize(call, made, units=lambda count: count(made))
    return activated(reading, call, Channels(axis, made))


def embedding(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    made = reading.made(call, call.operation.output_dim)
    reading.cut(call, "embeddings", 1, made, "makers")
    reading.resize(call, made, output_dim=lambda count: count(made))
    return [Channels(input_rank(call), made)]


def _read_channels(
    reading: Reading, call: Call, inputs: Inputs, axis: int
) -> Any:
    channels = first_channels(reading, call, inputs)
    return reading.read(call, channels, axis, call.inputs[0].shape[axis])


def activated(reading: Reading, call: Call, channels: Channels) -> Outputs:
    check_function(reading, call, channels, call.operation.activation)
    return [channels]
