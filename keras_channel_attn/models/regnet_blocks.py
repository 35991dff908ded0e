"""Bottlenecks with attention after the 3x3 convolution.

[Designing Network Design Spaces](https://arxiv.org/abs/2003.13678).
"""

import dataclasses
from typing import Any, NamedTuple

import keras

from keras_channel_attn.models.attention import Attention, apply_attention
from keras_channel_attn.models.network_layers import (
    Convolution,
    Layers,
    unit_names,
)


class PartNames(NamedTuple):
    """The names that one family of timm gives the parts of its blocks."""

    convolutions: tuple[str, str, str]
    attention: str
    shortcut: str


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """One block.

    Args:
        name: String, the beginning of the names of its layers.
        stage: Integer, the index of its stage.
        channels: Integer, channels of its output.
        width: Integer, channels between its convolutions.
        groups, stride: Integers, those of the 3x3 convolution.
    """

    name: str
    stage: int
    channels: int
    width: int
    groups: int
    stride: int


def apply_bottleneck(
    layers: Layers,
    x: Any,
    block: Bottleneck,
    attention: Attention | None,
    parts: PartNames,
) -> Any:
    """The output of a block.

    `attention` is called with the number of channels of the block's input.
    """
    first, second, third, projection = (
        unit_names(f"{block.name}_{part}")
        for part in (*parts.convolutions, parts.shortcut)
    )
    inside = Convolution(block.width, 3, block.stride, block.groups)
    branch = layers.convolution_unit(x, Convolution(block.width, 1), first)
    branch = layers.convolution_unit(branch, inside, second)
    channels = x.shape[layers.channel_axis]
    gates = f"{block.name}_{parts.attention}"
    branch = apply_attention(
        layers, attention, branch, channels, block.stage, gates
    )
    branch = layers.convolution(branch, Convolution(block.channels, 1), third)
    shortcut = x
    if block.stride > 1 or channels != block.channels:
        convolution = Convolution(block.channels, 1, block.stride)
        shortcut = layers.convolution(x, convolution, projection)
    x = layers.apply(keras.layers.Add, [branch, shortcut], f"{block.name}_add")
    # The last activation comes after the addition.
    return layers.activation(x, f"{block.name}_act")
