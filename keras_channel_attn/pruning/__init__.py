"""Channels removed from networks: which ones can be, and which are chosen.

`coupling` holds what the layers of a model do with channels, and which
channels can only be removed together. `producers`, `passthrough` and
`rearrangement` have a rule for each kind of layer, and `propagation` applies
them to a model, call by call. `groups` is the result, `criteria` and
`selection` choose channels, and `removal` makes the narrower copy.
"""

from keras_channel_attn.pruning.criteria import (
    attention_importance,
    batch_norm_scale,
    magnitude,
)
from keras_channel_attn.pruning.groups import ChannelGroup, channel_groups
from keras_channel_attn.pruning.removal import remove_channels
from keras_channel_attn.pruning.selection import prune_channels

__all__ = [
    "ChannelGroup",
    "attention_importance",
    "batch_norm_scale",
    "channel_groups",
    "magnitude",
    "prune_channels",
    "remove_channels",
]


def __dir__() -> list[str]:
    # Without the modules that the imports above leave here.
    return __all__
