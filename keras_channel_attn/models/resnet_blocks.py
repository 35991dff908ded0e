"""The parts of residual networks: the stem and the residual blocks.

[Deep Residual Learning](https://arxiv.org/abs/1512.03385), with the stems and
shortcuts of [Bag of Tricks](https://arxiv.org/abs/1812.01187).
"""

import dataclasses
from typing import Any

from keras_channel_attn.models.architecture import Architecture
from keras_channel_attn.models.attention import Attention, attention_layer
from keras_channel_attn.models.layer_names import (
    CAFFE_POOL_PADDING,
    STEM_POOL_PADDING,
    block_layer_name,
)
from keras_channel_attn.models.resnet_layers import Convolution, Layers


@dataclasses.dataclass(frozen=True)
class Block:
    """One residual block: where it stands, and what it is made of."""

    architecture: Architecture
    stage: int
    index: int

    @property
    def width(self) -> int:
        return self.architecture.stage_width(self.stage)

    @property
    def channels(self) -> int:
        return self.architecture.stage_channels(self.stage)

    @property
    def stride(self) -> int:
        return 2 if self.stage > 0 and self.index == 0 else 1

    def name(self, part: str) -> str:
        return block_layer_name(self.stage, self.index, part)

    def names(self, *parts: str) -> tuple[str, ...]:
        return tuple(self.name(part) for part in parts)


def apply_block(
    layers: Layers, x: Any, block: Block, attention: Attention | None
) -> Any:
    """The output of one residual block; `attention` is that of `ResNet`."""
    build = _basic if block.architecture.block == "basic" else _bottleneck
    branch = build(layers, x, block)
    if block.architecture.activation_before_attention:
        branch = layers.activation(branch, block.name("act_se"))
    gating = attention_layer(
        attention, block.channels, block.stage, block.name("se")
    )
    if gating is not None:
        branch = gating(branch)
    shortcut = x
    if block.stride > 1 or layers.channels(x) != block.channels:
        shortcut = _projection(layers, x, block)
    x = layers.addition([branch, shortcut], block.name("add"))
    return layers.activation(x, block.name("act"))


def _basic(layers: Layers, x: Any, block: Block) -> Any:
    reduced = block.width // block.architecture.first_reduction
    x = layers.convolution_unit(
        x,
        Convolution(reduced, 3, stride=block.stride),
        block.names("conv1", "bn1"),
    )
    x = layers.convolution(
        x, Convolution(block.channels, 3), block.name("conv2")
    )
    return layers.normalization(x, block.name("bn2"))


def _bottleneck(layers: Layers, x: Any, block: Block) -> Any:
    architecture = block.architecture
    first, second = 1, block.stride
    if architecture.stride_first:
        first, second = second, first
    reduced = block.width // architecture.first_reduction
    x = layers.convolution_unit(
        x,
        Convolution(reduced, 1, stride=first),
        block.names("conv1", "bn1"),
    )
    x = layers.convolution_unit(
        x,
        Convolution(
            block.width, 3, stride=second, groups=architecture.cardinality
        ),
        block.names("conv2", "bn2"),
    )
    x = layers.convolution(
        x, Convolution(block.channels, 1), block.name("conv3")
    )
    return layers.normalization(x, block.name("bn3"))


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
    convolution = Convolution(block.channels, size, stride=stride)
    x = layers.convolution(x, convolution, names[0])
    return layers.normalization(x, names[1])


def apply_stem(layers: Layers, x: Any, architecture: Architecture) -> Any:
    """What stands in front of the first block."""
    for convolution, names in _stem_convolutions(architecture):
        # Antialiasing leaves these as they are, strides included.
        x = layers.convolution(x, convolution, names[0])
        x = layers.normalization(x, names[1])
        x = layers.activation(x, names[2])
    if architecture.stem_pool == "convolution":
        return layers.convolution_unit(
            x,
            Convolution(layers.channels(x), 3, stride=2),
            ("maxpool_0", "maxpool_1"),
        )
    if architecture.antialias:
        return layers.average_pooling(x, "maxpool")
    padding = CAFFE_POOL_PADDING if architecture.stem_pool == "max_ceil" else 1
    # Zeros do not change a maximum of values that a ReLU returned.
    x = layers.zero_padding(x, padding, STEM_POOL_PADDING)
    return layers.max_pooling(x, "maxpool")


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
