"""Attention that is written as several layers, made one layer."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Changes, graph_of, rebuild
from keras_channel_attn.surgery.attention_layers import free_name
from keras_channel_attn.surgery.expanded_layers import shape_dependence
from keras_channel_attn.surgery.fusion_conditions import policy_of
from keras_channel_attn.surgery.matches import Match, Weight
from keras_channel_attn.surgery.own_layers import replace_own_layers
from keras_channel_attn.surgery.recognition import attention_blocks, blocks_of


def fuse_attention(
    model: Any, layers: dict[type, Callable[[Any], Any]] | None = None
) -> Any:
    """A copy of a network with each attention block as a single layer.

    Most attention in networks of Keras is a function that emits several layers:
    a pooling, two dense layers and a multiplication. Such attention cannot be
    looked at, replaced or removed. In the copy each block is one layer of this
    library with the same weights and outputs, and the name of the layer or
    operation that computed its output, the multiplication.

    A block is recognized by what its operations compute, not by the classes of
    its layers: layers of Keras, functions of `keras.ops`, operators, indices,
    and each `Lambda` or own layer without weights that is written with them.
    `attention_blocks` lists what is recognized, and what nearly is and why not.

    A block is left alone where one layer could not do the same: if its weights
    or tensors are used elsewhere too, if its parts are not trained or computed
    alike (a single frozen bias included), if a layer of it acts in training
    only, if a gradient is stopped in it, if it is quantized, or if a mask comes
    with its input.

    The weights of the layer are those of the block, with four exceptions. If a
    normalization of the block has another epsilon than the layer, the weights
    before it are multiplied by a number: the outputs are the same, in training
    too, and the moving statistics get the momentum of the layer. A bias that is
    added after the sum of two descriptors is halved. A bias that only one of
    several maps has is joined by biases of zeros that are not trainable. The
    spatial kernel of a CBAM that puts the maximum before the mean is reversed.

    If a regularizer or a constraint is not the same for all weights of a layer,
    it is set on the weights. Like everything that is set on a layer after its
    construction, it is not in a saved file, and neither are flags of single
    weights.

    Everything else is kept as `insert_attention` keeps it. The result is not
    compiled. This is the inverse of `expand_attention`.

    Args:
        model: Functional or sequential model of Keras, built.
        layers: Dictionary from classes of your own layers, which the graph of
            a network does not show from inside, to functions. A function takes
            a layer of exactly this class and returns a new layer of this
            library and the list of its weights, arrays in the order of
            `get_weights`. The outputs of both layers are compared. Layers
            inside others, such as `TimeDistributed`, are not read. Defaults to
            `None`.

    Returns:
        A model of the same class, or a plain functional model where that class
        is not constructed from inputs and outputs.

    Raises:
        TypeError: If `model` is not a model of Keras, `layers` is no dictionary
            from classes to functions, or a function in it returns something
            else.
        ValueError: If it has no graph, is not built, or has no such block; if
            it calls no layer of a class in `layers`; if a layer from `layers`
            is in use already, or computes something else than the original; if
            the original is called on several tensors or with a mask; if
            its class or one of its layers cannot be copied: see
            `insert_attention`.

    Warns:
        UserWarning: If an attribute of the model is not carried over.

    Examples:

    >>> model = keras.applications.MobileNetV3Small(
    ...     weights=None, include_top=False, input_shape=(64, 64, 3)
    ... )
    >>> fused = fuse_attention(model)
    >>> sum(isinstance(layer, SqueezeExcite) for layer in fused.layers)
    9
    """
    graph, changes = graph_of(model), Changes()
    taken = set(graph.operations())
    called: set[Any] = set()
    for block in blocks_of(graph):
        if block.obstacle is not None:
            continue
        name = block.call.operation.name
        if block.call.operation in called:
            # One layer without weights may multiply in several blocks.
            name = free_name(name, block.call.graph.prefix, taken)
        called.add(block.call.operation)
        _fuse(block.match, block.arguments, name, changes)
    if layers is not None:
        replace_own_layers(graph, layers, changes)
    if not changes.instead:
        raise ValueError(
            f"`fuse_attention` found no block in the model '{model.name}' that "
            "one attention layer can replace. Such a block is computed from "
            "its own input by operations of Keras, each part of it is used "
            "for nothing else, and all are trained and computed alike, without "
            "masks, dropout or quantization. Models inside other layers are "
            "not read. Attention that is one layer needs no fusion. "
            f"`attention_blocks` finds:\n{attention_blocks(model)}"
        )
    return rebuild(graph, changes)


def _fuse(
    match: Match, arguments: dict[str, Any], name: str, changes: Changes
) -> None:
    weights = match.weights()
    layer = match.mechanism.layer(
        **{"data_format": keras.config.image_data_format(), **arguments},
        **_functions_of_all(weights),
        dtype=policy_of(match),
        name=name,
    )

    def prepare(built: Any) -> None:
        for node in match.nodes().values():
            built.trainable = node.layer.trainable
        for weight in weights:
            _give(getattr(built, weight.name), weight)

    changes.replace(
        match.product, layer, inputs=[match.inputs], prepare=prepare
    )


def _give(own: Any, weight: Weight) -> None:
    """Give a weight the value of the original, and what was set on it."""
    original = weight.original
    if original is None:
        own.assign(keras.ops.zeros(own.shape))
        own.trainable = False
        return
    # Without the spatial axes of kernels, whose size is 1. A new array: JAX
    # frees those that a training step was given.
    value = keras.ops.convert_to_numpy(original).reshape(own.shape)
    own.assign(
        weight.factor * (np.flip(value, -2) if weight.is_reversed else value)
    )
    for role, kind in _IN_SHAPE.items():
        function = getattr(original, role)
        if _serialized(role, function) == _serialized(role, getattr(own, role)):
            continue
        if function is not None and own.shape != original.shape:
            function = kind(function, original.shape)
        setattr(own, role, function)


def _functions_of_all(weights: list[Weight]) -> dict[str, Any]:
    """The regularizers and constraints that all weights of a kind have."""
    arguments = {}
    for kind in ("kernel", "bias"):
        originals = [w.original for w in weights if kind in w.name]
        for role in _IN_SHAPE:
            functions = [getattr(x, role, None) for x in originals]
            serialized = [_serialized(role, x) for x in functions]
            name = f"{kind}_{role}"
            if (
                functions
                and functions[0] is not None
                and all(x == serialized[0] for x in serialized)
                and all(
                    shape_dependence(
                        name, functions[0], tuple(x.shape), tuple(x.shape[-2:])
                    )
                    is None
                    for x in originals
                )
            ):
                arguments[name] = functions[0]
    return arguments


def _serialized(role: str, function: Any) -> Any:
    return getattr(keras, f"{role}s").serialize(function)


class _RegularizerInShape(keras.regularizers.Regularizer):
    """A regularizer that gets a weight in another shape."""

    def __init__(self, function: Any, shape: Any) -> None:
        self.function = function
        self.shape = shape

    def __call__(self, x: Any) -> Any:
        return self.function(keras.ops.reshape(x, self.shape))


class _ConstraintInShape(keras.constraints.Constraint):
    """A constraint that gets a weight in another shape."""

    def __init__(self, function: Any, shape: Any) -> None:
        self.function = function
        self.shape = shape

    def __call__(self, w: Any) -> Any:
        value = self.function(keras.ops.reshape(w, self.shape))
        return keras.ops.reshape(value, w.shape)


# What may be set on a weight that is built.
_IN_SHAPE = {
    "regularizer": _RegularizerInShape,
    "constraint": _ConstraintInShape,
}
