"""Rules for channel attention."""

from typing import Any

import keras

from keras_channel_attn.graph import Call
from keras_channel_attn.surgery.pruning.reading import Channels, Reading
from keras_channel_attn.surgery.pruning.rules import (
    Inputs,
    Outputs,
    carried_ids,
    channel_axis,
    check_function,
    input_rank,
    tie_within,
)

_layers = keras.layers


def squeeze_excite(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    ids = _attended_ids(reading, call, inputs)
    if ids is None:
        return [None] * len(call.outputs)
    units = call.operation.reduce_kernel.shape[-1]
    reading.cut(call, "reduce_kernel", 0, ids, "carriers")
    reading.cut(call, "expand_kernel", 1, ids, "carriers")
    reading.cut(call, "expand_bias", 0, ids, "carriers")
    reading.resize(call, ids, bottleneck_units=lambda count: units)
    return _attended(call, ids)


def efficient_channel_attention(
    reading: Reading, call: Call, inputs: Inputs
) -> Outputs:
    ids = _attended_ids(reading, call, inputs)
    if ids is None:
        return [None] * len(call.outputs)
    layer = call.operation
    size = layer.kernel.shape[0]
    if not layer.shared_kernel:
        reading.cut(call, "kernel", 1, ids, "carriers")
    # The rule would take a shorter kernel for fewer channels.
    reading.resize(call, ids, kernel_size=lambda count: size)
    return _attended(call, ids)


def linear_squeeze_excite(
    reading: Reading, call: Call, inputs: Inputs
) -> Outputs:
    ids = _attended_ids(reading, call, inputs)
    if ids is None:
        return [None] * len(call.outputs)
    groups = call.operation.groups
    size = len(ids) // groups
    if groups == 1:
        reading.cut(call, "kernel", 0, ids, "carriers")
    else:
        tie_within(reading, call, groups, ids)
        reading.resize(call, ids, groups=lambda count: count(ids[::size]))
    reading.cut(call, "kernel", 1, ids, "carriers")
    reading.cut(call, "bias", 0, ids, "carriers")
    return _attended(call, ids)


def squeeze_gate(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    ids = _attended_ids(reading, call, inputs)
    if ids is None:
        return [None] * len(call.outputs)
    return _attended(call, ids)


def _attended_ids(reading: Reading, call: Call, inputs: Inputs) -> Any:
    axis = channel_axis(call.operation, input_rank(call))
    ids = carried_ids(reading, call, inputs, axis)
    if ids is not None:
        function = call.operation.gate_activation
        check_function(reading, call, Channels(axis, ids), function)
    return ids


def _attended(call: Call, ids: Any) -> Outputs:
    """Channels of the output, and of the attention scores beside it."""
    axis = channel_axis(call.operation, input_rank(call))
    outputs: list[Channels | None] = [Channels(axis, ids), Channels(1, ids)]
    return outputs[: len(call.outputs)]
