"""Channel attention for Keras 3: SE, ECA and related layers.

Importing this package registers its layers with Keras, so that saved models
that contain them load without `custom_objects`. It does nothing else.
"""

from keras_channel_attn import models as models
from keras_channel_attn import ops as ops
from keras_channel_attn import pruning as pruning
from keras_channel_attn.analysis.attention_layers import attention_layers
from keras_channel_attn.analysis.costs import (
    LayerCosts,
    ModelCosts,
    model_costs,
)
from keras_channel_attn.analysis.drawing import plot_attention_scores
from keras_channel_attn.analysis.report import attention_report
from keras_channel_attn.analysis.report_rows import (
    AttentionReport,
    LayerReport,
)
from keras_channel_attn.analysis.scores import attention_scores
from keras_channel_attn.layers import (
    ChannelAttention,
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)
from keras_channel_attn.masks import mask_after_convolution
from keras_channel_attn.surgery.dtype_policies import with_dtype_policy
from keras_channel_attn.surgery.expansion import expand_attention
from keras_channel_attn.surgery.freezing import freeze_attention
from keras_channel_attn.surgery.fusion import fuse_attention
from keras_channel_attn.surgery.insertion import (
    attention_sites,
    insert_attention,
)
from keras_channel_attn.surgery.recognition import (
    AttentionBlock,
    AttentionBlocks,
    attention_blocks,
)
from keras_channel_attn.surgery.replacement import (
    remove_attention,
    replace_attention,
)

__all__ = [
    "AttentionBlock",
    "AttentionBlocks",
    "AttentionReport",
    "ChannelAttention",
    "ConcurrentSqueezeExcite",
    "ConvolutionalBlockAttention",
    "CoordinateAttention",
    "EfficientChannelAttention",
    "GlobalContext",
    "LayerCosts",
    "LayerReport",
    "LinearSqueezeExcite",
    "ModelCosts",
    "SqueezeExcite",
    "SqueezeGate",
    "attention_blocks",
    "attention_layers",
    "attention_report",
    "attention_scores",
    "attention_sites",
    "expand_attention",
    "freeze_attention",
    "fuse_attention",
    "insert_attention",
    "mask_after_convolution",
    "model_costs",
    "plot_attention_scores",
    "remove_attention",
    "replace_attention",
    "with_dtype_policy",
]

__version__ = "0.1.0"


def __dir__() -> list[str]:
    # Without the modules that Python adds here when they are imported.
    return [*__all__, "__version__", "models", "ops", "pruning"]
