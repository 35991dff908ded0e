"""The calls of attention in a model."""

from typing import Any

import keras

from keras_channel_attn.analysis.attention_layers import (
    attention_inside,
    attention_paths,
    attention_places,
)
from keras_channel_attn.analysis.observable_layers import selected_layers
from keras_channel_attn.graph import (
    Call,
    Graph,
    is_from_keras,
    is_model,
    warn,
)
from keras_channel_attn.layers import AttentionLayer

# What functions need beside a model, in the code that an error shows.
_OTHER_ARGUMENTS = {
    "replace_attention": ", attention",
    "freeze_attention": ", frames",
}


def attention_calls(graph: Graph, function: str) -> list[Call]:
    """All calls of attention, also of attention in `TimeDistributed`.

    Args:
        graph: `Graph` of the model.
        function: Name of the public function, for the error.

    Returns:
        List of `Call`, not empty.

    Raises:
        ValueError: If the model has no attention.
    """
    calls = [
        call for call in graph.all_calls() if attention_of(call) is not None
    ]
    if calls:
        return calls
    hidden = _hidden(graph)
    if hidden:
        raise ValueError(
            f"`{function}` changes the layers that a model shows. All channel "
            f"attention of the model '{graph.model.name}' is called inside the "
            f"layers {sorted(hidden)}.{_advice(hidden, function)}"
        )
    raise ValueError(
        f"`{function}` found no channel attention in the model "
        f"'{graph.model.name}'. It looks for layers of `keras_channel_attn`; "
        "`fuse_attention` makes them of attention that is written as several "
        "layers."
    )


def warn_of_hidden_attention(graph: Graph, function: str) -> None:
    """Warn of attention that stays, as the graph does not show its calls."""
    hidden = _hidden(graph)
    if hidden:
        warn(
            f"`{function}` leaves the channel attention inside the layers "
            f"{sorted(hidden)} as it is: it changes the layers that a model "
            f"shows.{_advice(hidden, function)}"
        )


def _hidden(graph: Graph) -> dict[str, Any]:
    """The layers with attention that the graph does not show, by path."""
    return {
        call.path: call.operation
        for call in graph.all_calls()
        if call.inner is None
        and attention_of(call) is None
        and attention_inside(call.operation)
    }


def _advice(hidden: dict[str, Any], function: str) -> str:
    """What to do about layers with attention that the graph does not show."""
    rest = _OTHER_ARGUMENTS.get(function, "")
    advice, lines = "", []
    for path, layer in hidden.items():
        if is_model(getattr(layer, "layer", None)):
            names = "".join(f".get_layer({x!r})" for x in path.split("/"))
            line = f"{function}(model{names}.layer{rest})"
            if is_from_keras(type(layer)):
                line = f"keras.layers.{type(layer).__name__}({line})"
            lines.append(f"`{line}`")
    if lines:
        advice += (
            " Change the model that is wrapped, and build the network around "
            f"it again: {', '.join(lines)}."
        )
    if len(lines) < len(hidden):
        advice += " Change the attention in the classes of these layers."
    return advice


def attention_of(call: Call) -> Any:
    """The attention layer that is called, or `None`.

    That is also one in `keras.layers.TimeDistributed`. Other layers that hold
    attention may compute something else beside it.
    """
    layer = call.operation
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    return layer if isinstance(layer, AttentionLayer) else None


def chosen_paths(
    model: Any, layers: Any, others: str = ""
) -> dict[AttentionLayer, str]:
    """The attention layers that the argument `layers` selects, with paths.

    `others` is what else it may be, for the error.
    """
    paths = attention_paths(attention_places(model))
    return selected_layers(model, paths, layers, others)


def check_scores_unused(call: Call, verb: str) -> None:
    """Raise an error if a call returns its attention scores."""
    if len(call.outputs) > 1:
        raise ValueError(
            f"`{verb}_attention` cannot {verb} '{call.path}': it is called "
            "with `return_attention_scores=True` or "
            "`return_spatial_scores=True`. Build the model without these "
            "arguments."
        )


def is_time_distributed(call: Call) -> bool:
    """Whether the attention is wrapped in `keras.layers.TimeDistributed`."""
    return isinstance(call.operation, keras.layers.TimeDistributed)
