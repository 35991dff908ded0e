"""Rules for layers that compute each channel from that of their input alone."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph.keras_internals import argument
from keras_channel_attn.layers import (
    AttentionLayer,
    ChannelAttention,
    SpatialAttention,
)
from keras_channel_attn.pruning.coupling import (
    Axes,
    Channels,
    Config,
    NotFollowed,
    Step,
    TensorChannels,
)

Rule = Callable[[Step], TensorChannels]

# In `keras.activations` and `keras.ops`; some Keras versions lack a few.
ELEMENTWISE = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu"),
    *("silu", "swish", "hard_silu", "hard_swish", "mish", "squareplus"),
    *("sigmoid", "hard_sigmoid", "log_sigmoid", "sparse_sigmoid"),
    *("tanh", "hard_tanh", "tanh_shrink", "hard_shrink", "soft_shrink"),
    *("softplus", "softsign", "sparse_plus", "threshold", "exponential"),
    *("abs", "absolute", "negative", "square", "sqrt", "rsqrt", "reciprocal"),
    *("exp", "expm1", "log", "log1p", "erf", "sign", "sin", "cos"),
)
ELEMENTWISE_LAYERS = ("ReLU", "LeakyReLU", "ELU", "Identity")
_ELEMENTWISE_FUNCTIONS = [
    getattr(module, name)
    for module in (keras.activations, keras.ops)
    for name in ELEMENTWISE
    if hasattr(module, name)
]


def check_function(step: Step, channels: Channels, function: Any) -> None:
    """Lock channels behind an activation that may mix them."""
    if isinstance(function, keras.layers.Layer):
        name = type(function).__name__
        is_public = type(function) is getattr(keras.layers, name, None)
        known = is_public and name in ELEMENTWISE_LAYERS
    else:
        name = getattr(function, "__name__", repr(function))
        known = function in _ELEMENTWISE_FUNCTIONS
    if not known:
        step.lock(
            f"has the activation '{name}', which may mix channels", channels
        )


def pass_channels(
    step: Step,
    axis: int | None = None,
    axes: Axes | None = None,
    config: Config | None = None,
) -> Channels:
    """The channels of the first input of a layer that works along their axis.

    The axis of the layer is by default that of its data format, or any if it
    has none. `axes` and `config` are those of `Step.use`.
    """
    channels = step.first_channels()
    if axis is None:
        has_format = getattr(step.operation, "data_format", None) is not None
        axis = step.channel_axis if has_format else channels.axis
    if channels.axis != axis:
        raise NotFollowed("has its channels along another axis")
    step.use("passthrough", channels.ids, axes, config)
    return channels


def elementwise(step: Step) -> TensorChannels:
    """Also pooling and others that change the spatial axes alone."""
    channels = pass_channels(step)
    shape = step.call.outputs[0].shape
    if len(shape) != step.rank or shape[channels.axis] != len(channels.ids):
        raise NotFollowed("changes the number of channels")
    return [channels]


def activation(step: Step) -> TensorChannels:
    channels = pass_channels(step)
    check_function(step, channels, step.operation.activation)
    return [channels]


def depthwise_convolution(step: Step) -> TensorChannels:
    channels = pass_channels(step, axes={"kernel": (-2,)})
    ids = np.repeat(channels.ids, step.operation.depth_multiplier)
    step.use("passthrough", ids, {"bias": (0,)})
    outputs = Channels(channels.axis, ids)
    check_function(step, outputs, step.operation.activation)
    return [outputs]


def batch_normalization(step: Step) -> TensorChannels:
    weights = ("gamma", "beta", "moving_mean", "moving_variance")
    axis = step.operation.axis % step.rank
    return [pass_channels(step, axis, dict.fromkeys(weights, (0,)))]


def group_normalization(step: Step) -> TensorChannels:
    axis, groups = step.operation.axis % step.rank, step.operation.groups
    size = step.call.inputs[0].shape[axis]
    if groups == -1:
        groups = size
    if groups == 1:
        raise NotFollowed("normalizes all channels together")
    channels = pass_channels(
        step,
        axis,
        {"gamma": (0,), "beta": (0,)},
        lambda kept: {"groups": int(kept.sum()) * groups // size},
    )
    step.couple_blocks(groups, channels.ids)
    return [channels]


def along_other_axes(what: str) -> Rule:
    """The rule for an operation that must not combine channels, as `what`."""

    def rule(step: Step) -> TensorChannels:
        if step.first_channels().axis in _axes(step):
            raise NotFollowed(what)
        return elementwise(step)

    return rule


def parametric_relu(step: Step) -> TensorChannels:
    axis = step.first_channels().axis - 1
    axes = {"alpha": (axis,)} if step.operation.alpha.shape[axis] > 1 else {}
    return [pass_channels(step, axes=axes)]


def one_for_all_channels(*attributes: str) -> Rule:
    """The rule for an operation with numbers that may be arrays."""

    def rule(step: Step) -> TensorChannels:
        if any(np.ndim(argument(step.operation, x)) for x in attributes):
            raise NotFollowed("has a number for each channel")
        return elementwise(step)

    return rule


def padding(step: Step) -> TensorChannels:
    widths = argument(step.operation, "pad_width")
    if len(widths) == 1:
        widths = widths * step.rank
    if tuple(widths[step.first_channels().axis]) != (0, 0):
        raise NotFollowed("pads them")
    return elementwise(step)


def noise(step: Step) -> TensorChannels:
    shape = getattr(step.operation, "noise_shape", None)
    if shape and shape[step.first_channels().axis] not in (None, 1):
        raise NotFollowed("has noise of a fixed shape")
    return elementwise(step)


def global_pooling(step: Step) -> TensorChannels:
    channels = pass_channels(step)
    axis = channels.axis if step.operation.keepdims else 1
    return [Channels(axis, channels.ids)]


def reduction(step: Step) -> TensorChannels:
    channels, axes = pass_channels(step), _axes(step)
    for axis, what in ((channels.axis, "all channels"), (0, "the batch")):
        if axis in axes:
            raise NotFollowed(f"is computed over {what}")
    if step.operation.keepdims:
        return [channels]
    before = sum(axis < channels.axis for axis in axes)
    return [Channels(channels.axis - before, channels.ids)]


def _axes(step: Step) -> list[int]:
    """The axes that an operation is computed over, not negative."""
    axes = step.operation.axis
    if axes is None:
        return list(range(step.rank))
    axes = [axes] if isinstance(axes, int) else axes
    return [axis % step.rank for axis in axes]


def attention(step: Step) -> TensorChannels:
    """Any attention layer that describes its weights."""
    layer, axis = step.operation, step.channel_axis
    if what := _undescribed(layer, step.call.inputs[0].shape[axis]):
        raise NotFollowed(what)
    channels = pass_channels(
        step,
        axis,
        layer.channel_axes(),
        lambda kept: layer.config_for_channels(int(kept.sum())),
    )
    if blocks := layer.coupled_blocks():
        step.couple_blocks(blocks, channels.ids)
    check_function(step, channels, layer.gate_activation)
    # The attention scores of channels have them along axis 1.
    is_of_channels = [
        tensor.shape[1:] == (len(channels.ids),)
        for tensor in step.call.outputs[1:]
    ]
    scores = Channels(1, channels.ids)
    return [channels, *(scores if x else None for x in is_of_channels)]


def _undescribed(layer: Any, size: int) -> str | None:
    """What is not known of a layer, to remove some of its channels."""
    if type(layer).call not in (ChannelAttention.call, SpatialAttention.call):
        return "has a `call` of its own in place of `ChannelAttention.call`"
    if reason := layer.reason_to_lock():
        return str(reason)
    axes_of, blocks = layer.channel_axes(), layer.coupled_blocks() or 1
    weights = {name: getattr(layer, name, None) for name in axes_of}
    described = {id(weight) for weight in weights.values()}
    for weight in layer.weights:
        if id(weight) not in described:
            return (
                f"has the weight '{weight.name}', whose channels are unknown: "
                "write the method `channel_axes`"
            )
    for name, axes in axes_of.items():
        shape = tuple(getattr(weights[name], "shape", ()))
        if shape and any(shape[axis:][:1] != (size,) for axis in axes):
            return (
                f"has the weight '{name}' of shape {shape}, and `channel_axes` "
                f"says that the {size} channels are its axes {tuple(axes)}"
            )
    if type(layer).channel_axes is not AttentionLayer.channel_axes:
        for method in ("squeeze", "excite", "attend"):
            is_replaced = hasattr(layer, method) and not layer.is_described(
                method, by="channel_axes"
            )
            if is_replaced:
                return (
                    f"has a method `{method}` of its own, which the "
                    "`channel_axes` of its base class does not describe: write "
                    "the method `channel_axes`"
                )
    if size % blocks:
        return (
            f"has {size} channels, and `coupled_blocks` says that they are "
            f"{blocks} equal blocks"
        )
    return None
