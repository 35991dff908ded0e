"""Attention taken out of networks, or replaced by another kind."""

from typing import Any

from keras_channel_attn.graph import (
    Call,
    Changes,
    check_classes,
    graph_of,
    rebuild,
    warn,
)
from keras_channel_attn.graph.keras_internals import mask_of
from keras_channel_attn.layers import (
    AttentionLayer,
    ChannelAttention,
    SpatialAttention,
)
from keras_channel_attn.surgery.attention_calls import (
    attention_calls,
    attention_of,
    check_scores_unused,
    chosen_paths,
    is_time_distributed,
    warn_of_hidden_attention,
)
from keras_channel_attn.surgery.attention_layers import AttentionLayers


def remove_attention(model: Any, layers: Any = None) -> Any:
    """A copy of a network without its channel attention, or without some of it.

    What `insert_attention` has put in is taken out, and so is every other
    layer of this library, also one that is wrapped in
    `keras.layers.TimeDistributed`: each passes its input on. Attention inside
    layers that a user wrote, or in a model that is wrapped in
    `TimeDistributed`, stays. Everything else is kept as
    `insert_attention` keeps it. The result is not compiled.

    Args:
        model: Functional or sequential model of Keras, built.
        layers: List of names of attention layers, or a callable from an
            attention layer to a boolean, as in `attention_scores`. A layer
            that is called several times is taken out everywhere. Defaults to
            `None`: all of them.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If `model` is not a model of Keras, or `layers` has another
            type.
        ValueError: If it has no graph, is not built or has no attention; if
            `layers` selects nothing, or has an unknown name, or one inside a
            layer that a user wrote; if attention is called with
            `return_attention_scores=True` or `return_spatial_scores=True`; if
            its class or one of its layers cannot be copied: see
            `insert_attention`.

    Warns:
        UserWarning: If `layers` is `None` and attention stays inside layers
            whose calls the model does not show; if an attribute of the model
            is not carried over.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> model = keras.Model(x, SqueezeExcite(reduction=4)(x))
    >>> remove_attention(model).count_params()
    0
    """
    graph, changes = graph_of(model), Changes()
    calls = attention_calls(graph, "remove_attention")
    for call in (
        calls if layers is None else _calls_of_layers(model, calls, layers)
    ):
        check_scores_unused(call, "remove")
        changes.remove(call)
    copy = rebuild(graph, changes)
    if layers is None:
        warn_of_hidden_attention(graph, "remove_attention")
    return copy


def _calls_of_layers(model: Any, calls: list[Call], layers: Any) -> list[Call]:
    """The calls of the layers that the argument `layers` selects."""
    chosen = chosen_paths(model, layers)
    shown = {attention_of(call) for call in calls}
    hidden = [path for layer, path in chosen.items() if layer not in shown]
    if hidden:
        raise ValueError(
            "`layers` must name attention that the model calls itself. "
            f"Received: {hidden}, inside layers whose calls the model does "
            "not show. Change the attention in the classes of these layers."
        )
    return [call for call in calls if attention_of(call) in chosen]


def replace_attention(model: Any, attention: Any) -> Any:
    """A copy of a network with other channel attention in the same places.

    A layer named `<site>_squeeze_excite` becomes `<site>_<mechanism>`.
    Everything else is kept as `insert_attention` keeps it. The result is not
    compiled.

    The other layers were trained with the gates that are replaced. In place of
    attention without `identity_start` choose attention without it too. In
    layers with one gate for each channel, such as `SqueezeExcite`, these gates
    start near one half. With `identity_start=True` they would start at 1, and
    the next layers would get inputs about twice as large as in training. Layers
    that attend to positions multiply several gates or add their parts, so that
    their outputs start at another size: see their classes.

    Args:
        model: Functional or sequential model of Keras, built.
        attention: As in `insert_attention`. A callable takes the layer that is
            to be replaced; where it returns `None`, that one stays. A layer of
            another class is called without the mask of the attention.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If the model has no graph, is not built or has no attention;
            if the layer has another data format than the network, or changes
            the shape of its input; if it is no attention and the attention in
            its place was called with a mask; if attention returns its scores,
            or a map of the positions, and the new layer does not; if attention
            is wrapped in `keras.layers.TimeDistributed`; if the
            model cannot be copied: see `insert_attention`.

    Warns:
        UserWarning: If an attribute of the model is not carried over; if
            attention with `identity_start=True` replaces attention without it,
            or the reverse; if attention stays inside layers whose calls the
            model does not show.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> attention = SqueezeExcite(reduction=4, name="conv_squeeze_excite")
    >>> model = keras.Model(x, attention(x))
    >>> other = replace_attention(model, EfficientChannelAttention())
    >>> other.layers[-1].name
    'conv_efficient_channel_attention'
    """
    graph, changes = graph_of(model), Changes()
    layers = AttentionLayers(attention, graph)
    calls = attention_calls(graph, "replace_attention")
    check_classes(graph, calls)
    other_starts: dict[str, tuple[AttentionLayer, AttentionLayer]] = {}
    for call in calls:
        if is_time_distributed(call):
            raise ValueError(
                f"`replace_attention` cannot replace '{call.path}', which "
                "wraps attention in `TimeDistributed`. Remove it with "
                "`remove_attention`, and insert other attention."
            )
        layer = layers.instead_of(call)
        if isinstance(layer, AttentionLayer):
            returns_map = call.arguments_by_name().get("return_spatial_scores")
            if returns_map and not isinstance(layer, SpatialAttention):
                check_scores_unused(call, "replace")
            changes.replace(call, layer)
            if layer.identity_start != call.operation.identity_start:
                other_starts[call.path] = call.operation, layer
        elif layer is not None:
            check_scores_unused(call, "replace")
            _check_mask(call, layer)
            changes.replace(call, layer, inputs=call.inputs[:1])
    copy = rebuild(graph, changes)
    _warn_of_other_starts(other_starts)
    warn_of_hidden_attention(graph, "replace_attention")
    return copy


def _warn_of_other_starts(
    pairs: dict[str, tuple[AttentionLayer, AttentionLayer]],
) -> None:
    """Warn of new gates at 1 where the network expects one half, or reversed.

    Args:
        pairs: Dictionary from the paths of attention layers to the layer and
            the one in its place, if these differ in `identity_start`.
    """
    if not pairs:
        return
    path, (_, new) = next(iter(pairs.items()))
    start = new.identity_start
    # Layers that attend to positions multiply several gates, or add them.
    if all(isinstance(x, ChannelAttention) for x in pairs[path]):
        gates, factor = ("at 1", "twice") if start else ("near 0.5", "half")
        effect = (
            f"The new gates start {gates}: for layers that were trained with "
            f"the old gates, the outputs are about {factor} as large."
        )
    else:
        effect = (
            "The outputs of the new layers start at another size than the "
            "layers behind were trained with."
        )
    warn(
        f"`replace_attention`: {len(pairs)} layers, such as '{path}', have "
        f"identity_start={not start}, and those in their place "
        f"identity_start={start}. {effect} Pass attention with "
        f"identity_start={not start}, or train the network long enough."
    )


def _check_mask(call: Call, layer: Any) -> None:
    """A mask that was passed as an argument cannot be left out silently."""
    # Keras records the mask that comes with an input, too.
    own = mask_of(call.inputs[0])
    if any(tensor is not own for tensor in call.inputs[1:]):
        raise ValueError(
            f"'{call.path}' is called with a mask, which the new layer "
            f"'{layer.name}' (of type {type(layer).__name__}) would not get. "
            "Replace it by a layer of `keras_channel_attn`."
        )
