"""The layers: one mechanism per file, what they share in the base class."""

from keras_channel_attn.layers.channel_attention import (
    ChannelAttention as ChannelAttention,
)
from keras_channel_attn.layers.efficient_channel_attention import (
    EfficientChannelAttention as EfficientChannelAttention,
)
from keras_channel_attn.layers.linear_squeeze_excite import (
    LinearSqueezeExcite as LinearSqueezeExcite,
)
from keras_channel_attn.layers.squeeze_excite import (
    SqueezeExcite as SqueezeExcite,
)
from keras_channel_attn.layers.squeeze_gate import SqueezeGate as SqueezeGate
