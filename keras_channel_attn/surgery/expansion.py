"""Channel attention written as several layers of Keras."""

from collections.abc import Iterator
from typing import Any

from keras_channel_attn.arguments import boolean
from keras_channel_attn.graph import Call, Changes, graph_of, rebuild
from keras_channel_attn.layers import ChannelAttention, SpatialAttention
from keras_channel_attn.surgery.attention_calls import (
    attention_calls,
    check_scores_unused,
    is_time_distributed,
    warn_of_hidden_attention,
)
from keras_channel_attn.surgery.expanded_layers import (
    ExpandedAttention,
    cannot_expand,
    shape_dependence,
)
from keras_channel_attn.surgery.masked_calls import (
    calls_on_masked_inputs,
    takes_mask_argument,
)


def expand_attention(model: Any, ignore_masks: bool = False) -> Any:
    """A copy of a network in which attention consists of layers of Keras.

    The copy computes the same outputs with the same weights. If the model shows
    the calls of all its attention, the copy does not need this library: its
    `.keras` file loads where `keras_channel_attn` is not installed. Converters
    and delegates find the operations that they expect (in LiteRT: MEAN and
    CONV_2D), and tools that quantize convolutions quantize those of the
    attention. Train and analyze a network with the layers of this library, and
    expand it before it is deployed.

    An attention layer named `attention` becomes

    - `attention_squeeze`: a global pooling that keeps the axes. If the average
      and the maximum are used, they are `attention_squeeze_avg` and
      `attention_squeeze_max`; an `Average` of both has the first name;
    - convolutions on the pooled channels: `attention_reduce` and
      `attention_expand` for `SqueezeExcite`, `attention_linear` for
      `LinearSqueezeExcite`, `attention_convolution` for
      `EfficientChannelAttention`. For `pooling="avg_max_separate"` they are
      called twice, and `attention_sum` adds the results;
    - `attention_gate`: the activation that returns the gates. With
      `identity_start=True` they are divided by their value at zero, in
      `attention_gate_scale`;
    - `attention`: the multiplication.

    Layers named `attention_channels_...`, `attention_pad` and the like move or
    repeat the channels between these. A number is appended to a name that the
    network has already.

    Weights, dtype policies, regularizers, constraints and `trainable` flags are
    kept. A sequential model becomes a functional model, as it has branches now.
    Everything else is kept as `insert_attention` keeps it. The result is not
    compiled. `fuse_attention` is the inverse, if its functions are built-ins of
    Keras and it is called once; but not of ECA with circular padding or a
    kernel for each channel, nor of `LinearSqueezeExcite` with groups. A class
    of your own describes its `excite` in the method `expand_excitation`: see
    `ChannelAttention`.

    Args:
        model: Functional or sequential model of Keras, built. Attention inside
            layers that a user wrote, or in a model that is wrapped in
            `keras.layers.TimeDistributed`, stays.
        ignore_masks: Boolean, whether attention that is called with a mask
            becomes layers that pool over all positions. For inputs of full
            length the outputs are the same; for padded ones they are not.
            Other layers that take a mask keep it, but not those behind the
            attention in a nested model that gets its mask with its input.
            Keras before 3.14 refuses a model with an input that nothing takes
            any more. Defaults to `False`.

    Returns:
        A model of the same class, or a plain functional model where that class
        is not constructed from inputs and outputs.

    Raises:
        TypeError: If `model` is not a model of Keras, or `ignore_masks` not a
            boolean.
        ValueError: If the model has no graph, is not built or has no attention;
            if an attention layer is called with a mask and `ignore_masks` is
            `False`, is called with integers or with inputs of several ranks,
            is called with `return_attention_scores=True` or
            `return_spatial_scores=True`, is wrapped in
            `keras.layers.TimeDistributed`, is of a class of your own without
            `expand_excitation` or with a `squeeze` or `call` of its own, or has
            an activation, a regularizer or a constraint that depends on the
            rank of its input; if the model cannot be copied: see
            `insert_attention`.

    Warns:
        UserWarning: If attention stays inside layers whose calls the model does
            not show; if an attribute of the model is not carried over.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> model = keras.Model(x, SqueezeExcite(4, name="attention")(x))
    >>> expanded = expand_attention(model)
    >>> for layer in expanded.layers[1:]:
    ...     print(type(layer).__name__, layer.name)
    GlobalAveragePooling2D attention_squeeze
    Conv2D attention_reduce
    Conv2D attention_expand
    Activation attention_gate
    Multiply attention
    """
    boolean("ignore_masks", ignore_masks)
    graph, changes = graph_of(model), Changes()
    expanded: dict[Any, ExpandedAttention] = {}
    taken, on_masked = set(graph.operations()), calls_on_masked_inputs(graph)
    for call in attention_calls(graph, "expand_attention"):
        check_scores_unused(call, "expand")
        layers = expanded.setdefault(
            call.operation, ExpandedAttention(call, taken)
        )
        layers.drops_mask |= call in on_masked
        is_masked = call in on_masked or takes_mask_argument(call)
        is_refused = is_masked and not ignore_masks
        reason = next(_obstacles(call, layers.rank, is_refused), None)
        if reason is not None:
            raise ValueError(cannot_expand(call.path, reason))
        changes.replace(call, layers, inputs=call.inputs[:1], extends=False)
    copy = rebuild(graph, changes)
    for layers in expanded.values():
        layers.copy_weights()
    warn_of_hidden_attention(graph, "expand_attention")
    return copy


def _obstacles(call: Call, rank: int, is_masked: bool) -> Iterator[str]:
    """Why an attention layer cannot be expanded, sentence by sentence.

    Args:
        call: `Call` of the layer.
        rank: Integer, the rank of the input of its first call.
        is_masked: Boolean, whether it gets a mask that is not ignored.
    """
    layer = call.operation
    if is_time_distributed(call):
        yield (
            "it wraps attention in `TimeDistributed`. Call the attention on "
            "inputs without the time axis, or remove it."
        )
    elif isinstance(layer, SpatialAttention):
        if not layer.is_described("attend", by="expand"):
            yield f"its class {type(layer).__name__} has no method `expand`."
    elif not layer.is_described("excite", by="expand_excitation"):
        yield (
            f"its class {type(layer).__name__} is none of this library, and "
            "has no method `expand_excitation` for its `excite`. Write one: "
            "see `ChannelAttention.expand_excitation`."
        )
    else:
        for name in ("squeeze", "call"):
            if getattr(type(layer), name) is not getattr(
                ChannelAttention, name
            ):
                yield (
                    f"its class {type(layer).__name__} has a method `{name}` "
                    "of its own. Only layers that pool can be expanded."
                )
    if is_masked:
        yield (
            "it is called with a mask, which most pooling layers of Keras do "
            "not take. If all inputs have their full length, pass "
            "`ignore_masks=True`."
        )
    dtype = call.inputs[0].dtype
    if "float" not in dtype:
        yield f"its input is {dtype}, not floating-point."
    for name in ("activation", "gate_activation"):
        function = getattr(layer, name, None)
        reason = shape_dependence(name, function, (3, 5), (3, 1, 1, 5))
        if reason is not None:
            yield reason
    other = len(call.inputs[0].shape)
    if other != rank:
        yield f"it is called with inputs of rank {rank} and {other}."
