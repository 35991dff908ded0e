"""Bottlenecks with attention after the 3x3 convolution, and their stages.

[Designing Network Design Spaces](https://arxiv.org/abs/2003.13678).
"""

import dataclasses
from typing import Any

import keras

from keras_channel_attn.models.attention import Attention, attention_layer
from keras_channel_attn.models.network_layers import Convolution, Layers


@dataclasses.dataclass(frozen=True)
class PartNames:
    """The names that one family of timm gives the parts of its blocks.

    Args:
        block: String, the name of a block, with `{stage}` and `{index}`.
        first_index: Integer, the index of the first stage and block.
        convolutions: Tuple of three strings.
        attention, shortcut: Strings.
    """

    block: str
    first_index: int
    convolutions: tuple[str, str, str]
    attention: str
    shortcut: str


@dataclasses.dataclass(frozen=True)
class Stage:
    """Blocks of one width."""

    index: int
    depth: int
    channels: int
    bottleneck: int
    groups: int
    stride: int


@dataclasses.dataclass(frozen=True)
class _Block:
    """One block: where it stands, and how its parts are named."""

    stage: Stage
    index: int
    names: PartNames

    @property
    def stride(self) -> int:
        return self.stage.stride if self.index == 0 else 1

    def name(self, part: str) -> str:
        first = self.names.first_index
        block = self.names.block.format(
            stage=self.stage.index + first, index=self.index + first
        )
        return f"{block}_{part}"

    def unit(self, part: str) -> tuple[str, str]:
        """Names of a convolution and its normalization."""
        return self.name(f"{part}_conv"), self.name(f"{part}_bn")


def apply_stage(
    layers: Layers,
    x: Any,
    stage: Stage,
    attention: Attention | None,
    names: PartNames,
) -> Any:
    """The output of the last block of a stage.

    Args:
        layers: Layers.
        x: Tensor.
        stage: Stage.
        attention: Function of the number of channels of a block's input and
            the index of the stage, which returns a new layer or `None`; or
            `None`.
        names: PartNames.
    """
    for index in range(stage.depth):
        x = _apply_block(layers, x, _Block(stage, index, names), attention)
    return x


def _apply_block(
    layers: Layers, x: Any, block: _Block, attention: Attention | None
) -> Any:
    stage, stride = block.stage, block.stride
    convolutions = (
        Convolution(stage.bottleneck, 1),
        Convolution(stage.bottleneck, 3, stride, stage.groups),
        Convolution(stage.channels, 1),
    )
    first, second, third = map(block.unit, block.names.convolutions)
    branch = layers.convolution_unit(x, convolutions[0], first)
    branch = layers.convolution_unit(branch, convolutions[1], second)
    channels = x.shape[layers.channel_axis]
    gates = block.name(block.names.attention)
    gating = attention_layer(attention, channels, stage.index, gates)
    if gating is not None:
        branch = gating(branch)
    branch = layers.convolution(branch, convolutions[2], third)
    shortcut = x
    if stride > 1 or channels != stage.channels:
        projection = Convolution(stage.channels, 1, stride)
        names = block.unit(block.names.shortcut)
        shortcut = layers.convolution(x, projection, names)
    x = layers.apply(keras.layers.Add, [branch, shortcut], block.name("add"))
    # The last activation comes after the addition.
    return layers.activation(x, block.name("act"))
