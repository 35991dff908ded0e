"""How channels flow through each kind of layer and operation: one table.

A rule takes a `Reading`, a `Call` and the `Channels` of its inputs (`None` for
tensors whose channels all stay), and returns those of its outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call, is_from_keras
from keras_channel_attn.layers import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)
from keras_channel_attn.surgery.pruning.reading import Channels, Reading
from keras_channel_attn.surgery.pruning.ties import FIXED

_layers = keras.layers
_Inputs = Sequence[Channels | None]
_Outputs = list[Channels | None]
_Rule = Callable[[Reading, Call, _Inputs], _Outputs]


def flow(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    """The channels of the outputs of a call, by the rule for its kind."""
    operation = call.operation
    if not isinstance(operation, _layers.Layer):
        rule = _OPERATIONS.get(type(operation).__name__, locked)
    elif _is_plain(operation):
        rule = _LAYERS.get(type(operation), locked)
    else:
        rule = locked
    return rule(reading, call, inputs)


def locked(
    reading: Reading,
    call: Call,
    inputs: _Inputs,
    what: str = "is of a kind whose channels cannot be followed",
) -> _Outputs:
    """All channels of the inputs stay, and all that the call makes."""
    for channels in inputs:
        reading.lock(call, channels, what)
    return [None] * len(call.outputs)


def _is_plain(layer: Any) -> bool:
    """Whether its weights are those of its class, and its `call` is too."""
    return (
        layer.dtype_policy.quantization_mode is None
        and not getattr(layer, "lora_enabled", False)
        and "call" not in vars(layer)
    )


def _channel_axis(layer: Any, rank: int) -> int:
    return 1 if layer.data_format == "channels_first" else rank - 1


def _rank(call: Call) -> int:
    return len(call.inputs[0].shape)


def _first(reading: Reading, call: Call, inputs: _Inputs) -> Channels | None:
    """The channels of the first input; other tensors must have none."""
    for channels in inputs[1:]:
        reading.lock(call, channels, "takes them as an argument")
    return inputs[0]


# Layers that make channels.


def _convolution(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    layer = call.operation
    axis = _channel_axis(layer, _rank(call))
    read = _read_channels(reading, call, inputs, axis)
    made = reading.made(call, layer.filters)
    if layer.groups == 1:
        reading.cut(call, "kernel", -2, read, "readers")
        reading.resize(call, made, filters=lambda count: count(made))
    else:
        size = layer.filters // layer.groups
        _tie_within(reading, call, layer.groups, read, made)
        reading.resize(
            call,
            made,
            filters=lambda count: count(made),
            groups=lambda count: count(made[::size]),
        )
    reading.cut(call, "kernel", -1, made, "makers")
    reading.cut(call, "bias", 0, made, "makers")
    return _activated(reading, call, Channels(axis, made))


def _transposed_convolution(
    reading: Reading, call: Call, inputs: _Inputs
) -> _Outputs:
    layer = call.operation
    axis = _channel_axis(layer, _rank(call))
    read = _read_channels(reading, call, inputs, axis)
    made = reading.made(call, layer.filters)
    reading.cut(call, "kernel", -1, read, "readers")
    reading.cut(call, "kernel", -2, made, "makers")
    reading.cut(call, "bias", 0, made, "makers")
    reading.resize(call, made, filters=lambda count: count(made))
    return _activated(reading, call, Channels(axis, made))


def _separable_convolution(
    reading: Reading, call: Call, inputs: _Inputs
) -> _Outputs:
    layer = call.operation
    axis = _channel_axis(layer, _rank(call))
    read = _read_channels(reading, call, inputs, axis)
    made = reading.made(call, layer.filters)
    between = np.repeat(read, layer.depth_multiplier)
    reading.cut(call, "depthwise_kernel", -2, read, "readers")
    reading.cut(call, "pointwise_kernel", -2, between, "readers")
    reading.cut(call, "pointwise_kernel", -1, made, "makers")
    reading.cut(call, "bias", 0, made, "makers")
    reading.resize(call, made, filters=lambda count: count(made))
    return _activated(reading, call, Channels(axis, made))


def _dense(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    axis = _rank(call) - 1
    read = _read_channels(reading, call, inputs, axis)
    made = reading.made(call, call.operation.units)
    reading.cut(call, "kernel", 0, read, "readers")
    reading.cut(call, "kernel", 1, made, "makers")
    reading.cut(call, "bias", 0, made, "makers")
    reading.resize(call, made, units=lambda count: count(made))
    return _activated(reading, call, Channels(axis, made))


def _embedding(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    made = reading.made(call, call.operation.output_dim)
    reading.cut(call, "embeddings", 1, made, "makers")
    reading.resize(call, made, output_dim=lambda count: count(made))
    return [Channels(_rank(call), made)]


def _read_channels(
    reading: Reading, call: Call, inputs: _Inputs, axis: int
) -> Any:
    channels = _first(reading, call, inputs)
    return reading.read(call, channels, axis, call.inputs[0].shape[axis])


def _tie_within(
    reading: Reading, call: Call, groups: int, *tensors: Any
) -> None:
    """Tie all channels that are in the same part of tensors in equal parts."""
    parts = np.concatenate([ids.reshape(groups, -1) for ids in tensors], axis=1)
    for other in parts.T[:-1]:
        reading.ties.tie(
            parts.T[-1],
            other,
            f"'{call.path}' computes them together with channels that stay",
        )


def _activated(reading: Reading, call: Call, channels: Channels) -> _Outputs:
    _check_function(reading, call, channels, call.operation.activation)
    return [channels]


def _check_function(
    reading: Reading, call: Call, channels: Channels, function: Any
) -> None:
    if isinstance(function, _layers.Layer):
        known = type(function) in _ELEMENTWISE
    else:
        known = is_from_keras(function) and function not in _MIXING
    if not known:
        name = getattr(function, "__name__", repr(function))
        what = f"has the activation '{name}', which may mix channels"
        reading.lock(call, channels, what)


# Layers with weights for each channel.


def _depthwise_convolution(
    reading: Reading, call: Call, inputs: _Inputs
) -> _Outputs:
    layer = call.operation
    axis = _channel_axis(layer, _rank(call))
    ids = _carried_ids(reading, call, inputs, axis)
    if ids is None:
        return [None]
    outputs = np.repeat(ids, layer.depth_multiplier)
    reading.cut(call, "kernel", -2, ids, "carriers")
    reading.cut(call, "bias", 0, outputs, "carriers")
    return _activated(reading, call, Channels(axis, outputs))


def _batch_normalization(
    reading: Reading, call: Call, inputs: _Inputs
) -> _Outputs:
    axis = call.operation.axis % _rank(call)
    ids = _carried_ids(reading, call, inputs, axis)
    if ids is None:
        return [None]
    for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
        reading.cut(call, weight, 0, ids, "carriers")
    return [Channels(axis, ids)]


def _group_normalization(
    reading: Reading, call: Call, inputs: _Inputs
) -> _Outputs:
    layer = call.operation
    axis = layer.axis % _rank(call)
    ids = _carried_ids(reading, call, inputs, axis)
    if ids is None:
        return [None]
    groups = len(ids) if layer.groups == -1 else layer.groups
    if groups == 1:
        what = "normalizes all channels together"
        return locked(reading, call, inputs, what)
    _tie_within(reading, call, groups, ids)
    size = len(ids) // groups
    reading.cut(call, "gamma", 0, ids, "carriers")
    reading.cut(call, "beta", 0, ids, "carriers")
    reading.resize(call, ids, groups=lambda count: count(ids[::size]))
    return [Channels(axis, ids)]


def _layer_normalization(
    reading: Reading, call: Call, inputs: _Inputs
) -> _Outputs:
    return locked(reading, call, inputs, "normalizes all channels together")


def _parametric_relu(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    outputs = _carried(reading, call, inputs)
    if outputs[0] and call.operation.alpha.shape[outputs[0].axis - 1] > 1:
        axis = outputs[0].axis - 1
        reading.cut(call, "alpha", axis, outputs[0].ids, "carriers")
    return outputs


def _carried_ids(
    reading: Reading, call: Call, inputs: _Inputs, axis: int
) -> Any:
    """The channels along the axis of a layer, `None` if all of them stay."""
    channels = _first(reading, call, inputs)
    if channels is None or channels.axis != axis:
        reading.lock(call, channels, "has its channels along another axis")
        return None
    reading.note("carriers", call, channels.ids)
    return channels.ids


# Channel attention.


def _squeeze_excite(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    ids = _attended_ids(reading, call, inputs)
    if ids is None:
        return [None] * len(call.outputs)
    units = call.operation.reduce_kernel.shape[-1]
    reading.cut(call, "reduce_kernel", 0, ids, "carriers")
    reading.cut(call, "expand_kernel", 1, ids, "carriers")
    reading.cut(call, "expand_bias", 0, ids, "carriers")
    reading.resize(call, ids, bottleneck_units=lambda count: units)
    return _attended(call, ids)


def _efficient_channel_attention(
    reading: Reading, call: Call, inputs: _Inputs
) -> _Outputs:
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


def _linear_squeeze_excite(
    reading: Reading, call: Call, inputs: _Inputs
) -> _Outputs:
    ids = _attended_ids(reading, call, inputs)
    if ids is None:
        return [None] * len(call.outputs)
    groups = call.operation.groups
    size = len(ids) // groups
    if groups == 1:
        reading.cut(call, "kernel", 0, ids, "carriers")
    else:
        _tie_within(reading, call, groups, ids)
        reading.resize(call, ids, groups=lambda count: count(ids[::size]))
    reading.cut(call, "kernel", 1, ids, "carriers")
    reading.cut(call, "bias", 0, ids, "carriers")
    return _attended(call, ids)


def _squeeze_gate(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    ids = _attended_ids(reading, call, inputs)
    if ids is None:
        return [None] * len(call.outputs)
    return _attended(call, ids)


def _attended_ids(reading: Reading, call: Call, inputs: _Inputs) -> Any:
    axis = _channel_axis(call.operation, _rank(call))
    ids = _carried_ids(reading, call, inputs, axis)
    if ids is not None:
        function = call.operation.gate_activation
        _check_function(reading, call, Channels(axis, ids), function)
    return ids


def _attended(call: Call, ids: Any) -> _Outputs:
    """Channels of the output, and of the attention scores beside it."""
    axis = _channel_axis(call.operation, _rank(call))
    outputs: list[Channels | None] = [Channels(axis, ids), Channels(1, ids)]
    return outputs[: len(call.outputs)]


# Layers and operations without weights.


def _carried(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    """Each channel of the output is computed from that of the input alone."""
    channels = _carried_channels(reading, call, inputs)
    if channels and (
        len(call.outputs[0].shape) != _rank(call)
        or call.outputs[0].shape[channels.axis] != len(channels.ids)
    ):
        return locked(reading, call, inputs, "changes the number of channels")
    return [channels]


def _carried_channels(
    reading: Reading, call: Call, inputs: _Inputs
) -> Channels | None:
    """The channels of the only input, if the layer works along their axis."""
    channels = _first(reading, call, inputs)
    if channels is None:
        return None
    axis = channels.axis
    if getattr(call.operation, "data_format", None) is not None:
        axis = _channel_axis(call.operation, _rank(call))
    ids = _carried_ids(reading, call, inputs, axis)
    return None if ids is None else channels


def _activation(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    outputs = _carried(reading, call, inputs)
    if outputs[0]:
        function = call.operation.activation
        _check_function(reading, call, outputs[0], function)
    return outputs


def _softmax(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    channels, axis = inputs[0], call.operation.axis
    axes = [axis] if isinstance(axis, int) else list(axis or range(_rank(call)))
    if channels and channels.axis in [axis % _rank(call) for axis in axes]:
        return locked(reading, call, inputs, "is computed over all channels")
    return _carried(reading, call, inputs)


def _noise(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    shape = getattr(call.operation, "noise_shape", None)
    channels = inputs[0]
    if channels and shape and shape[channels.axis] not in (None, 1):
        return locked(reading, call, inputs, "has noise of a fixed shape")
    return _carried(reading, call, inputs)


def _global_pooling(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    channels = _carried_channels(reading, call, inputs)
    if channels is None or call.operation.keepdims:
        return [channels]
    return [Channels(1, channels.ids)]


def _reduction(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    channels = _carried_channels(reading, call, inputs)
    axes, rank = call.operation.axis, _rank(call)
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


def _combined(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
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
    call: Call, inputs: _Inputs
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


def _concatenated(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    axis = call.operation.axis % _rank(call)
    axes = {channels.axis for channels in inputs if channels}
    if not axes:
        return [None]
    if axes != {axis}:
        if len(axes) > 1 or axis in axes:
            what = "combines tensors with different channel axes"
            return locked(reading, call, inputs, what)
        return _combined(reading, call, inputs)
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


def _split(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    channels = _first(reading, call, inputs)
    axis = call.operation.axis % _rank(call)
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


def _permuted(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    channels = _carried_channels(reading, call, inputs)
    if channels is None:
        return [None]
    return [Channels(_new_axes(call).index(channels.axis), channels.ids)]


def _new_axes(call: Call) -> list[int]:
    """For each axis of the output of a permutation, that of the input."""
    operation, rank = call.operation, _rank(call)
    if isinstance(operation, _layers.Permute):
        return [0, *operation.dims]
    if operation.axes is None:
        return list(range(rank))[::-1]
    return [axis % rank for axis in operation.axes]


def _reshaped(reading: Reading, call: Call, inputs: _Inputs) -> _Outputs:
    channels = _first(reading, call, inputs)
    if channels is None:
        return [None]
    found = _channels_after_reshape(call, channels)
    if found is None:
        what = "mixes channels with other axes"
        return locked(reading, call, inputs, what)
    reading.note("carriers", call, channels.ids)
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
    if before[0] != after[0] or list(after).count(None) > 2:
        return None
    # Sizes that are unknown must fit for any numbers.
    unknown = iter([2, 3, 5, 7, 11])
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
    for axis in range(ids.ndim):
        lines = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
        if (lines == lines[:, :1]).all():
            return Channels(axis + 1, lines[:, 0])
    return None


def _existing(*names: str) -> list[Any]:
    """The layer classes of these names; `{}` stands for the ranks."""
    candidates = [name.format(rank) for name in names for rank in "123"]
    return [
        getattr(_layers, name)
        for name in dict.fromkeys(candidates)
        if hasattr(_layers, name)
    ]


_MIXING = [
    getattr(keras.activations, name)
    for name in ("softmax", "log_softmax", "glu", "sparsemax")
]
_ELEMENTWISE = _existing("ReLU", "LeakyReLU", "ELU", "Identity")

_LAYERS: dict[Any, _Rule] = {
    **dict.fromkeys(_existing("Conv{}D"), _convolution),
    **dict.fromkeys(_existing("Conv{}DTranspose"), _transposed_convolution),
    **dict.fromkeys(_existing("SeparableConv{}D"), _separable_convolution),
    **dict.fromkeys(_existing("DepthwiseConv{}D"), _depthwise_convolution),
    _layers.Dense: _dense,
    _layers.Embedding: _embedding,
    _layers.BatchNormalization: _batch_normalization,
    _layers.GroupNormalization: _group_normalization,
    **dict.fromkeys(
        _existing("LayerNormalization", "RMSNormalization"),
        _layer_normalization,
    ),
    _layers.PReLU: _parametric_relu,
    SqueezeExcite: _squeeze_excite,
    EfficientChannelAttention: _efficient_channel_attention,
    LinearSqueezeExcite: _linear_squeeze_excite,
    SqueezeGate: _squeeze_gate,
    **dict.fromkeys(
        [
            *_ELEMENTWISE,
            *_existing("MaxPooling{}D", "AveragePooling{}D"),
            *_existing("ZeroPadding{}D", "Cropping{}D", "UpSampling{}D"),
            *_existing("SpatialDropout{}D", "GaussianNoise"),
            *_existing("GaussianDropout", "ActivityRegularization"),
        ],
        _carried,
    ),
    **dict.fromkeys(_existing("Dropout", "AlphaDropout"), _noise),
    _layers.Activation: _activation,
    _layers.Softmax: _softmax,
    **dict.fromkeys(
        _existing("GlobalAveragePooling{}D", "GlobalMaxPooling{}D"),
        _global_pooling,
    ),
    **dict.fromkeys(
        _existing(
            *("Add", "Subtract", "Multiply", "Average"),
            *("Maximum", "Minimum"),
        ),
        _combined,
    ),
    _layers.Concatenate: _concatenated,
    _layers.Permute: _permuted,
    _layers.Reshape: _reshaped,
    _layers.Flatten: _reshaped,
}

# By name: the classes are not public.
_OPERATIONS: dict[str, _Rule] = {
    **dict.fromkeys(
        [
            *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu"),
            *("Silu", "HardSilu", "Sigmoid", "HardSigmoid", "LogSigmoid"),
            *("Tanh", "HardTanh", "TanhShrink", "HardShrink", "SoftShrink"),
            *("Softplus", "Softsign", "Squareplus", "Threshold", "Mish"),
            *("Abs", "Absolute", "Negative", "Square", "Sqrt", "Rsqrt"),
            *("Exp", "Expm1", "Log", "Log1p", "Erf", "Sign", "Reciprocal"),
            *("Sin", "Cos", "Cast", "Clip", "Identity", "StopGradient"),
        ],
        _carried,
    ),
    **dict.fromkeys(
        [
            *("Add", "Subtract", "Multiply", "Divide", "TrueDivide"),
            *("Maximum", "Minimum", "Power"),
        ],
        _combined,
    ),
    **dict.fromkeys(
        ["Mean", "Sum", "Max", "Min", "Amax", "Amin", "Var", "Std"],
        _reduction,
    ),
    "Softmax": _softmax,
    "Concatenate": _concatenated,
    "Split": _split,
    "Transpose": _permuted,
    **dict.fromkeys(["Reshape", "ExpandDims", "Squeeze"], _reshaped),
}
