"""timm's ResNets with a tiered stem, by their names in timm.

A name such as `gcresnet33ts` is composed of the attention (`se`, `eca_`, `gc`
for global context, or none), the family, the number of layers, `t` for the
tiered stem, whose convolutions increase in width, and `s` for SiLU. timm
builds them as ByobNet.
"""

from collections.abc import Callable
from typing import Any

from keras_channel_attn.models.attention import (
    Attention,
    efficient_channel_attention,
    global_context,
    timm_squeeze_excite,
)
from keras_channel_attn.models.named_network import NamedNetwork
from keras_channel_attn.models.tiered_resnet import TieredResNet

_CHANNELS = (256, 512, 1024, 2048)
_RESNEXT: dict[str, Any] = {
    "channels": _CHANNELS,
    "group_width": 32,
    "stem_pool": True,
}
_RESNET32: dict[str, Any] = {
    "depths": (2, 3, 3, 2),
    "channels": (256, 512, 1536, 1536),
}
# Arguments of `TieredResNet`, by the ends of names.
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "resnext26ts": {**_RESNEXT, "depths": (2, 2, 2, 2)},
    "resnext50ts": {**_RESNEXT, "depths": (3, 4, 6, 3)},
    "resnet32ts": _RESNET32,
    "resnet33ts": {**_RESNET32, "last_channels": 1280},
    "resnet50t": {
        "depths": (3, 4, 6, 3),
        "channels": _CHANNELS,
        "activation": "relu",
    },
}
# The beginnings of names, the function that makes the attention, and the ends
# of names.
_ATTENTION: tuple[tuple[str, Callable[..., Attention] | None, str], ...] = (
    ("se", timm_squeeze_excite, "resnext26ts resnet33ts"),
    ("eca_", efficient_channel_attention, "resnext26ts resnet33ts"),
    ("gc", global_context, "resnext26ts resnet33ts resnet50t resnext50ts"),
    # For comparison and for `insert_attention`.
    ("", None, "resnext26ts resnet32ts resnet33ts"),
)


def timm_tiered_resnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    return {
        start + end: NamedNetwork(TieredResNet, _ARCHITECTURES[end], attention)
        for start, attention, ends in _ATTENTION
        for end in ends.split()
    }
