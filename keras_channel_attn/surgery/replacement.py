"""Attention taken out of networks, or replaced by another kind."""

from typing import Any

from keras_channel_attn.graph import Call, Changes, Graph, graph_of, rebuild
from keras_channel_attn.layers import ChannelAttention
from keras_channel_attn.surgery.attention_layers import (
    AttentionLayers,
    mechanism_name,
)


def remove_attention(model: Any) -> Any:
    """A copy of a network without its channel attention.

    What `insert_attention` has put in is taken out, and so is every other
    layer of this library: each passes its input on. All other layers keep their
    names, weights and `trainable` flags. The result is not compiled.

    Args:
        model: Functional or sequential model of Keras, built.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If it has no graph, is not built or has no attention; if
            attention scores are used in it.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> model = keras.Model(x, SqueezeExcite()(x))
    >>> remove_attention(model).count_params()
    0
    """
    graph, changes = graph_of(model), Changes()
    for call in _attention_calls(graph, "remove_attention"):
        if call.kwargs.get("return_attention_scores"):
            raise ValueError(
                f"`remove_attention` cannot remove '{call.path}': the model "
                "uses its attention scores. Pass a model without them."
            )
        changes.remove(call)
    return rebuild(graph, changes)


def replace_attention(model: Any, attention: Any) -> Any:
    """A copy of a network with other channel attention in the same places.

    A layer named `<site>_squeeze_excite` becomes `<site>_<mechanism>`. All
    other layers keep their names, weights and `trainable` flags. The result is
    not compiled.

    Args:
        model: Functional or sequential model of Keras, built.
        attention: As in `insert_attention`. A callable takes the layer that is
            to be replaced; where it returns `None`, that one stays.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If the model has no graph, is not built or has no attention;
            if the layer has another data format than the network.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> model = keras.Model(x, SqueezeExcite(name="conv_squeeze_excite")(x))
    >>> other = replace_attention(model, EfficientChannelAttention())
    >>> other.layers[-1].name
    'conv_efficient_channel_attention'
    """
    graph, changes = graph_of(model), Changes()
    layers = AttentionLayers(attention, graph)
    for call in _attention_calls(graph, "replace_attention"):
        old = call.operation
        path = call.path.removesuffix("_" + mechanism_name(old))
        layer = layers.at(old, path, old.data_format, instead_of=call.path)
        if layer is not None:
            changes.replace(call, layer)
    return rebuild(graph, changes)


def _attention_calls(graph: Graph, name: str) -> list[Call]:
    """All calls of attention in a model, at least one."""
    calls = [
        call
        for call in graph.all_calls()
        if isinstance(call.operation, ChannelAttention)
    ]
    if not calls:
        raise ValueError(
            f"`{name}` found no channel attention in the model "
            f"'{graph.model.name}'. It looks for layers of "
            "`keras_channel_attn`; `fuse_squeeze_excite` makes them of "
            "Squeeze-and-Excitation that is written as several layers."
        )
    return calls
