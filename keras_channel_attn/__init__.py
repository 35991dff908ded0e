"""Channel attention for Keras 3: Squeeze-and-Excitation and ECA.

Importing this package registers its layers with Keras, so that saved models
that contain them load without `custom_objects`. It does nothing else.
"""

from keras_channel_attn.layers import ChannelAttention as ChannelAttention
from keras_channel_attn.layers import (
    EfficientChannelAttention as EfficientChannelAttention,
)
from keras_channel_attn.layers import SqueezeExcite as SqueezeExcite

__all__ = ["ChannelAttention", "EfficientChannelAttention", "SqueezeExcite"]

__version__ = "0.1.0"
