"""timm's residual networks, by their names in timm.

A name such as `seresnextaa101d_32x8d` is composed of: attention (`se`, `eca` or
none); the family; the number of layers; letters for variants; for a ResNeXt,
the groups and the width of each group, 32 and 8. The letters stand for:

- `d`: ResNet-D of the paper [Bag of Tricks](https://arxiv.org/abs/1812.01187),
  with three 3x3 convolutions in the stem and average pooling in shortcuts.
- `t`: as `d`, with a tiered stem, whose convolutions increase in width.
- `aa`: antialiased, with average pooling instead of strides.
- `rs`: [ResNet-RS](https://arxiv.org/abs/2103.07579), as `d`, with a strided
  convolution instead of maximum pooling, and Squeeze-and-Excitation.

`wide_..._2` has bottlenecks twice as wide, and `legacy_` marks the networks of
the SENet paper, which were trained in Caffe.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from keras_channel_attn.models.architecture import RESNETS, SENET
from keras_channel_attn.models.attention import (
    Attention,
    efficient_channel_attention,
    squeeze_excite,
    timm_squeeze_excite,
)
from keras_channel_attn.models.network import NamedNetwork
from keras_channel_attn.models.resnet import ResNet

# The function that makes the attention, and names of networks.
_ATTENTION: tuple[tuple[Callable[..., Attention] | None, str], ...] = (
    (
        timm_squeeze_excite,
        "seresnet18 seresnet34 seresnet50 seresnet50t seresnet101 seresnet152 "
        "seresnet152d seresnet200d seresnet269d seresnetaa50d "
        "seresnext26d_32x4d seresnext26t_32x4d seresnext50_32x4d "
        "seresnext101_32x4d seresnext101_32x8d seresnext101d_32x8d "
        "seresnext101_64x4d seresnextaa101d_32x8d seresnextaa201d_32x8d "
        "senet154",
    ),
    (
        partial(timm_squeeze_excite, reduction=4),
        "resnetrs50 resnetrs101 resnetrs152 resnetrs200 resnetrs270 "
        "resnetrs350 resnetrs420",
    ),
    (
        partial(squeeze_excite, use_bias=True),
        "legacy_seresnet18 legacy_seresnet34 legacy_seresnet50 "
        "legacy_seresnet101 legacy_seresnet152 legacy_seresnext26_32x4d "
        "legacy_seresnext50_32x4d legacy_seresnext101_32x4d legacy_senet154",
    ),
    (
        # timm's rule differs from the paper's only below 8 channels.
        efficient_channel_attention,
        "ecaresnet26t ecaresnet50d ecaresnet50t ecaresnet101d ecaresnet200d "
        "ecaresnet269d ecaresnetlight ecaresnext26t_32x4d ecaresnext50t_32x4d",
    ),
    (
        # For comparison and for `insert_attention`.
        None,
        "resnet18 resnet18d resnet34 resnet34d resnet26 resnet26d resnet26t "
        "resnet50 resnet50d resnet50t resnet101 resnet101d resnet152 "
        "resnet152d resnet200d resnext50_32x4d resnext50d_32x4d "
        "resnext101_32x4d resnext101_32x8d resnext101_64x4d wide_resnet50_2 "
        "wide_resnet101_2 resnetaa50 resnetaa50d resnetaa101d",
    ),
)
# Start, letters, number of layers, a letter, and groups and their width.
_NAME = re.compile(r"^(\D*?)(aa|rs|)(\d+|light)([dt]?)(?:_(\d+)x(\d+)d|_2|)$")
_D = {"stem": "deep", "stem_width": 32, "average_shortcut": True}
_LETTERS: dict[str, dict[str, Any]] = {
    "": {},
    "d": _D,
    "t": {**_D, "stem": "tiered"},
    "aa": {"antialias": True},
    "rs": {**_D, "stem_pool": "convolution"},
}
_CAFFE = {"stem_pool": "max_ceil"}
_CAFFE_BASIC = {"stride_first": False, "activation_before_attention": True}
# What the start of a name stands for, and what else a whole name does.
_OTHERS: dict[str, dict[str, Any]] = {
    "senet": SENET,
    "wide_resnet": {"base_width": 128},
    "legacy_senet": SENET | _CAFFE,
    "legacy_seresnext": _CAFFE,
    "legacy_seresnet": {**_CAFFE, "stride_first": True},
    "legacy_seresnet18": _CAFFE_BASIC,
    "legacy_seresnet34": _CAFFE_BASIC,
    "seresnextaa201d_32x8d": {"stem_width": 64},
}


def timm_resnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    return {
        name: NamedNetwork(ResNet, _architecture(name), attention)
        for attention, names in _ATTENTION
        for name in names.split()
    }


def _architecture(name: str) -> dict[str, Any]:
    """The arguments of `ResNet` that a name of timm stands for."""
    [(start, letters, layers, letter, groups, width)] = _NAME.findall(name)
    architecture = {**RESNETS[layers], **_OTHERS.get(start, {})}
    for part in (letters, letter):
        architecture |= _LETTERS[part]
    if groups:
        architecture |= {"cardinality": int(groups), "base_width": int(width)}
    return architecture | _OTHERS.get(name, {})
