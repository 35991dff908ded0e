"""Rules for layers that consume channels and produce others.

A rule takes the `Coupling` of a model, a `Call` and the `Channels` of its
inputs (`None` for a tensor whose channels all stay). It records what the call
does with them, and returns those of its outputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.pruning.coupling import FIXED, Channels, Coupling
from keras_channel_attn.pruning.passthrough import (
    Inputs,
    Outputs,
    channel_axis,
    check_function,
    first_channels,
    input_rank,
)

_Axes = Mapping[str, Sequence[int]]
_ENDS_IN_FILTERS = {"kernel": (-1,), "bias": (0,)}


def convolution(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    layer, axis = call.operation, channel_axis(call)
    if layer.groups == 1:
        _consume(coupling, call, inputs, axis, {"kernel": (-2,)})
        return _produce(coupling, call, axis, "filters", _ENDS_IN_FILTERS)
    # Axis -2 is the channels of one group, which stay.
    consumed = _consume(coupling, call, inputs, axis, {})
    produced = coupling.produced_by(layer, layer.filters)
    coupling.couple_blocks(call, layer.groups, consumed, produced)
    return _produce(
        coupling, call, axis, "filters", _ENDS_IN_FILTERS, layer.groups
    )


def transposed_convolution(
    coupling: Coupling, call: Call, inputs: Inputs
) -> Outputs:
    axis = channel_axis(call)
    _consume(coupling, call, inputs, axis, {"kernel": (-1,)})
    axes = {"kernel": (-2,), "bias": (0,)}
    return _produce(coupling, call, axis, "filters", axes)


def separable_convolution(
    coupling: Coupling, call: Call, inputs: Inputs
) -> Outputs:
    axis = channel_axis(call)
    ids = _consume(coupling, call, inputs, axis, {"depthwise_kernel": (-2,)})
    between = np.repeat(ids, call.operation.depth_multiplier)
    coupling.use(call, "consumers", between, {"pointwise_kernel": (-2,)})
    axes = {"pointwise_kernel": (-1,), "bias": (0,)}
    return _produce(coupling, call, axis, "filters", axes)


def dense(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    axis = input_rank(call) - 1
    _consume(coupling, call, inputs, axis, {"kernel": (0,)})
    return _produce(coupling, call, axis, "units", _ENDS_IN_FILTERS)


def embedding(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    axis = input_rank(call)
    return _produce(coupling, call, axis, "output_dim", {"embeddings": (1,)})


def _consume(
    coupling: Coupling, call: Call, inputs: Inputs, axis: int, axes: _Axes
) -> Any:
    """The channels that a layer computes others from, along an axis."""
    channels = first_channels(coupling, call, inputs)
    if channels is not None and channels.axis == axis:
        ids = channels.ids
    else:
        what = "has its channels along another axis"
        coupling.lock_inputs(call, [channels], what)
        ids = np.full(call.inputs[0].shape[axis], FIXED)
    coupling.use(call, "consumers", ids, axes)
    return ids


def _produce(
    coupling: Coupling,
    call: Call,
    axis: int,
    entry: str,
    axes: _Axes,
    groups: int = 1,
) -> Outputs:
    """The channels that a layer produces along an axis of its output.

    Args:
        coupling: `Coupling`.
        call: `Call` of the layer.
        axis: Integer, axis of the output.
        entry: String, the entry of the configuration that says how many.
        axes: Dictionary from attributes to axes of their weights.
        groups: Integer, groups of a grouped convolution. Defaults to 1.
    """
    layer = call.operation
    ids = coupling.produced_by(layer, getattr(layer, entry))

    def config(kept: Any) -> dict[str, Any]:
        count = int(kept.sum())
        if groups == 1:
            return {entry: count}
        return {entry: count, "groups": count * groups // len(ids)}

    coupling.use(call, "producers", ids, axes, config)
    channels = Channels(axis, ids)
    if hasattr(layer, "activation"):
        check_function(coupling, call, channels, layer.activation)
    return [channels]
