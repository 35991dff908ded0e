"""RegNetX and RegNetY.

[Designing Network Design Spaces](https://arxiv.org/abs/2003.13678).
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.arguments import data_format_or_global, four_integers
from keras_channel_attn.layers import SqueezeExcite
from keras_channel_attn.models.attention import Attention
from keras_channel_attn.models.network import build_network
from keras_channel_attn.models.network_layers import Convolution, Layers
from keras_channel_attn.models.regnet_blocks import (
    PartNames,
    Stage,
    apply_stage,
)

_STEM = Convolution(32, 3, stride=2)
_NAMES = PartNames(
    "s{stage}_b{index}", 1, ("conv1", "conv2", "conv3"), "se", "downsample"
)


def RegNet(
    depths: Sequence[int],
    widths: Sequence[int],
    group_width: int,
    attention: Attention | None = None,
    data_format: str | None = None,
    dtype: Any = None,
    **options: Any,
) -> keras.Model:
    """A RegNetX, or with attention a RegNetY.

    Args:
        depths: Tuple of four integers, the number of blocks in each stage.
        widths: Tuple of four integers, the number of channels in each stage.
        group_width: Integer, channels of each group of a 3x3 convolution.
        attention: Callable that takes the number of channels of a block's
            input and the index of the stage, 0 to 3, and returns a new layer or
            `None`. Defaults to `None`, no attention.
        data_format, dtype: As in `ResNet`.
        **options: Other arguments of `build_network`.

    Returns:
        A functional `keras.Model`.
    """
    depths = four_integers("depths", depths)
    sizes = list(zip(depths, widths, strict=True))
    layers = Layers(data_format_or_global(data_format), dtype)

    def features(inputs: Any) -> Any:
        x = layers.convolution_unit(inputs, _STEM, ("stem_conv", "stem_bn"))
        for index, (depth, width) in enumerate(sizes):
            groups = width // min(group_width, width)
            stage = Stage(index, depth, width, width, groups, stride=2)
            x = apply_stage(layers, x, stage, attention, _NAMES)
        return x

    return build_network(layers, features, blocks=sum(depths), **options)


def regnet_squeeze_excite(reduction: int = 4, **options: Any) -> Attention:
    """Squeeze-and-Excitation of RegNetY.

    Args:
        reduction: Integer, the factor by which the bottleneck of the excitation
            is narrower than the input of the block. Defaults to `4`.
        **options: Other arguments of `SqueezeExcite`.
    """

    def attention(channels: int, stage: int) -> SqueezeExcite:
        units = round(channels / reduction)
        return SqueezeExcite(bottleneck_units=units, use_bias=True, **options)

    return attention


def regnet_stages(
    depth: int,
    initial_width: int,
    slope: float,
    multiplier: float,
    group_width: int,
    as_torchvision: bool = False,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The depths and widths of the stages: eq. 2 to 4 of the paper.

    Args:
        depth: Integer, the number of blocks.
        initial_width: Integer, `w_0`.
        slope: Float, `w_a`, by which the width increases from block to block.
        multiplier: Float, `w_m`, the ratio of the widths of two stages.
        group_width: Integer. Widths are rounded to a multiple of it.
        as_torchvision: Boolean, whether halves are rounded up, and a width
            loses at most a tenth. Defaults to `False`, halves to even.
    """
    # Widths have the precision of float32 where they were first computed.
    growth = slope * np.arange(depth, dtype="float32") + initial_width
    exponents = np.log(growth / initial_width) / math.log(multiplier)
    widths = initial_width * multiplier ** np.round(exponents)
    widths, depths = np.unique(8 * np.round(widths / 8), return_counts=True)
    rounded = tuple(
        _multiple(int(width), min(group_width, int(width)), as_torchvision)
        for width in widths
    )
    return tuple(depths.tolist()), rounded


def _multiple(width: int, group_width: int, as_torchvision: bool) -> int:
    """The multiple of the width of a group that is nearest to `width`."""
    share = width / group_width
    if not as_torchvision:
        return round(share) * group_width
    rounded = int(share + 0.5) * group_width
    return rounded + group_width * (rounded < 0.9 * width)
