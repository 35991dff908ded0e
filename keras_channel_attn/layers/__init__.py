"""The layers. Each file contains one mechanism or one base class."""

from keras_channel_attn.layers.attention_layer import AttentionLayer
from keras_channel_attn.layers.channel_attention import ChannelAttention
from keras_channel_attn.layers.concurrent_squeeze_excite import (
    ConcurrentSqueezeExcite,
)
from keras_channel_attn.layers.convolutional_block_attention import (
    ConvolutionalBlockAttention,
)
from keras_channel_attn.layers.coordinate_attention import CoordinateAttention
from keras_channel_attn.layers.efficient_channel_attention import (
    EfficientChannelAttention,
)
from keras_channel_attn.layers.global_context import GlobalContext
from keras_channel_attn.layers.linear_squeeze_excite import LinearSqueezeExcite
from keras_channel_attn.layers.spatial_attention import SpatialAttention
from keras_channel_attn.layers.squeeze_excite import SqueezeExcite
from keras_channel_attn.layers.squeeze_gate import SqueezeGate

__all__ = [
    "AttentionLayer",
    "ChannelAttention",
    "ConcurrentSqueezeExcite",
    "ConvolutionalBlockAttention",
    "CoordinateAttention",
    "EfficientChannelAttention",
    "GlobalContext",
    "LinearSqueezeExcite",
    "SpatialAttention",
    "SqueezeExcite",
    "SqueezeGate",
]


def __dir__() -> list[str]:
    return __all__
