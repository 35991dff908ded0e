"""RegNetX and RegNetY, and their names in timm.

[Designing Network Design Spaces](https://arxiv.org/abs/2003.13678).

A name such as `regnety_032` is composed of the family, `x` without attention
and `y` with Squeeze-and-Excitation, and the multiply-adds in units of 1e8, 3.2
billion. `_tv` marks the networks of torchvision, which round widths by another
rule.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.arguments import four_integers
from keras_channel_attn.layers import SqueezeExcite
from keras_channel_attn.models.attention import Attention
from keras_channel_attn.models.network import NamedNetwork, build_network
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

_STEM = Convolution(32, 3, stride=2)
_PARTS = PartNames(("conv1", "conv2", "conv3"), "se", "downsample")
# The arguments of `regnet_stages`: the number of blocks, the initial width, its
# slope, the multiplier, and the width of groups.
_Row = tuple[int, int, float, float, int]
_REGNETY: dict[str, _Row] = {
    "002": (13, 24, 36.44, 2.49, 8),
    "004": (16, 48, 27.89, 2.09, 8),
    "006": (15, 48, 32.54, 2.32, 16),
    "008": (14, 56, 38.84, 2.4, 16),
    "008_tv": (14, 56, 38.84, 2.4, 16),
    "016": (27, 48, 20.71, 2.65, 24),
    "032": (21, 80, 42.63, 2.66, 24),
    "040": (22, 96, 31.41, 2.24, 64),
    "064": (25, 112, 33.22, 2.27, 72),
    "080": (17, 192, 76.82, 2.19, 56),
    "080_tv": (17, 192, 76.82, 2.19, 56),
    "120": (19, 168, 73.36, 2.37, 112),
    "160": (18, 200, 106.23, 2.48, 112),
    "320": (20, 232, 115.89, 2.53, 232),
    # Those of SEER, https://arxiv.org/abs/2103.01988.
    "640": (20, 352, 147.48, 2.4, 328),
    "1280": (27, 456, 160.83, 2.52, 264),
    "2560": (27, 640, 230.83, 2.53, 373),
}
_REGNETX: dict[str, _Row] = {
    "002": (13, 24, 36.44, 2.49, 8),
    "004": (22, 24, 24.48, 2.54, 16),
    "004_tv": (22, 24, 24.48, 2.54, 16),
    "006": (16, 48, 36.97, 2.24, 24),
    "008": (16, 56, 35.73, 2.28, 16),
    "016": (18, 80, 34.01, 2.25, 24),
    "032": (25, 88, 26.31, 2.25, 48),
    "040": (23, 96, 38.65, 2.43, 40),
    "064": (17, 184, 60.83, 2.07, 56),
    "080": (23, 80, 49.56, 2.88, 120),
    "120": (19, 168, 73.36, 2.37, 112),
    "160": (22, 216, 55.59, 2.1, 128),
    "320": (23, 320, 69.86, 2.0, 168),
}


def RegNet(
    depths: Sequence[int],
    widths: Sequence[int],
    group_width: int,
    attention: Attention | None = None,
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
        **options: Other arguments of `build_network`.

    Returns:
        A functional `keras.Model`.
    """
    depths = four_integers("depths", depths)

    def features(layers: Layers, x: Any) -> Any:
        x = layers.convolution_unit(x, _STEM, unit_names("stem"))
        for stage, depth in enumerate(depths):
            width = widths[stage]
            groups = width // min(group_width, width)
            for index in range(depth):
                name = f"s{stage + 1}_b{index + 1}"
                stride = 2 if index == 0 else 1
                block = Bottleneck(name, stage, width, width, groups, stride)
                x = apply_bottleneck(layers, x, block, attention, _PARTS)
        return x

    return build_network(features, blocks=sum(depths), **options)


def _squeeze_excite(**options: Any) -> Attention:
    """That of RegNetY, a quarter as wide as the input of its block."""

    def attention(channels: int, stage: int) -> SqueezeExcite:
        units = round(channels / 4)
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


def timm_regnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    return {
        f"{family}_{size}": NamedNetwork(
            RegNet, _architecture(row, size.endswith("_tv")), attention
        )
        for family, attention, rows in (
            ("regnety", _squeeze_excite, _REGNETY),
            ("regnetx", None, _REGNETX),
        )
        for size, row in rows.items()
    }


def _architecture(row: _Row, as_torchvision: bool) -> dict[str, Any]:
    """The arguments of `RegNet` for one row of a table."""
    depths, widths = regnet_stages(*row, as_torchvision)
    return {"depths": depths, "widths": widths, "group_width": row[-1]}
