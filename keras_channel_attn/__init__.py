"""Channel attention for Keras 3: Squeeze-and-Excitation, ECA and relatives.

Importing this package registers its layers with Keras, so that saved models
that contain them load without `custom_objects`. It does nothing else.
"""

from keras_channel_attn import models as models
from keras_channel_attn import ops as ops
from keras_channel_attn.analysis.attention_layers import (
    attention_layers as attention_layers,
)
from keras_channel_attn.analysis.costs import LayerCosts as LayerCosts
from keras_channel_attn.analysis.costs import ModelCosts as ModelCosts
from keras_channel_attn.analysis.costs import model_costs as model_costs
from keras_channel_attn.analysis.drawing import (
    plot_attention_scores as plot_attention_scores,
)
from keras_channel_attn.analysis.scores import (
    attention_scores as attention_scores,
)
from keras_channel_attn.layers import ChannelAttention as ChannelAttention
from keras_channel_attn.layers import (
    EfficientChannelAttention as EfficientChannelAttention,
)
from keras_channel_attn.layers import LinearSqueezeExcite as LinearSqueezeExcite
from keras_channel_attn.layers import SqueezeExcite as SqueezeExcite
from keras_channel_attn.layers import SqueezeGate as SqueezeGate
from keras_channel_attn.surgery.expansion import (
    expand_attention as expand_attention,
)
from keras_channel_attn.surgery.fusion import (
    fuse_squeeze_excite as fuse_squeeze_excite,
)
from keras_channel_attn.surgery.insertion import (
    attention_sites as attention_sites,
)
from keras_channel_attn.surgery.insertion import (
    insert_attention as insert_attention,
)
from keras_channel_attn.surgery.pruning.groups import (
    channel_groups as channel_groups,
)
from keras_channel_attn.surgery.pruning.importance import (
    attention_importance as attention_importance,
)
from keras_channel_attn.surgery.pruning.importance import (
    batch_norm_scale as batch_norm_scale,
)
from keras_channel_attn.surgery.pruning.importance import magnitude as magnitude
from keras_channel_attn.surgery.pruning.removal import (
    remove_channels as remove_channels,
)
from keras_channel_attn.surgery.pruning.selection import (
    prune_channels as prune_channels,
)
from keras_channel_attn.surgery.replacement import (
    remove_attention as remove_attention,
)
from keras_channel_attn.surgery.replacement import (
    replace_attention as replace_attention,
)

__all__ = [
    "ChannelAttention",
    "EfficientChannelAttention",
    "LayerCosts",
    "LinearSqueezeExcite",
    "ModelCosts",
    "SqueezeExcite",
    "SqueezeGate",
    "attention_importance",
    "attention_layers",
    "attention_scores",
    "attention_sites",
    "batch_norm_scale",
    "channel_groups",
    "expand_attention",
    "fuse_squeeze_excite",
    "insert_attention",
    "magnitude",
    "model_costs",
    "plot_attention_scores",
    "prune_channels",
    "remove_attention",
    "remove_channels",
    "replace_attention",
]

__version__ = "0.1.0"


def __dir__() -> list[str]:
    # Without the modules that Python adds here when they are imported.
    return [*__all__, "__version__", "models", "ops"]
