"""timm's light NFNets, by their names in timm.

`eca_` stands for Efficient Channel Attention; without it the networks have
Squeeze-and-Excitation.
"""

from collections.abc import Callable
from functools import partial

from keras_channel_attn.models.attention import (
    Attention,
    efficient_channel_attention,
    timm_squeeze_excite,
)
from keras_channel_attn.models.named_network import NamedNetwork
from keras_channel_attn.models.nfnet import NFNet

# The depths of the stages, and the channels of the last convolution.
_SIZES = {
    "l0": ((1, 2, 6, 3), 2304),
    "l1": ((2, 4, 12, 6), 3072),
    "l2": ((3, 6, 18, 9), 3072),
    "l3": ((4, 8, 24, 12), 3072),
}
# The function that makes the attention.
_ATTENTION: dict[str, Callable[..., Attention]] = {
    **{f"eca_nfnet_{size}": efficient_channel_attention for size in _SIZES},
    "nfnet_l0": partial(timm_squeeze_excite, reduction=4),
}


def timm_nfnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    networks = {}
    for name, attention in _ATTENTION.items():
        depths, channels = _SIZES[name[-2:]]
        architecture = {"depths": depths, "last_channels": channels}
        networks[name] = NamedNetwork(NFNet, architecture, attention)
    return networks
