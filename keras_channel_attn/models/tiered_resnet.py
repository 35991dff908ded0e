"""ResNets of timm with a tiered stem and the blocks of a RegNet."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_channel_attn.arguments import data_format_or_global, four_integers
from keras_channel_attn.models.attention import Attention
from keras_channel_attn.models.network import build_network
from keras_channel_attn.models.network_layers import Convolution, Layers
from keras_channel_attn.models.regnet_blocks import (
    PartNames,
    Stage,
    apply_stage,
)

_NAMES = PartNames(
    "stages_{stage}_{index}",
    0,
    ("conv1_1x1", "conv2_kxk", "conv3_1x1"),
    "attn",
    "shortcut",
)
# Channels of the three convolutions of the stem.
_STEM = (24, 32, 64)


def TieredResNet(
    depths: Sequence[int],
    channels: Sequence[int],
    group_width: int | None = None,
    stem_pool: bool = False,
    last_channels: int | None = None,
    activation: str = "silu",
    attention: Attention | None = None,
    data_format: str | None = None,
    dtype: Any = None,
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
        data_format, dtype: As in `ResNet`.
        **options: Other arguments of `build_network`.

    Returns:
        A functional `keras.Model`.
    """
    depths = four_integers("depths", depths)
    layers = Layers(
        data_format_or_global(data_format), dtype, activation_name=activation
    )

    def features(inputs: Any) -> Any:
        x = _apply_stem(layers, inputs, stem_pool)
        for index, depth in enumerate(depths):
            bottleneck = channels[index] // 4
            groups = bottleneck // group_width if group_width else 1
            stride = 1 if index == 0 else 2
            stage = Stage(
                index, depth, channels[index], bottleneck, groups, stride
            )
            x = apply_stage(layers, x, stage, attention, _NAMES)
        if last_channels is not None:
            names = "final_conv_conv", "final_conv_bn"
            last = Convolution(last_channels, 1)
            x = layers.convolution_unit(x, last, names)
        return x

    return build_network(layers, features, blocks=sum(depths), **options)


def _apply_stem(layers: Layers, x: Any, stem_pool: bool) -> Any:
    strides = (2, 1, 1 if stem_pool else 2)
    for number, (filters, stride) in enumerate(
        zip(_STEM, strides, strict=True), start=1
    ):
        names = f"stem_conv{number}_conv", f"stem_conv{number}_bn"
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
