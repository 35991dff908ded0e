"""What distinguishes one ResNet from another."""

import types
from collections.abc import Callable
from functools import partial
from typing import Any

from keras_channel_attn.arguments import (
    boolean,
    four_integers,
    odd_integer,
    one_of,
    positive_integer,
)

# Arguments of `ResNet` that published networks share, by numbers of layers.
RESNETS: dict[str, dict[str, Any]] = {
    "18": {"depths": (2, 2, 2, 2), "block": "basic"},
    "26": {"depths": (2, 2, 2, 2)},
    "34": {"depths": (3, 4, 6, 3), "block": "basic"},
    "50": {"depths": (3, 4, 6, 3)},
    "101": {"depths": (3, 4, 23, 3)},
    "152": {"depths": (3, 8, 36, 3)},
    "154": {"depths": (3, 8, 36, 3)},  # SENet-154 has a deeper stem.
    "200": {"depths": (3, 24, 36, 3)},
    "201": {"depths": (3, 24, 36, 4)},
    "269": {"depths": (3, 30, 48, 8)},
    "270": {"depths": (4, 29, 53, 4)},
    "350": {"depths": (4, 36, 72, 4)},
    "420": {"depths": (4, 44, 87, 4)},
    "light": {
        "depths": (1, 1, 11, 3),
        "stem_width": 32,
        "average_shortcut": True,
    },
}
RESNEXT_32X4D: dict[str, Any] = {"cardinality": 32, "base_width": 4}
SENET: dict[str, Any] = {
    "cardinality": 64,
    "base_width": 4,
    "stem": "deep",
    "shortcut_kernel_size": 3,
    "first_reduction": 2,
}
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "depths": four_integers,
    "block": partial(one_of, allowed=("basic", "bottleneck")),
    "stem": partial(one_of, allowed=("plain", "deep", "tiered")),
    "stem_width": positive_integer,
    "stem_pool": partial(one_of, allowed=("max", "max_ceil", "convolution")),
    "average_shortcut": boolean,
    "shortcut_kernel_size": odd_integer,
    "cardinality": positive_integer,
    "base_width": positive_integer,
    "first_reduction": positive_integer,
    "antialias": boolean,
    "stride_first": boolean,
    "activation_before_attention": boolean,
}
# A basic block would ignore these.
_BOTTLENECK_ONLY = {"cardinality": 1, "base_width": 64, "stride_first": False}


class Architecture(types.SimpleNamespace):
    """The arguments of `ResNet` with the names in `_CHECKS`, checked.

    Args:
        arguments: Dictionary, all arguments of a call of `ResNet`.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        for name, check in _CHECKS.items():
            setattr(self, name, check(name, arguments[name]))
        for name, default in _BOTTLENECK_ONLY.items():
            value = getattr(self, name)
            if self.block == "basic" and value != default:
                raise ValueError(
                    f'`{name}` is for block="bottleneck" only. Received: '
                    f'{name}={value!r} with block="basic".'
                )
