"""How channels propagate through a model: one table, and one walk."""

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
from keras_channel_attn.pruning.coupling import Channels, Coupling
from keras_channel_attn.pruning.passthrough import (
    ELEMENTWISE,
    ELEMENTWISE_LAYERS,
    Inputs,
    Outputs,
    Rule,
    activation,
    attention,
    batch_normalization,
    depthwise_convolution,
    elementwise,
    global_pooling,
    group_normalization,
    noise,
    normalization_over_channels,
    one_for_all_channels,
    padding,
    parametric_relu,
    reduction,
    softmax,
)
from keras_channel_attn.pruning.producers import (
    convolution,
    dense,
    embedding,
    separable_convolution,
    transposed_convolution,
)
from keras_channel_attn.pruning.rearrangement import (
    combination,
    concatenation,
    flattening,
    indexing,
    permutation,
    reshaping,
    split,
    squeezing,
)


def coupling_of(graph: Graph) -> Coupling:
    """What the layers of a model do with channels, nested models included."""
    coupling = Coupling()
    reasons = _reasons_to_lock(graph)
    inputs = [None] * len(graph.model.inputs)
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
    inputs: Inputs,
    reasons: dict[Any, str],
) -> Outputs:
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
    values: Sequence[Channels | None],
) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        known[tensor] = value


def _outputs_of_call(
    coupling: Coupling, call: Call, inputs: Inputs, reasons: dict[Any, str]
) -> Outputs:
    operation = call.operation
    rule = _rule(operation)
    reason = reasons.get(operation) or _reason_to_lock(operation)
    if reason is None and rule is not None:
        return rule(coupling, call, inputs)
    if reason is None:
        reason = "is of a kind whose channels cannot be followed"
        if not is_from_keras(type(operation)):
            reason = "is not of Keras, so that its computation is unknown"
    return coupling.lock_inputs(call, inputs, reason)


def _reasons_to_lock(graph: Graph) -> dict[Any, str]:
    """From layers that something else uses, too, to what that is."""
    arguments = IdentityMap()
    operations = []
    for nested in graph.nested.values():
        operations += operations_of(nested.model)
    for call in graph.all_calls():
        for leaf in keras.tree.flatten((call.args, call.kwargs)):
            if isinstance(leaf, keras.Variable):
                arguments[leaf] = call.path
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


def _rule(operation: Any) -> Rule | None:
    if isinstance(operation, ChannelAttention):
        return attention
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


_LAYERS: dict[str, Rule] = {
    **dict.fromkeys(_names("Conv{}D"), convolution),
    **dict.fromkeys(_names("Conv{}DTranspose"), transposed_convolution),
    **dict.fromkeys(_names("SeparableConv{}D"), separable_convolution),
    **dict.fromkeys(_names("DepthwiseConv{}D"), depthwise_convolution),
    "Dense": dense,
    "Embedding": embedding,
    "BatchNormalization": batch_normalization,
    "GroupNormalization": group_normalization,
    "LayerNormalization": normalization_over_channels,
    "RMSNormalization": normalization_over_channels,
    "PReLU": parametric_relu,
    **dict.fromkeys(
        [
            *ELEMENTWISE_LAYERS,
            *_names("MaxPooling{}D", "AveragePooling{}D", "Cropping{}D"),
            *_names("ZeroPadding{}D", "UpSampling{}D", "SpatialDropout{}D"),
            *("GaussianNoise", "GaussianDropout", "ActivityRegularization"),
            "Resizing",
        ],
        elementwise,
    ),
    "Dropout": noise,
    "AlphaDropout": noise,
    "Activation": activation,
    "Rescaling": one_for_all_channels("scale", "offset"),
    "Softmax": softmax,
    **dict.fromkeys(
        _names("GlobalAveragePooling{}D", "GlobalMaxPooling{}D"),
        global_pooling,
    ),
    **dict.fromkeys(
        [
            *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
            # Of InceptionResNetV2 in `keras.applications`: the shortcut, and
            # the branch times a number.
            "CustomScaleLayer",
        ],
        combination,
    ),
    "Concatenate": concatenation,
    "Permute": permutation(lambda layer: (0, *layer.dims)),
    "Reshape": reshaping("target_shape", offset=1),
    "Flatten": flattening,
}
_OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(
        [
            *map(_camel_case, ELEMENTWISE),
            *("Cast", "StopGradient", "MaxPool", "AveragePool", "Resize"),
        ],
        elementwise,
    ),
    **dict.fromkeys(
        [
            *("Add", "Subtract", "Multiply", "Divide", "TrueDivide"),
            *("Maximum", "Minimum", "Power"),
        ],
        combination,
    ),
    **dict.fromkeys(
        ["Mean", "Sum", "Max", "Min", "Amax", "Amin", "Var", "Std"],
        reduction,
    ),
    "Clip": one_for_all_channels("x_min", "x_max"),
    "GetItem": indexing,
    "Pad": padding("pad_width"),
    "Softmax": softmax,
    "Concatenate": concatenation,
    "Split": split("indices_or_sections"),
    "Transpose": permutation(lambda operation: operation.axes),
    "Reshape": reshaping("newshape"),
    "ExpandDims": reshaping(),
    "Squeeze": squeezing,
}
