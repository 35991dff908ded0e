"""How channels propagate through a model: a walk, and a table of rules.

A rule takes a `Step`, which is one call with the channels of its inputs. It
records what the call does with them, and returns those of its outputs.
"""

from collections.abc import Iterable, Sequence
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


def _rules(*rows: tuple[passthrough.Rule, str]) -> dict[str, passthrough.Rule]:
    """From the names of classes to their rules.

    Args:
        *rows: A rule, and names of classes. In a name, `{}` stands for the
            number of spatial axes.
    """
    return {
        name.format(rank): rule
        for rule, names in rows
        for name in names.split()
        for rank in "123"
    }


def _class_names(functions: Iterable[str]) -> str:
    """`"LeakyRelu"` for the function `"leaky_relu"`."""
    return " ".join(
        "".join(map(str.capitalize, name.split("_"))) for name in functions
    )


_LAYERS = _rules(
    (producers.convolution, "Conv{}D"),
    (producers.transposed_convolution, "Conv{}DTranspose"),
    (producers.separable_convolution, "SeparableConv{}D"),
    (producers.dense, "Dense"),
    (producers.embedding, "Embedding"),
    (passthrough.depthwise_convolution, "DepthwiseConv{}D"),
    (passthrough.batch_normalization, "BatchNormalization"),
    (passthrough.group_normalization, "GroupNormalization"),
    (
        passthrough.normalization_over_channels,
        "LayerNormalization RMSNormalization",
    ),
    (passthrough.elementwise, " ".join(passthrough.ELEMENTWISE_LAYERS)),
    (passthrough.elementwise, "MaxPooling{}D AveragePooling{}D UpSampling{}D"),
    (passthrough.elementwise, "ZeroPadding{}D Cropping{}D Resizing"),
    (passthrough.elementwise, "SpatialDropout{}D GaussianNoise"),
    (passthrough.elementwise, "GaussianDropout ActivityRegularization"),
    (passthrough.parametric_relu, "PReLU"),
    (passthrough.activation, "Activation"),
    (passthrough.softmax, "Softmax"),
    (passthrough.noise, "Dropout AlphaDropout"),
    (passthrough.one_for_all_channels("scale", "offset"), "Rescaling"),
    (passthrough.global_pooling, "GlobalAveragePooling{}D GlobalMaxPooling{}D"),
    (rearrangement.combination, "Add Subtract Multiply Average"),
    (rearrangement.combination, "Maximum Minimum"),
    # Of InceptionResNetV2 in `keras.applications`: the shortcut, and the branch
    # times a number.
    (rearrangement.combination, "CustomScaleLayer"),
    (rearrangement.concatenation, "Concatenate"),
    (rearrangement.permutation(lambda layer: (0, *layer.dims)), "Permute"),
    (rearrangement.reshaping("target_shape", offset=1), "Reshape"),
    (rearrangement.flattening, "Flatten"),
)
_OPERATIONS = _rules(
    (passthrough.elementwise, _class_names(passthrough.ELEMENTWISE)),
    (passthrough.elementwise, "Cast StopGradient MaxPool AveragePool Resize"),
    (passthrough.reduction, "Mean Sum Max Min Amax Amin Var Std"),
    (passthrough.one_for_all_channels("x_min", "x_max"), "Clip"),
    (passthrough.padding("pad_width"), "Pad"),
    (passthrough.softmax, "Softmax"),
    (rearrangement.combination, "Add Subtract Multiply Divide TrueDivide"),
    (rearrangement.combination, "Maximum Minimum Power"),
    (rearrangement.concatenation, "Concatenate"),
    (rearrangement.split("indices_or_sections"), "Split"),
    (rearrangement.indexing, "GetItem"),
    (rearrangement.permutation(lambda operation: operation.axes), "Transpose"),
    (rearrangement.reshaping("newshape"), "Reshape"),
    (rearrangement.reshaping(), "ExpandDims"),
    (rearrangement.squeezing, "Squeeze"),
)
