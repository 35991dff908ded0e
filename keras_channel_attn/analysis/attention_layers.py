"""The attention layers of a model."""

from collections.abc import Iterator, Mapping
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
from keras_channel_attn.layers import AttentionLayer

# They call the layers inside them step by step.
_LOOPS = (keras.layers.RNN, keras.layers.Bidirectional)


def attention_layers(model: Any) -> dict[str, AttentionLayer]:
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
    paths = attention_paths(attention_places(model))
    return {path: layer for layer, path in paths.items()}


def attention_places(model: Any) -> dict[AttentionLayer, list[Any]]:
    """Where the attention layers of a model are.

    Returns:
        Dictionary from each attention layer to the model, the layers inside it
        that the attention is in, and the attention layer itself.
    """
    if not isinstance(model, keras.Model) or is_model(model):
        graph_of(model)  # It raises the errors.
    found: dict[AttentionLayer, list[Any]] = {}
    for place in _places_in([model]):
        found.setdefault(place[-1], place)
    return found


def attention_paths(
    places: Mapping[AttentionLayer, list[Any]],
) -> dict[AttentionLayer, str]:
    """The path of each layer, as in `attention_layers`."""
    keys = unique_keys(map(path_of, places.values()))
    return dict(zip(places, keys, strict=True))


def path_of(place: list[Any]) -> str:
    """The names of the layers of a place, without that of the model."""
    return "/".join(layer.name for layer in place[1:])


def loop_around(place: list[Any]) -> str:
    """The path of the layer at a place that calls it step by step.

    A `TimeDistributed` that the graph of the model shows is none: all its steps
    can be computed at once.

    Returns:
        String, empty if there is none.
    """
    is_shown = True
    for depth, layer in enumerate(place, start=1):
        is_in_time = isinstance(layer, keras.layers.TimeDistributed)
        if isinstance(layer, _LOOPS) or (is_in_time and not is_shown):
            return path_of(place[:depth])
        is_shown = is_shown and (is_in_time or is_model(layer))
    return ""


def attention_inside(operation: Any) -> list[AttentionLayer]:
    """The attention layers that a layer or operation is or holds."""
    if not isinstance(operation, keras.layers.Layer):
        return []
    layers = (layer for _, layer in inner_layers(operation))
    return [layer for layer in layers if isinstance(layer, AttentionLayer)]


def _places_in(place: list[Any]) -> Iterator[list[Any]]:
    """The places of attention inside the last layer of a place."""
    if isinstance(place[-1], AttentionLayer):
        yield place
        return
    for inner in _layers_in(place[-1]):
        yield from _places_in([*place, inner])


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
