"""timm's RegNets, by their names in timm.

A name such as `regnety_032` is composed of the family, `x` without attention
and `y` with Squeeze-and-Excitation, and the multiply-adds in units of 1e8, 3.2
billion. `_tv` marks the networks of torchvision, which round widths by another
rule.
"""

from typing import Any

from keras_channel_attn.models.named_network import NamedNetwork
from keras_channel_attn.models.regnet import (
    RegNet,
    regnet_squeeze_excite,
    regnet_stages,
)

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


def timm_regnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    return {
        f"{family}_{size}": NamedNetwork(
            RegNet, _architecture(row, size.endswith("_tv")), attention
        )
        for family, attention, rows in (
            ("regnety", regnet_squeeze_excite, _REGNETY),
            ("regnetx", None, _REGNETX),
        )
        for size, row in rows.items()
    }


def _architecture(row: _Row, as_torchvision: bool) -> dict[str, Any]:
    """The arguments of `RegNet` for one row of a table."""
    depths, widths = regnet_stages(*row, as_torchvision)
    return {"depths": depths, "widths": widths, "group_width": row[-1]}
