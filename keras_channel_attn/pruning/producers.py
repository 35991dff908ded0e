"""Rules for layers that consume channels and produce others."""

from typing import Any

import numpy as np

from keras_channel_attn.pruning.coupling import (
    Axes,
    Channels,
    Step,
    TensorChannels,
    ids_along,
)
from keras_channel_attn.pruning.passthrough import check_function

_LAST_AXIS = {"kernel": (-1,), "bias": (0,)}


def convolution(step: Step) -> TensorChannels:
    groups = step.operation.groups
    if groups == 1:
        _consume(step, step.channel_axis, {"kernel": (-2,)})
    else:
        # Axis -2 is the channels of one group, which stay.
        consumed = _consume(step, step.channel_axis, {})
        produced = step.produced_ids(step.operation.filters)
        step.couple_blocks(groups, consumed, produced)
    return _produce(step, step.channel_axis, "filters", _LAST_AXIS, groups)


def transposed_convolution(step: Step) -> TensorChannels:
    _consume(step, step.channel_axis, {"kernel": (-1,)})
    axes = {"kernel": (-2,), "bias": (0,)}
    return _produce(step, step.channel_axis, "filters", axes)


def separable_convolution(step: Step) -> TensorChannels:
    ids = _consume(step, step.channel_axis, {"depthwise_kernel": (-2,)})
    between = np.repeat(ids, step.operation.depth_multiplier)
    step.use("consumers", between, {"pointwise_kernel": (-2,)})
    axes = {"pointwise_kernel": (-1,), "bias": (0,)}
    return _produce(step, step.channel_axis, "filters", axes)


def dense(step: Step) -> TensorChannels:
    _consume(step, step.rank - 1, {"kernel": (0,)})
    return _produce(step, step.rank - 1, "units", _LAST_AXIS)


def embedding(step: Step) -> TensorChannels:
    return _produce(step, step.rank, "output_dim", {"embeddings": (1,)})


def _consume(step: Step, axis: int, axes: Axes) -> Any:
    """The channels that a layer computes others from, along an axis."""
    (channels,) = step.inputs
    if channels and channels.axis != axis:
        step.lock("has its channels along another axis", channels)
        channels = None
    ids = ids_along(channels, step.call.inputs[0].shape[axis])
    step.use("consumers", ids, axes)
    return ids


def _produce(
    step: Step, axis: int, entry: str, axes: Axes, groups: int = 1
) -> TensorChannels:
    """The channels that a layer produces, along an axis of its output.

    The entry of its configuration says how many.
    """
    ids = step.produced_ids(getattr(step.operation, entry))

    def config(kept: Any) -> dict[str, Any]:
        count = int(kept.sum())
        if groups == 1:
            return {entry: count}
        return {entry: count, "groups": count * groups // len(ids)}

    step.use("producers", ids, axes, config)
    channels = Channels(axis, ids)
    if hasattr(step.operation, "activation"):
        check_function(step, channels, step.operation.activation)
    return [channels]
