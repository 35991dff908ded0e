"""ResNets of timm with a tiered stem and the blocks of a RegNet.

A name such as `gcresnet33ts` is composed of the attention (`se`, `eca_`, `gc`
for global context, or none), the family, the number of layers, `t` for the
tiered stem, whose convolutions increase in width, and `s` for SiLU. timm
builds them as ByobNet.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_channel_attn.arguments import four_integers
from keras_channel_attn.models.attention import (
    Attention,
    efficient_channel_attention,
    global_context,
    timm_squeeze_excite,
)
from keras_channel_attn.models.network import (
    NamedNetwork,
    NamesOfTimm,
    build_network,
    named_networks,
)
from keras_channel_attn.models.network_layers import (
    Convolution,
    Layers,
    unit_names,
)
from keras_channel_attn.models.regnet_blocks import (
    Bottleneck,
    PartNames,
    apply_bottleneck,
)

_PARTS = PartNames(("conv1_1x1", "conv2_kxk", "conv3_1x1"), "attn", "shortcut")
# Channels of the three convolutions of the stem.
_STEM = (24, 32, 64)
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
_NAMES: NamesOfTimm = (
    ("se", timm_squeeze_excite, "resnext26ts resnet33ts"),
    ("eca_", efficient_channel_attention, "resnext26ts resnet33ts"),
    ("gc", global_context, "resnext26ts resnet33ts resnet50t resnext50ts"),
    # For comparison and for `insert_attention`.
    ("", None, "resnext26ts resnet32ts resnet33ts"),
)


def TieredResNet(
    depths: Sequence[int],
    channels: Sequence[int],
    group_width: int | None = None,
    stem_pool: bool = False,
    last_channels: int | None = None,
    activation: str = "silu",
    attention: Attention | None = None,
    **options: Any,
) -> keras.Model:
    """A ResNet or ResNeXt with attention inside of its bottlenecks.

    The three convolutions of the stem increase in width.

    Args:
        depths: Tuple of four integers, the number of blocks in each stage.
        channels: Tuple of four integers, the number of channels in each stage.
        group_width: Integer, channels of each group of a 3x3 convolution.
            Defaults to `None`, one group.
        stem_pool: Boolean, whether maximum pooling ends the stem. Defaults to
            `False`: its last convolution has a stride instead.
        last_channels: Integer, channels of a 1x1 convolution after the last
            block. Defaults to `None`, no convolution.
        activation: String, name of the activation. Defaults to `"silu"`.
        attention: Callable that takes the number of channels of a block's
            input and the index of the stage, 0 to 3, and returns a new layer or
            `None`. Defaults to `None`, no attention.
        **options: Other arguments of `build_network`.

    Returns:
        A functional `keras.Model`.
    """
    depths = four_integers("depths", depths)

    def features(layers: Layers, x: Any) -> Any:
        layers = dataclasses.replace(layers, activation_name=activation)
        x = _apply_stem(layers, x, stem_pool)
        for stage, depth in enumerate(depths):
            width = channels[stage] // 4
            groups = width // group_width if group_width else 1
            for index in range(depth):
                name = f"stages_{stage}_{index}"
                stride = 2 if stage > 0 and index == 0 else 1
                block = Bottleneck(
                    name, stage, channels[stage], width, groups, stride
                )
                x = apply_bottleneck(layers, x, block, attention, _PARTS)
        if last_channels is not None:
            last = Convolution(last_channels, 1)
            x = layers.convolution_unit(x, last, unit_names("final_conv"))
        return x

    return build_network(features, blocks=sum(depths), **options)


def _apply_stem(layers: Layers, x: Any, stem_pool: bool) -> Any:
    strides = (2, 1, 1 if stem_pool else 2)
    for number, (filters, stride) in enumerate(
        zip(_STEM, strides, strict=True), start=1
    ):
        names = unit_names(f"stem_conv{number}")
        x = layers.convolution_unit(x, Convolution(filters, 3, stride), names)
    if not stem_pool:
        return x
    # torch pads both sides equally, padding="same" of Keras only with a stride
    # of 1. Zeros would be larger than a negative maximum, as SiLU returns.
    x = layers.apply(
        keras.layers.MaxPooling2D,
        x,
        "stem_pool",
        pool_size=3,
        strides=1,
        padding="same",
    )
    return layers.apply(
        keras.layers.MaxPooling2D, x, "stem_pool_stride", pool_size=1, strides=2
    )


def timm_tiered_resnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    return named_networks(TieredResNet, _ARCHITECTURES, _NAMES)
