"""The calls of attention in a model."""

import keras

from keras_channel_attn.graph import Call, Graph, inner_layers
from keras_channel_attn.layers import ChannelAttention


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
        call
        for call in graph.all_calls()
        if isinstance(call.operation, ChannelAttention)
        or isinstance(getattr(call.operation, "layer", None), ChannelAttention)
    ]
    if not calls:
        raise ValueError(
            f"`{function}` found no channel attention in the model "
            f"'{graph.model.name}'{_attention_inside(graph)}. It looks for "
            "layers of `keras_channel_attn`; `fuse_squeeze_excite` makes them "
            "of Squeeze-and-Excitation that is written as several layers."
        )
    return calls


def _attention_inside(graph: Graph) -> str:
    """What to do about attention inside another layer, if there is some."""
    for call in graph.all_calls():
        if isinstance(call.operation, keras.layers.Layer):
            for _, inner in inner_layers(call.operation):
                if isinstance(inner, ChannelAttention):
                    return (
                        f" but '{inner.name}' inside '{call.path}' (of type "
                        f"{type(call.operation).__name__}), which is not read: "
                        "if it holds a model, pass that, and wrap the result "
                        "again"
                    )
    return ""


def check_scores_unused(call: Call, verb: str) -> None:
    """Raise an error if a call returns its attention scores."""
    if len(call.outputs) > 1:
        raise ValueError(
            f"`{verb}_attention` cannot {verb} '{call.path}': the model uses "
            "its attention scores. Pass a model without them."
        )


def is_time_distributed(call: Call) -> bool:
    """Whether the attention is wrapped in `keras.layers.TimeDistributed`."""
    return isinstance(call.operation, keras.layers.TimeDistributed)
