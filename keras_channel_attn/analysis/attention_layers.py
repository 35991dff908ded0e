"""The attention layers of a model."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_channel_attn.analysis.keys import unique_keys
from keras_channel_attn.graph import (
    Graph,
    graph_of,
    inner_layers,
    is_model,
)
from keras_channel_attn.graph.keras_internals import functional_model
from keras_channel_attn.layers import ChannelAttention


def attention_layers(model: Any) -> dict[str, ChannelAttention]:
    """The channel attention layers of a model, those of models in it included.

    Args:
        model: Model of Keras. A sequential model has to be built.

    Returns:
        Dictionary from the path of each layer to the layer, in the order of
        computation. The path is the name of the layer, preceded by the names of
        the models and layers around it, as in `attention_scores`:
        `"backbone/conv1_se"`. Attention inside another layer, such as
        `keras.layers.TimeDistributed` or a layer of your own, and in a model
        with a `call` method of its own, is found where an attribute holds it.
        It is in the order of the attributes. A second path of the same names
        has `":1"` after it.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If the sequential model is not built.

    Examples:

    >>> inputs = keras.Input((8, 8, 16))
    >>> outputs = SqueezeExcite(reduction=4, name="se")(inputs)
    >>> model = keras.Model(inputs, outputs)
    >>> for path, layer in attention_layers(model).items():
    ...     print(path, layer.count_params())
    se 128
    """
    if not isinstance(model, keras.Model) or is_model(model):
        graph_of(model)  # It raises the errors.
    paths: dict[ChannelAttention, str] = {}
    for path, layer in _attention_in(model, ""):
        paths.setdefault(layer, path)
    keys = unique_keys(paths.values())
    return dict(zip(keys, paths, strict=True))


def attention_inside(operation: Any) -> list[ChannelAttention]:
    """The attention layers that a layer or operation is or holds."""
    if not isinstance(operation, keras.layers.Layer):
        return []
    layers = (layer for _, layer in inner_layers(operation))
    return [layer for layer in layers if isinstance(layer, ChannelAttention)]


def layers_with_hidden_attention(
    graph: Graph, shown: Iterable[Any] = ()
) -> dict[str, Any]:
    """The layers of a model that hold attention which its graph does not show.

    Args:
        graph: `Graph` of the model.
        shown: Attention layers that are no reason to name a layer.

    Returns:
        Dictionary from the path of each layer to the layer.
    """
    known = set(shown)
    return {
        call.path: call.operation
        for call in graph.all_calls()
        if call.inner is None and {*attention_inside(call.operation)} - known
    }


def wrapped_models(layers: dict[str, Any]) -> dict[str, Any]:
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


def _attention_in(layer: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Pairs of path and layer, one for each place where attention is."""
    if isinstance(layer, ChannelAttention):
        yield prefix.removesuffix("/"), layer
        return
    for inner in _layers_in(layer):
        yield from _attention_in(inner, f"{prefix}{inner.name}/")


def _layers_in(layer: Any) -> list[Any]:
    """The layers that a layer calls or holds, without those inside them."""
    if not isinstance(layer, keras.layers.Layer):
        return []
    if is_model(layer) and functional_model(layer) is not None:
        calls = Graph(layer).calls
        return [*dict.fromkeys(call.operation for call in calls)]
    found: dict[str, Any] = {}
    for place, inner in inner_layers(layer):
        # Each layer comes before those inside it.
        inside = any(place.startswith((f"{x}.", f"{x}[")) for x in found)
        if place and not inside:
            found[place] = inner
    # The attribute that was set last comes first.
    return [*reversed(found.values())]
