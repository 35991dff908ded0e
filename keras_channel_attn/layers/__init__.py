"""The layers. Each file contains one mechanism or one base class."""

from keras_channel_attn.layers.channel_attention import ChannelAttention
from keras_channel_attn.layers.efficient_channel_attention import (
    EfficientChannelAttention,
)
from keras_channel_attn.layers.linear_squeeze_excite import LinearSqueezeExcite
from keras_channel_attn.layers.squeeze_excite import SqueezeExcite
from keras_channel_attn.layers.squeeze_gate import SqueezeGate

__all__ = [
    "ChannelAttention",
    "EfficientChannelAttention",
    "LinearSqueezeExcite",
    "SqueezeExcite",
    "SqueezeGate",
]


def __dir__() -> list[str]:
    return __all__
