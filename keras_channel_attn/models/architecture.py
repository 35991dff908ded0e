"""What distinguishes one ResNet from another."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from keras_channel_attn.arguments import (
    boolean,
    four_integers,
    odd_integer,
    one_of,
    positive_integer,
)

# Arguments of `ResNet` that several published networks share.
RESNET18: dict[str, Any] = {"depths": (2, 2, 2, 2), "block": "basic"}
RESNET34: dict[str, Any] = {"depths": (3, 4, 6, 3), "block": "basic"}
RESNET50: dict[str, Any] = {"depths": (3, 4, 6, 3)}
RESNET101: dict[str, Any] = {"depths": (3, 4, 23, 3)}
RESNET152: dict[str, Any] = {"depths": (3, 8, 36, 3)}
RESNEXT_32X4D: dict[str, Any] = {"cardinality": 32, "base_width": 4}
SENET: dict[str, Any] = {
    "cardinality": 64,
    "base_width": 4,
    "stem": "deep",
    "shortcut_kernel_size": 3,
    "first_reduction": 2,
}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The arguments of `ResNet` of the same names, checked."""

    depths: Sequence[int]
    block: str
    stem: str
    stem_width: int
    stem_pool: str
    average_shortcut: bool
    shortcut_kernel_size: int
    cardinality: int
    base_width: int
    first_reduction: int
    antialias: bool
    stride_first: bool
    activation_before_attention: bool

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> "Architecture":
        """That of a call of `ResNet`, whose other arguments are ignored."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: arguments[name] for name in names})

    def __post_init__(self) -> None:
        checks: dict[Callable[[str, Any], Any], str] = {
            four_integers: "depths",
            odd_integer: "shortcut_kernel_size",
            positive_integer: "stem_width cardinality base_width "
            "first_reduction",
            boolean: "average_shortcut antialias stride_first "
            "activation_before_attention",
        }
        for check, names in checks.items():
            for name in names.split():
                # Integers of NumPy become those of Python.
                value = check(name, getattr(self, name))
                object.__setattr__(self, name, value)
        one_of("block", self.block, ("basic", "bottleneck"))
        one_of("stem", self.stem, ("plain", "deep", "tiered"))
        one_of("stem_pool", self.stem_pool, ("max", "max_ceil", "convolution"))
        # A basic block would ignore these.
        bottleneck_only = {
            "cardinality": 1,
            "base_width": 64,
            "stride_first": False,
        }
        for name, default in bottleneck_only.items():
            value = getattr(self, name)
            if self.block == "basic" and value != default:
                raise ValueError(
                    f'`{name}` is for block="bottleneck" only. Received: '
                    f'{name}={value!r} with block="basic".'
                )
