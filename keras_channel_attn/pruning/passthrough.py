"""Rules for layers that compute each channel from that of their input alone.

The form of a rule is that of `producers`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.layers import ChannelAttention
from keras_channel_attn.pruning.coupling import Channels, Coupling

Inputs = Sequence[Channels | None]
Outputs = list[Channels | None]
Rule = Callable[[Coupling, Call, Inputs], Outputs]

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


def channel_axis(call: Call) -> int:
    """The axis of the channels by the data format of a layer."""
    is_first = call.operation.data_format == "channels_first"
    return 1 if is_first else input_rank(call) - 1


def input_rank(call: Call) -> int:
    return len(call.inputs[0].shape)


def first_channels(
    coupling: Coupling, call: Call, inputs: Inputs
) -> Channels | None:
    """The channels of the first input; other tensors must have none."""
    coupling.lock_inputs(call, inputs[1:], "takes them as an argument")
    return inputs[0]


def check_function(
    coupling: Coupling, call: Call, channels: Channels, function: Any
) -> None:
    """Lock channels behind an activation that may mix them."""
    if isinstance(function, keras.layers.Layer):
        name = type(function).__name__
        known = type(function) is getattr(keras.layers, name, None)
        known = known and name in ELEMENTWISE_LAYERS
    else:
        name = getattr(function, "__name__", repr(function))
        known = function in _ELEMENTWISE_FUNCTIONS
    if not known:
        what = f"has the activation '{name}', which may mix channels"
        coupling.lock_inputs(call, [channels], what)


def pass_channels(
    coupling: Coupling,
    call: Call,
    inputs: Inputs,
    axis: int | None = None,
    axes: Mapping[str, Sequence[int]] | None = None,
    config: Callable[[Any], dict[str, Any]] | None = None,
) -> Channels | None:
    """The channels of the first input, if a layer works along their axis.

    Args:
        coupling: `Coupling`.
        call: `Call` of the layer or operation.
        inputs: List of `Channels` or `None`.
        axis: Integer, the axis of the layer. Defaults to `None`: that of its
            data format, or any if it has none.
        axes: Dictionary from attributes to axes of their weights.
        config: As in `ChannelUse`.

    Returns:
        `Channels`, or `None` if all of them stay.
    """
    channels = first_channels(coupling, call, inputs)
    if channels is None:
        return None
    if axis is None:
        has_format = getattr(call.operation, "data_format", None) is not None
        axis = channel_axis(call) if has_format else channels.axis
    if channels.axis != axis:
        what = "has its channels along another axis"
        coupling.lock_inputs(call, [channels], what)
        return None
    coupling.use(call, "passthrough", channels.ids, axes, config)
    return channels


def elementwise(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    """Also pooling and others that change the spatial axes alone."""
    channels = pass_channels(coupling, call, inputs)
    shape = call.outputs[0].shape
    if channels and (
        len(shape) != input_rank(call)
        or shape[channels.axis] != len(channels.ids)
    ):
        what = "changes the number of channels"
        return coupling.lock_inputs(call, inputs, what)
    return [channels]


def activation(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    channels = pass_channels(coupling, call, inputs)
    if channels:
        function = call.operation.activation
        check_function(coupling, call, channels, function)
    return [channels]


def depthwise_convolution(
    coupling: Coupling, call: Call, inputs: Inputs
) -> Outputs:
    axis = channel_axis(call)
    channels = pass_channels(coupling, call, inputs, axis, {"kernel": (-2,)})
    if channels is None:
        return [None]
    ids = np.repeat(channels.ids, call.operation.depth_multiplier)
    coupling.use(call, "passthrough", ids, {"bias": (0,)})
    outputs = Channels(axis, ids)
    check_function(coupling, call, outputs, call.operation.activation)
    return [outputs]


def batch_normalization(
    coupling: Coupling, call: Call, inputs: Inputs
) -> Outputs:
    weights = ("gamma", "beta", "moving_mean", "moving_variance")
    axis = call.operation.axis % input_rank(call)
    axes = dict.fromkeys(weights, (0,))
    return [pass_channels(coupling, call, inputs, axis, axes)]


def group_normalization(
    coupling: Coupling, call: Call, inputs: Inputs
) -> Outputs:
    layer = call.operation
    axis = layer.axis % input_rank(call)
    size = call.inputs[0].shape[axis]
    groups = size if layer.groups == -1 else layer.groups
    if groups == 1:
        return normalization_over_channels(coupling, call, inputs)
    channels = pass_channels(
        coupling,
        call,
        inputs,
        axis,
        {"gamma": (0,), "beta": (0,)},
        lambda kept: {"groups": int(kept.sum()) * groups // size},
    )
    if channels:
        coupling.couple_blocks(call, groups, channels.ids)
    return [channels]


def normalization_over_channels(
    coupling: Coupling, call: Call, inputs: Inputs
) -> Outputs:
    what = "normalizes all channels together"
    return coupling.lock_inputs(call, inputs, what)


def parametric_relu(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    channels = inputs[0]
    axes = {}
    if channels and call.operation.alpha.shape[channels.axis - 1] > 1:
        axes = {"alpha": (channels.axis - 1,)}
    return [pass_channels(coupling, call, inputs, axes=axes)]


def one_for_all_channels(*attributes: str) -> Rule:
    """The rule for an operation with numbers that may be arrays."""

    def rule(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
        if any(np.ndim(getattr(call.operation, x)) for x in attributes):
            what = "has a number for each channel"
            return coupling.lock_inputs(call, inputs, what)
        return elementwise(coupling, call, inputs)

    return rule


def padding(attribute: str) -> Rule:
    """The rule for an operation with pairs of widths for the axes."""

    def rule(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
        channels, widths = inputs[0], getattr(call.operation, attribute)
        if len(widths) == 1:
            widths = widths * input_rank(call)
        if channels and tuple(widths[channels.axis]) != (0, 0):
            return coupling.lock_inputs(call, inputs, "pads them")
        return elementwise(coupling, call, inputs)

    return rule


def softmax(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    if inputs[0] and inputs[0].axis in _axes(call):
        return _over_channels(coupling, call, inputs)
    return elementwise(coupling, call, inputs)


def noise(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    shape = getattr(call.operation, "noise_shape", None)
    channels = inputs[0]
    if channels and shape and shape[channels.axis] not in (None, 1):
        what = "has noise of a fixed shape"
        return coupling.lock_inputs(call, inputs, what)
    return elementwise(coupling, call, inputs)


def global_pooling(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    channels = pass_channels(coupling, call, inputs)
    if channels is None or call.operation.keepdims:
        return [channels]
    return [Channels(1, channels.ids)]


def reduction(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    channels, axes = pass_channels(coupling, call, inputs), _axes(call)
    if channels is None:
        return [None]
    if channels.axis in axes or 0 in axes:
        return _over_channels(coupling, call, inputs)
    if call.operation.keepdims:
        return [channels]
    before = sum(axis < channels.axis for axis in axes)
    return [Channels(channels.axis - before, channels.ids)]


def _axes(call: Call) -> list[int]:
    """The axes that an operation is computed over, not negative."""
    axes, rank = call.operation.axis, input_rank(call)
    if axes is None:
        return list(range(rank))
    axes = [axes] if isinstance(axes, int) else axes
    return [axis % rank for axis in axes]


def _over_channels(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    return coupling.lock_inputs(call, inputs, "is computed over all channels")


def attention(coupling: Coupling, call: Call, inputs: Inputs) -> Outputs:
    """Any `ChannelAttention` that describes its weights."""
    layer, axis = call.operation, channel_axis(call)
    size = call.inputs[0].shape[axis]
    if what := _undescribed(layer, size):
        return coupling.lock_inputs(call, inputs, what)
    channels = pass_channels(
        coupling,
        call,
        inputs,
        axis,
        layer.channel_axes(),
        lambda kept: layer.config_for_channels(int(kept.sum())),
    )
    if channels is None:
        return [None] * len(call.outputs)
    if blocks := layer.coupled_blocks():
        coupling.couple_blocks(call, blocks, channels.ids)
    check_function(coupling, call, channels, layer.gate_activation)
    # The attention scores have the channels along axis 1.
    outputs: Outputs = [channels, Channels(1, channels.ids)]
    return outputs[: len(call.outputs)]


def _undescribed(layer: Any, size: int) -> str | None:
    """What is not known of a layer, to remove some of its channels."""
    if type(layer).call is not ChannelAttention.call:
        return "has a `call` of its own in place of `ChannelAttention.call`"
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
    if size % blocks:
        return (
            f"has {size} channels, and `coupled_blocks` says that they are "
            f"{blocks} equal blocks"
        )
    return None
