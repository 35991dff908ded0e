"""How channels propagate through a model: a walk, and a table of rules.

A rule takes a `Step`, which is one call with the channels of its inputs. It
records what the call does with them, and returns those of its outputs.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    arguments_of_model,
    is_from_keras,
    is_model,
)
from keras_channel_attn.graph.operations import inner_layers, operations_of
from keras_channel_attn.layers import ChannelAttention
from keras_channel_attn.pruning import passthrough, producers, rearrangement
from keras_channel_attn.pruning.coupling import Coupling, Step, TensorChannels


def coupling_of(graph: Graph) -> Coupling:
    """What the layers of a model do with channels, nested models included."""
    coupling = Coupling()
    reasons = _reasons_to_lock(graph)
    inputs: TensorChannels = [None] * len(graph.model.inputs)
    outputs = _outputs_of_model(coupling, graph, inputs, reasons)
    # Of several reasons the first one is shown, and this is the plainest.
    others, coupling.locks = coupling.locks, []
    for channels in outputs:
        if channels:
            coupling.lock(channels.ids, "they are an output of the model")
    coupling.locks += others
    return coupling


# The walk.


def _outputs_of_model(
    coupling: Coupling,
    graph: Graph,
    inputs: TensorChannels,
    reasons: dict[Any, str],
) -> TensorChannels:
    """The channels of the outputs of a model, for those of its inputs."""
    known = IdentityMap()
    _assign(known, graph.model.inputs, inputs)
    for call in graph.calls:
        if call.inner is not None:
            arguments = arguments_of_model(call, call.args, call.kwargs)
            entered = [
                coupling.enter(tensor, known.get(argument), call.path)
                for tensor, argument in zip(
                    call.operation.inputs, arguments, strict=True
                )
            ]
            outputs = _outputs_of_model(coupling, call.inner, entered, reasons)
        else:
            given = [known[tensor] for tensor in call.inputs]
            outputs = _outputs_of_call(coupling, call, given, reasons)
        _assign(known, call.outputs, outputs)
    return [known[tensor] for tensor in graph.outputs]


def _assign(
    known: IdentityMap,
    tensors: Sequence[Any],
    values: TensorChannels,
) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        known[tensor] = value


def _outputs_of_call(
    coupling: Coupling,
    call: Call,
    inputs: TensorChannels,
    reasons: dict[Any, str],
) -> TensorChannels:
    step, operation = Step(coupling, call, inputs), call.operation
    reason = reasons.get(operation) or _reason_to_lock(operation)
    rule = _rule(operation)
    if reason is None and rule is not None:
        return rule(step)
    if reason is None and is_from_keras(type(operation)):
        reason = "is of a kind whose channels cannot be followed"
    return step.lock(reason or "is not of Keras: its computation is unknown")


def _reasons_to_lock(graph: Graph) -> dict[Any, str]:
    """From layers that something else uses, too, to what that is."""
    arguments = IdentityMap()
    for call in graph.all_calls():
        for leaf in keras.tree.flatten((call.args, call.kwargs)):
            if isinstance(leaf, keras.Variable):
                arguments[leaf] = call.path
    operations = [
        operation
        for nested in graph.nested.values()
        for operation in operations_of(nested.model)
    ]
    reasons = {}
    for layer in operations:
        if not isinstance(layer, keras.layers.Layer) or is_model(layer):
            continue
        for place, inner in inner_layers(layer):
            if place:
                reasons[inner] = f"is a part of '{layer.name}' as well"
        for variable in layer.variables:
            if variable in arguments:
                path = arguments[variable]
                reasons[layer] = f"has a weight that '{path}' takes, too"
    return reasons


def _reason_to_lock(operation: Any) -> str | None:
    """Why a layer of a class in the table is not what its class is."""
    if not isinstance(operation, keras.layers.Layer):
        return None
    if operation.dtype_policy.quantization_mode is not None:
        return "is quantized"
    if getattr(operation, "lora_enabled", False):
        return "has LoRA weights"
    if "call" in vars(operation):
        return "has a `call` that was replaced"
    return None


# The table, by names of classes: those of operations are not public. Where a
# rule reads an attribute that is not public, its name is in the table as well.


def _rule(operation: Any) -> passthrough.Rule | None:
    if isinstance(operation, ChannelAttention):
        return passthrough.attention
    if not is_from_keras(type(operation)):
        return None
    is_layer = isinstance(operation, keras.layers.Layer)
    rules = _LAYERS if is_layer else _OPERATIONS
    return rules.get(type(operation).__name__)


def _names(*names: str) -> list[str]:
    """The names of classes; `{}` stands for the numbers of spatial axes."""
    return [name.format(rank) for name in names for rank in "123"]


def _camel_case(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


_LAYERS: dict[str, passthrough.Rule] = {
    **dict.fromkeys(_names("Conv{}D"), producers.convolution),
    **dict.fromkeys(
        _names("Conv{}DTranspose"), producers.transposed_convolution
    ),
    **dict.fromkeys(
        _names("SeparableConv{}D"), producers.separable_convolution
    ),
    **dict.fromkeys(
        _names("DepthwiseConv{}D"), passthrough.depthwise_convolution
    ),
    "Dense": producers.dense,
    "Embedding": producers.embedding,
    "BatchNormalization": passthrough.batch_normalization,
    "GroupNormalization": passthrough.group_normalization,
    "LayerNormalization": passthrough.normalization_over_channels,
    "RMSNormalization": passthrough.normalization_over_channels,
    "PReLU": passthrough.parametric_relu,
    **dict.fromkeys(
        [
            *passthrough.ELEMENTWISE_LAYERS,
            *_names("MaxPooling{}D", "AveragePooling{}D", "Cropping{}D"),
            *_names("ZeroPadding{}D", "UpSampling{}D", "SpatialDropout{}D"),
            *("GaussianNoise", "GaussianDropout", "ActivityRegularization"),
            "Resizing",
        ],
        passthrough.elementwise,
    ),
    "Dropout": passthrough.noise,
    "AlphaDropout": passthrough.noise,
    "Activation": passthrough.activation,
    "Rescaling": passthrough.one_for_all_channels("scale", "offset"),
    "Softmax": passthrough.softmax,
    **dict.fromkeys(
        _names("GlobalAveragePooling{}D", "GlobalMaxPooling{}D"),
        passthrough.global_pooling,
    ),
    **dict.fromkeys(
        [
            *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
            # Of InceptionResNetV2 in `keras.applications`: the shortcut, and
            # the branch times a number.
            "CustomScaleLayer",
        ],
        rearrangement.combination,
    ),
    "Concatenate": rearrangement.concatenation,
    "Permute": rearrangement.permutation(lambda layer: (0, *layer.dims)),
    "Reshape": rearrangement.reshaping("target_shape", offset=1),
    "Flatten": rearrangement.flattening,
}
_OPERATIONS: dict[str, passthrough.Rule] = {
    **dict.fromkeys(
        [
            *map(_camel_case, passthrough.ELEMENTWISE),
            *("Cast", "StopGradient", "MaxPool", "AveragePool", "Resize"),
        ],
        passthrough.elementwise,
    ),
    **dict.fromkeys(
        [
            *("Add", "Subtract", "Multiply", "Divide", "TrueDivide"),
            *("Maximum", "Minimum", "Power"),
        ],
        rearrangement.combination,
    ),
    **dict.fromkeys(
        ["Mean", "Sum", "Max", "Min", "Amax", "Amin", "Var", "Std"],
        passthrough.reduction,
    ),
    "Clip": passthrough.one_for_all_channels("x_min", "x_max"),
    "GetItem": rearrangement.indexing,
    "Pad": passthrough.padding("pad_width"),
    "Softmax": passthrough.softmax,
    "Concatenate": rearrangement.concatenation,
    "Split": rearrangement.split("indices_or_sections"),
    "Transpose": rearrangement.permutation(lambda operation: operation.axes),
    "Reshape": rearrangement.reshaping("newshape"),
    "ExpandDims": rearrangement.reshaping(),
    "Squeeze": rearrangement.squeezing,
}
