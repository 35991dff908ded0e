"""How channels propagate through a model: a table of rules.

A rule takes a `Step`, which is one call with the channels of its inputs. It
records what the call does with them, and returns those of its outputs. Where
it raises `NotFollowed`, those of the inputs are locked.
"""

from typing import Any

import keras

from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    arguments_of_model,
    inner_layers,
    interpret,
    is_from_keras,
    is_model,
    rules_by_name,
    snake_name,
)
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.pruning import passthrough, producers, rearrangement
from keras_channel_attn.pruning.coupling import (
    Coupling,
    NotFollowed,
    Step,
    TensorChannels,
)


def coupling_of(graph: Graph) -> Coupling:
    """What the layers of a model do with channels, nested models included."""
    coupling = Coupling()
    reasons = _reasons_to_lock(graph)

    def apply(call: Call, channels: IdentityMap) -> TensorChannels:
        given = [channels[tensor] for tensor in call.inputs]
        step, operation = Step(coupling, call, given), call.operation
        reason = _reason_to_lock(operation) or reasons.get(operation)
        if reason is not None:
            return step.lock(reason)
        try:
            return _rule(operation)(step)
        except NotFollowed as error:
            return step.lock(str(error))

    def enter(call: Call, channels: IdentityMap) -> TensorChannels:
        """The channels of the inputs of a nested model."""
        arguments = arguments_of_model(call, call.args, call.kwargs)
        return [
            coupling.enter(tensor, channels.get(argument), call.path)
            for tensor, argument in zip(
                call.operation.inputs, arguments, strict=True
            )
        ]

    inputs: TensorChannels = [None] * len(graph.model.inputs)
    outputs = interpret(graph, inputs, apply, enter)
    # Of several reasons the first one is shown, and this is the plainest.
    others, coupling.locks = coupling.locks, []
    for channels in filter(None, outputs):
        coupling.lock(channels.ids, "they are an output of the model")
    coupling.locks += others
    return coupling


def held_model(layer: Any) -> Any:
    """The model with a graph inside a layer, such as a wrapper, or `None`."""
    inside = (inner for place, inner in inner_layers(layer) if place)
    return next(filter(is_model, inside), None)


def _reasons_to_lock(graph: Graph) -> dict[Any, str]:
    """From layers whose weights something else uses, too, to what that is."""
    reasons: dict[Any, str] = {}
    # From each variable to the layers and operations that use it.
    users = IdentityMap()
    for call in graph.all_calls():
        operation = call.operation
        variables = [
            leaf
            for leaf in keras.tree.flatten((call.args, call.kwargs))
            if isinstance(leaf, keras.Variable)
        ]
        if isinstance(operation, keras.layers.Layer) and not is_model(
            operation
        ):
            variables += operation.weights
            for place, inner in inner_layers(operation):
                if place:
                    reasons[inner] = f"is a part of '{call.path}' as well"
        for variable in variables:
            users.setdefault(variable, {})[operation] = call.path
    for variable in users:
        paths = users[variable]
        for user in paths:
            others = [paths[other] for other in paths if other is not user]
            if others and isinstance(user, keras.layers.Layer):
                reason = f"shares a weight with '{others[0]}'"
                reasons.setdefault(user, reason)
    return reasons


def _reason_to_lock(operation: Any) -> str | None:
    """Why there is no rule, or a layer is not what its class is."""
    if _rule(operation) is None:
        return _reason_without_rule(operation)
    if isinstance(operation, keras.layers.Layer):
        if operation.dtype_policy.quantization_mode is not None:
            return "is quantized"
        if getattr(operation, "lora_enabled", False):
            return "has LoRA weights"
        if "call" in vars(operation):
            return "has a `call` that was replaced"
    return None


def _reason_without_rule(operation: Any) -> str:
    if model := held_model(operation):
        return f"holds the model '{model.name}', which is not followed"
    if isinstance(operation, keras.layers.Wrapper):
        return f"wraps the layer '{operation.layer.name}', and is not followed"
    if isinstance(operation, keras.layers.Lambda):
        return "calls a function: its computation is unknown"
    bases = [x for x in type(operation).__mro__ if is_from_keras(x)]
    if bases[0] is type(operation):
        return "is of a kind whose channels cannot be followed"
    if bases[0].__name__ in _LAYERS:
        name = bases[0].__name__
        return f"is of a subclass of {name}: its computation is unknown"
    return "is not of Keras: its computation is unknown"


# The tables: layers by class, operations by their function in `keras.ops`.


def _rule(operation: Any) -> Any:
    """A `passthrough.Rule`, or `None`."""
    if isinstance(operation, AttentionLayer):
        return passthrough.attention
    if not is_from_keras(type(operation)):
        return None
    if isinstance(operation, keras.layers.Layer):
        return _LAYERS.get(type(operation).__name__)
    return _OPERATIONS.get(snake_name(operation))


_SOFTMAX = passthrough.along_other_axes("is computed over all channels")
_LAYERS = rules_by_name(
    (producers.convolution, "Conv{}D"),
    (producers.transposed_convolution, "Conv{}DTranspose"),
    (producers.separable_convolution, "SeparableConv{}D"),
    (producers.dense, "Dense"),
    (producers.embedding, "Embedding"),
    (passthrough.depthwise_convolution, "DepthwiseConv{}D"),
    (passthrough.batch_normalization, "BatchNormalization"),
    (passthrough.group_normalization, "GroupNormalization"),
    (
        passthrough.along_other_axes("normalizes all channels together"),
        "LayerNormalization RMSNormalization",
    ),
    (passthrough.elementwise, " ".join(passthrough.ELEMENTWISE_LAYERS)),
    (passthrough.elementwise, "MaxPooling{}D AveragePooling{}D UpSampling{}D"),
    (passthrough.elementwise, "ZeroPadding{}D Cropping{}D SpatialDropout{}D"),
    (passthrough.elementwise, "GaussianNoise GaussianDropout Resizing"),
    (passthrough.elementwise, "ActivityRegularization"),
    (passthrough.parametric_relu, "PReLU"),
    (passthrough.activation, "Activation"),
    (_SOFTMAX, "Softmax"),
    (passthrough.noise, "Dropout AlphaDropout"),
    (passthrough.one_for_all_channels("scale", "offset"), "Rescaling"),
    (passthrough.global_pooling, "GlobalAveragePooling{}D GlobalMaxPooling{}D"),
    (rearrangement.combination, "Add Subtract Multiply Average"),
    (rearrangement.combination, "Maximum Minimum"),
    # Of InceptionResNetV2 in `keras.applications`: the shortcut, and the branch
    # times a number.
    (rearrangement.combination, "CustomScaleLayer"),
    (rearrangement.concatenation, "Concatenate"),
    (rearrangement.permutation, "Permute"),
    (rearrangement.reshaping("target_shape", offset=1), "Reshape"),
    (rearrangement.reshaping(), "Flatten"),
)
_OPERATIONS = rules_by_name(
    (passthrough.elementwise, " ".join(passthrough.ELEMENTWISE)),
    (passthrough.elementwise, "cast stop_gradient max_pool average_pool"),
    (passthrough.elementwise, "resize"),
    (passthrough.reduction, "mean sum max min amax amin var std"),
    (passthrough.one_for_all_channels("x_min", "x_max"), "clip"),
    (passthrough.padding, "pad"),
    (_SOFTMAX, "softmax"),
    (rearrangement.combination, "add subtract multiply divide true_divide"),
    (rearrangement.combination, "maximum minimum power"),
    (rearrangement.concatenation, "concatenate"),
    (rearrangement.split, "split"),
    (rearrangement.indexing, "get_item"),
    (rearrangement.permutation, "transpose"),
    (rearrangement.reshaping("newshape"), "reshape"),
    (rearrangement.reshaping(), "expand_dims"),
    (rearrangement.squeezing, "squeeze"),
)
