"""How channels flow through each kind of layer and operation: one table."""

from typing import Any

import keras

from keras_channel_attn.graph import Call, is_from_keras
from keras_channel_attn.layers import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)
from keras_channel_attn.surgery.pruning.arranging import (
    combined,
    concatenated,
    indexed,
    permuted,
    reshaped,
    split,
)
from keras_channel_attn.surgery.pruning.attending import (
    efficient_channel_attention,
    linear_squeeze_excite,
    squeeze_excite,
    squeeze_gate,
)
from keras_channel_attn.surgery.pruning.carrying import (
    activation,
    batch_normalization,
    carried,
    clipped,
    depthwise_convolution,
    global_pooling,
    group_normalization,
    layer_normalization,
    noise,
    padded,
    parametric_relu,
    reduction,
    rescaled,
    softmax,
)
from keras_channel_attn.surgery.pruning.making import (
    convolution,
    dense,
    embedding,
    separable_convolution,
    transposed_convolution,
)
from keras_channel_attn.surgery.pruning.reading import Reading
from keras_channel_attn.surgery.pruning.rules import (
    ELEMENTWISE,
    Inputs,
    Outputs,
    Rule,
    locked,
)

_layers = keras.layers


def flow(reading: Reading, call: Call, inputs: Inputs) -> Outputs:
    """The channels of the outputs of a call, by the rule for its kind."""
    return _rule_for(call.operation)(reading, call, inputs)


def _rule_for(operation: Any) -> Rule:
    kind, by_name = type(operation), _OPERATIONS
    if isinstance(operation, _layers.Layer):
        if not _is_plain(operation):
            return locked
        if kind in _LAYERS:
            return _LAYERS[kind]
        by_name = _LAYERS_OF_APPLICATIONS
    return by_name.get(kind.__name__, locked) if is_from_keras(kind) else locked


def _is_plain(layer: Any) -> bool:
    """Whether its weights are those of its class, and its `call` is too."""
    return (
        layer.dtype_policy.quantization_mode is None
        and not getattr(layer, "lora_enabled", False)
        and "call" not in vars(layer)
    )


def _existing(*names: str) -> list[Any]:
    """The layer classes of these names; `{}` stands for the ranks."""
    candidates = [name.format(rank) for name in names for rank in "123"]
    return [
        getattr(_layers, name)
        for name in dict.fromkeys(candidates)
        if hasattr(_layers, name)
    ]


_LAYERS: dict[Any, Rule] = {
    **dict.fromkeys(_existing("Conv{}D"), convolution),
    **dict.fromkeys(_existing("Conv{}DTranspose"), transposed_convolution),
    **dict.fromkeys(_existing("SeparableConv{}D"), separable_convolution),
    **dict.fromkeys(_existing("DepthwiseConv{}D"), depthwise_convolution),
    _layers.Dense: dense,
    _layers.Embedding: embedding,
    _layers.BatchNormalization: batch_normalization,
    _layers.GroupNormalization: group_normalization,
    **dict.fromkeys(
        _existing("LayerNormalization", "RMSNormalization"),
        layer_normalization,
    ),
    _layers.PReLU: parametric_relu,
    SqueezeExcite: squeeze_excite,
    EfficientChannelAttention: efficient_channel_attention,
    LinearSqueezeExcite: linear_squeeze_excite,
    SqueezeGate: squeeze_gate,
    **dict.fromkeys(
        [
            *ELEMENTWISE,
            *_existing("MaxPooling{}D", "AveragePooling{}D"),
            *_existing("ZeroPadding{}D", "Cropping{}D", "UpSampling{}D"),
            *_existing("SpatialDropout{}D", "GaussianNoise"),
            *_existing("GaussianDropout", "ActivityRegularization"),
            *_existing("Resizing"),
        ],
        carried,
    ),
    **dict.fromkeys(_existing("Dropout", "AlphaDropout"), noise),
    _layers.Activation: activation,
    _layers.Rescaling: rescaled,
    _layers.Softmax: softmax,
    **dict.fromkeys(
        _existing("GlobalAveragePooling{}D", "GlobalMaxPooling{}D"),
        global_pooling,
    ),
    **dict.fromkeys(
        _existing(
            *("Add", "Subtract", "Multiply", "Average"),
            *("Maximum", "Minimum"),
        ),
        combined,
    ),
    _layers.Concatenate: concatenated,
    _layers.Permute: permuted,
    _layers.Reshape: reshaped,
    _layers.Flatten: reshaped,
}

# By name: these classes are not public.
_LAYERS_OF_APPLICATIONS: dict[str, Rule] = {
    # Of InceptionResNetV2: the shortcut, and the branch times a number.
    "CustomScaleLayer": combined,
}
_OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(
        [
            *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu"),
            *("Silu", "HardSilu", "Sigmoid", "HardSigmoid", "LogSigmoid"),
            *("Tanh", "HardTanh", "TanhShrink", "HardShrink", "SoftShrink"),
            *("Softplus", "Softsign", "Squareplus", "Threshold"),
            *("Abs", "Absolute", "Negative", "Square", "Sqrt", "Rsqrt"),
            *("Exp", "Expm1", "Log", "Log1p", "Erf", "Sign", "Reciprocal"),
            *("Sin", "Cos", "Cast", "StopGradient", "MaxPool", "AveragePool"),
            "Resize",
        ],
        carried,
    ),
    **dict.fromkeys(
        [
            *("Add", "Subtract", "Multiply", "Divide", "TrueDivide"),
            *("Maximum", "Minimum", "Power"),
        ],
        combined,
    ),
    **dict.fromkeys(
        ["Mean", "Sum", "Max", "Min", "Amax", "Amin", "Var", "Std"],
        reduction,
    ),
    "Clip": clipped,
    "GetItem": indexed,
    "Pad": padded,
    "Softmax": softmax,
    "Concatenate": concatenated,
    "Split": split,
    "Transpose": permuted,
    **dict.fromkeys(["Reshape", "ExpandDims", "Squeeze"], reshaped),
}
