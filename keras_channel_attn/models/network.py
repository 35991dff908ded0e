"""What all networks share: the input, the top, and the loading of weights."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras

from keras_channel_attn.arguments import (
    boolean,
    data_format_or_global,
    image_shape,
    one_of,
    positive_integer,
)
from keras_channel_attn.graph import raise_recursion_limit
from keras_channel_attn.models.attention import Attention
from keras_channel_attn.models.layer_names import HEAD_CLASSIFIER
from keras_channel_attn.models.network_layers import Layers
from keras_channel_attn.models.torch_weights import (
    Checkpoint,
    load_torch_weights,
)


class NamedNetwork(NamedTuple):
    """A network: the function that builds it, and what it is called with.

    Args:
        builder: The function that builds the networks of its family.
        architecture: Dictionary, arguments of the builder.
        attention: Function of `data_format` and `dtype` that returns the
            argument `attention` of the builder, or `None` for no attention.
    """

    builder: Callable[..., keras.Model]
    architecture: dict[str, Any]
    attention: Callable[..., Attention] | None


# The beginnings of names, the function that makes the attention, and the ends
# of names.
NamesOfTimm = Iterable[tuple[str, Callable[..., Attention] | None, str]]


def named_networks(
    builder: Callable[..., keras.Model],
    architectures: dict[str, dict[str, Any]],
    names: NamesOfTimm,
) -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network.

    Args:
        builder: The function that builds them.
        architectures: Dictionary from the ends of names to arguments of it.
        names: Which ends there are with which attention.
    """
    return {
        start + end: NamedNetwork(builder, architectures[end], attention)
        for start, attention, ends in names
        for end in ends.split()
    }


def build_network(
    features: Callable[[Layers, Any], Any],
    blocks: int,
    data_format: str | None = None,
    dtype: Any = None,
    classifier: str = HEAD_CLASSIFIER,
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "network",
) -> keras.Model:
    """A network of one family.

    Args:
        features: Function of the `Layers` of the network and its input that
            returns the last feature map.
        blocks: Integer, the number of blocks.
        classifier: String, name of the dense layer.
        data_format, dtype, include_top, weights, input_tensor, input_shape,
            pooling, classes, classifier_activation, name: As in `ResNet`.

    Returns:
        A functional `keras.Model`.
    """
    layers = Layers(data_format_or_global(data_format), dtype)
    boolean("include_top", include_top)
    if pooling is not None:
        one_of("pooling", pooling, ("avg", "max"))
    classes = positive_integer("classes", classes)
    inputs = _inputs(input_tensor, input_shape, layers.data_format)
    x = features(layers, inputs)
    if include_top or pooling == "avg":
        x = layers.apply(keras.layers.GlobalAveragePooling2D, x, "avg_pool")
    elif pooling == "max":
        x = layers.apply(keras.layers.GlobalMaxPooling2D, x, "max_pool")
    if include_top:
        x = layers.apply(
            keras.layers.Dense,
            x,
            classifier,
            units=classes,
            activation=classifier_activation,
        )
    # At most 22 layers in a row make a block, 17 the input, stem and top.
    with raise_recursion_limit(30 * (blocks + 1)):
        sources = keras.utils.get_source_inputs(inputs)
        sources = sources[0] if len(sources) == 1 else sources
        model = keras.Model(sources, x, name=name)
    if weights is not None:
        _load(model, weights, include_top)
    return model


def _inputs(
    input_tensor: Any,
    input_shape: Sequence[int | None] | None,
    data_format: str,
) -> Any:
    if keras.utils.is_keras_tensor(input_tensor):
        return input_tensor
    if input_tensor is not None:
        return keras.Input(tensor=input_tensor)
    if input_shape is None:
        is_first = data_format == "channels_first"
        input_shape = (3, None, None) if is_first else (None, None, 3)
    return keras.Input(image_shape("input_shape", input_shape))


def _load(model: keras.Model, weights: Checkpoint, include_top: bool) -> None:
    if isinstance(weights, (str, os.PathLike)) and os.fspath(weights).endswith(
        ".weights.h5"
    ):
        model.load_weights(weights)
    else:
        load_torch_weights(model, weights, include_top=include_top)
