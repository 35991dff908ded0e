"""Inception-v3 with Squeeze-and-Excitation."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_channel_attn.arguments import (
    boolean,
    image_shape,
    one_of,
    positive_integer,
)
from keras_channel_attn.layers import SqueezeExcite
from keras_channel_attn.surgery.insertion import insert_attention


def SEInceptionV3(
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "seinceptionv3",
    data_format: str | None = None,
    dtype: Any = None,
    use_bias: bool = False,
) -> keras.Model:
    """Inception-v3 with Squeeze-and-Excitation after each block.

    It is `keras.applications.InceptionV3` with attention inserted.
    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).

    Args:
        include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation: As in `keras.applications.InceptionV3`.
            Prepare images with
            `keras.applications.inception_v3.preprocess_input`. `weights`
            defaults to `None`, random initialization. `"imagenet"` or a file
            are weights of the network without attention.
        name: String, name of the model. Defaults to `"seinceptionv3"`.
        data_format, dtype, use_bias: As in `SEResNet50`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError: If an argument is invalid.

    Examples:

    >>> network = SEInceptionV3(input_shape=(96, 96, 3), include_top=False)
    >>> sum(isinstance(layer, SqueezeExcite) for layer in network.layers)
    11
    """
    arguments = locals()
    del arguments["use_bias"]
    settings = {name: arguments.pop(name) for name in ("data_format", "dtype")}
    # Keras takes any value of these for another one.
    boolean("include_top", include_top)
    if pooling is not None:
        one_of("pooling", pooling, ("avg", "max"))
    arguments["classes"] = positive_integer("classes", classes)
    if input_shape is not None:
        arguments["input_shape"] = image_shape("input_shape", input_shape)
    with _global_settings(**settings):
        plain = keras.applications.InceptionV3(**arguments)
    # The names end the blocks. Other concatenations, such as `mixed9_0`, are
    # inside of blocks.
    sites = [f"mixed{block}" for block in range(11)]
    attention = SqueezeExcite(use_bias=use_bias, **settings)
    return insert_attention(plain, attention, sites)


@contextlib.contextmanager
def _global_settings(data_format: str | None, dtype: Any) -> Iterator[None]:
    """Set Keras' global settings while a network is built.

    `keras.applications` has no arguments for them.
    """
    before = keras.config.image_data_format(), keras.config.dtype_policy()
    try:
        if data_format is not None:
            keras.config.set_image_data_format(data_format)
        if dtype is not None:
            keras.config.set_dtype_policy(dtype)
        yield
    finally:
        # Only what was set above: other threads may read these settings.
        if data_format is not None:
            keras.config.set_image_data_format(before[0])
        if dtype is not None:
            keras.config.set_dtype_policy(before[1])
