"""The calls of attention in a model."""

from typing import Any

import keras

from keras_channel_attn.analysis.attention_layers import attention_inside
from keras_channel_attn.graph import Call, Graph, is_from_keras, is_model
from keras_channel_attn.layers import AttentionLayer


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
        if isinstance(call.operation, AttentionLayer)
        or isinstance(getattr(call.operation, "layer", None), AttentionLayer)
    ]
    if calls:
        return calls
    hidden = _layers_with_attention_inside(graph)
    raise ValueError(
        _advice(hidden, graph.model.name, function)
        if hidden
        else f"`{function}` found no channel attention in the model "
        f"'{graph.model.name}'. It looks for layers of `keras_channel_attn`; "
        "`fuse_attention` makes them of attention that is written as several "
        "layers."
    )


def _advice(hidden: dict[str, Any], model: str, function: str) -> str:
    advice = (
        f"`{function}` changes the layers that a model shows. All channel "
        f"attention of the model '{model}' is called inside the layers "
        f"{sorted(hidden)}."
    )
    rest = ", attention" if function == "replace_attention" else ""
    models = _wrapped_models(hidden)
    lines = [
        f"`keras.layers.{type(layer).__name__}({function}({code}{rest}))`"
        if is_from_keras(type(layer))
        else f"`{function}({code}{rest})`"
        for code, layer in models.items()
    ]
    if models:
        advice += (
            " Change the model that is wrapped, and build the network around "
            f"it again: {', '.join(lines)}."
        )
    if len(models) < len(hidden):
        advice += " Change the attention in the classes of these layers."
    return advice


def _layers_with_attention_inside(graph: Graph) -> dict[str, Any]:
    """From paths to the layers with attention that the graph does not show."""
    return {
        call.path: call.operation
        for call in graph.all_calls()
        if call.inner is None and attention_inside(call.operation)
    }


def _wrapped_models(layers: dict[str, Any]) -> dict[str, Any]:
    """Of layers with their paths: the code for the models that they wrap.

    Returns:
        Dictionary from code, such as `"model.get_layer('frames').layer"`, to
        the wrapper.
    """
    return {
        "model"
        + "".join(f".get_layer({name!r})" for name in path.split("/"))
        + ".layer": layer
        for path, layer in layers.items()
        if is_model(getattr(layer, "layer", None))
    }


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
