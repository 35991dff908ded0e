"""What a name of timm stands for."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_channel_attn.models.attention import Attention


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
