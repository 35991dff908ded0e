"""The attention layers of a model."""

from typing import Any

from keras_channel_attn.graph import graph_of, inner_layers
from keras_channel_attn.layers import ChannelAttention


def attention_layers(model: Any) -> dict[str, ChannelAttention]:
    """The channel attention layers of a model, those of models in it included.

    Args:
        model: Functional or sequential model of Keras, built.

    Returns:
        Dictionary from the path of each layer to the layer, in the order of
        computation. The path is the name of the layer, preceded by the names of
        the models around it, as in `attention_scores`: `"backbone/conv1_se"`.
        Attention inside another layer, such as `keras.layers.TimeDistributed`
        or a layer of your own, has the name of that layer before its own name.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If the model has a `call` method of its own, or is not
            built.

    Examples:

    >>> inputs = keras.Input((8, 8, 16))
    >>> outputs = SqueezeExcite(reduction=4, name="se")(inputs)
    >>> model = keras.Model(inputs, outputs)
    >>> for path, layer in attention_layers(model).items():
    ...     print(path, layer.count_params())
    se 128
    """
    found: dict[str, ChannelAttention] = {}
    for call in graph_of(model).all_calls():
        if call.inner is not None:
            continue
        for place, layer in inner_layers(call.operation):
            if isinstance(layer, ChannelAttention):
                path = f"{call.path}/{layer.name}" if place else call.path
                found[path] = layer
    return found
