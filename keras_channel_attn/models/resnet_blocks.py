"""The parts of residual networks: the stem and the residual blocks.

[Deep Residual Learning](https://arxiv.org/abs/1512.03385), with the stems and
shortcuts of [Bag of Tricks](https://arxiv.org/abs/1812.01187).
"""

import dataclasses
from typing import Any

import keras

from keras_channel_attn.models.architecture import Architecture
from keras_channel_attn.models.attention import Attention, apply_attention
from keras_channel_attn.models.layer_names import (
    CAFFE_POOL_PADDING,
    STEM_POOL,
)
from keras_channel_attn.models.network_layers import Convolution, Layers

_STAGE_CHANNELS = (64, 128, 256, 512)


@dataclasses.dataclass(frozen=True)
class Block:
    """One residual block: where it stands, and what it is made of."""

    architecture: Architecture
    stage: int
    index: int

    @property
    def channels(self) -> int:
        is_basic = self.architecture.block == "basic"
        return _STAGE_CHANNELS[self.stage] * (1 if is_basic else 4)

    @property
    def stride(self) -> int:
        return 2 if self.stage > 0 and self.index == 0 else 1

    def names(self, *parts: str) -> tuple[str, ...]:
        block = f"layer{self.stage + 1}_{self.index}"
        return tuple(f"{block}_{part}" for part in parts)

    def convolutions(self) -> list[Convolution]:
        """Those of the branch."""
        architecture, stride = self.architecture, self.stride
        channels, groups = self.channels, architecture.cardinality
        share = architecture.base_width / 64
        width = int(_STAGE_CHANNELS[self.stage] * share) * groups
        reduced = width // architecture.first_reduction
        if architecture.block == "basic":
            return [Convolution(reduced, 3, stride), Convolution(channels, 3)]
        first, second = (
            (stride, 1) if architecture.stride_first else (1, stride)
        )
        return [
            Convolution(reduced, 1, first),
            Convolution(width, 3, second, groups),
            Convolution(channels, 1),
        ]


def apply_block(
    layers: Layers, x: Any, block: Block, attention: Attention | None
) -> Any:
    """The output of one residual block; `attention` is that of `ResNet`."""
    branch, convolutions = x, block.convolutions()
    for number, convolution in enumerate(convolutions, start=1):
        names = block.names(f"conv{number}", f"bn{number}")
        # The last ReLU comes after the addition.
        is_last = number == len(convolutions)
        apply = layers.convolution if is_last else layers.convolution_unit
        branch = apply(branch, convolution, names)
    before, gates, add, after = block.names("act_se", "se", "add", "act")
    if block.architecture.activation_before_attention:
        branch = layers.activation(branch, before)
    branch = apply_attention(
        layers, attention, branch, block.channels, block.stage, gates
    )
    shortcut = x
    if block.stride > 1 or x.shape[layers.channel_axis] != block.channels:
        shortcut = _projection(layers, x, block)
    x = layers.apply(keras.layers.Add, [branch, shortcut], add)
    return layers.activation(x, after)


def _projection(layers: Layers, x: Any, block: Block) -> Any:
    """The shortcut of a block that changes the size or the channels."""
    # torch numbers the modules of its sequential shortcut.
    names = block.names("downsample_0", "downsample_1", "downsample_2")
    architecture, stride = block.architecture, block.stride
    size = 1
    if architecture.average_shortcut:
        if stride > 1:
            # With an odd size, the last row and column are averaged alone.
            x = layers.average_pooling(x, names[0], padding="same")
        names, stride = names[1:], 1
    elif stride > 1:
        size = architecture.shortcut_kernel_size
    return layers.convolution(
        x, Convolution(block.channels, size, stride), names
    )


def apply_stem(layers: Layers, x: Any, architecture: Architecture) -> Any:
    """What stands in front of the first block."""
    convolutions = _stem_convolutions(architecture)
    for convolution, names in convolutions:
        # Antialiasing leaves these as they are, strides included.
        x = layers.convolution(x, convolution, names)
        x = layers.activation(x, names[2])
    if architecture.stem_pool == "convolution":
        pool = Convolution(convolutions[-1][0].filters, 3, stride=2)
        return layers.convolution_unit(x, pool, ("maxpool_0", "maxpool_1"))
    if architecture.antialias:
        return layers.average_pooling(x, STEM_POOL)
    padding = CAFFE_POOL_PADDING if architecture.stem_pool == "max_ceil" else 1
    return layers.max_pooling(x, STEM_POOL, padding)


def _stem_convolutions(
    architecture: Architecture,
) -> list[tuple[Convolution, tuple[str, str, str]]]:
    """Each with the names of itself, its normalization and its ReLU."""
    if architecture.stem == "plain":
        return [(Convolution(64, 7, stride=2), ("conv1", "bn1", "bn1_act"))]
    width = architecture.stem_width
    first = 3 * (width // 4) if architecture.stem == "tiered" else width
    return [
        (Convolution(first, 3, stride=2), ("conv1_0", "conv1_1", "conv1_2")),
        (Convolution(width, 3), ("conv1_3", "conv1_4", "conv1_5")),
        (Convolution(2 * width, 3), ("conv1_6", "bn1", "bn1_act")),
    ]
