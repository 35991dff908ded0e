"""The attention mechanisms as patterns of normal operations."""

import dataclasses
from collections.abc import Callable

from keras_channel_attn.layers import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)
from keras_channel_attn.surgery.patterns import (
    Pattern,
    across_channels,
    activation,
    along_channels,
    either,
    operation,
    over_channels,
    over_positions,
    tensor,
    to_all_channels,
    to_one_map,
)

X = tensor("x")


def pooling(kind: str, name: str, of: Pattern = X) -> Pattern:
    """The pooling of a tensor over all positions."""
    return operation(kind, of, place=over_positions, name=name)


ONE = pooling("mean|max", "pool")
AVERAGE = pooling("mean", "average")
MAXIMUM = pooling("max", "maximum")


def expand(of: Pattern, name: str = "expand") -> Pattern:
    """A dense map to all channels."""
    return operation("linear", of, place=to_all_channels, name=name)


def hidden(of: Pattern) -> Pattern:
    """The first map of a bottleneck and its activation."""
    reduce = operation("linear", of, place=along_channels, name="reduce")
    return activation("activation", reduce)


def bottleneck(of: Pattern) -> Pattern:
    """Two dense maps with an activation between them."""
    return expand(hidden(of))


def taps(of: Pattern) -> Pattern:
    """A convolution along the channels."""
    return operation("linear", of, place=across_channels, name="taps")


def gates(excite: Callable[[Pattern], Pattern]) -> Pattern:
    """The gates of channels, with each of the poolings of the layers."""
    return activation(
        "gate",
        either(
            excite(ONE),
            operation("sum", excite(AVERAGE), excite(MAXIMUM)),
            excite(operation("average", AVERAGE, MAXIMUM, name="pool")),
        ),
    )


BOTTLENECK = either(
    gates(bottleneck),
    activation(
        "gate",
        expand(
            operation(
                "sum", hidden(AVERAGE), hidden(MAXIMUM), name="sum_of_hidden"
            )
        ),
    ),
)


def spatial_gates(of: Pattern) -> Pattern:
    """CBAM's gates of positions, from the mean and the maximum of channels."""
    mean = operation("mean", of, place=over_channels, name="channel_mean")
    maximum = operation("max", of, place=over_channels, name="channel_max")
    return activation(
        "spatial_gate",
        operation(
            "linear",
            either(
                operation("concatenation", mean, maximum),
                operation("concatenation", maximum, mean, name="reversed"),
            ),
            place=to_one_map,
            name="spatial",
        ),
    )


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """How a mechanism is recognized, and which layer it is.

    Attributes:
        kind: String, its short name.
        layer: Class of the layer.
        pattern: Pattern of its output.
        weights: Dictionary from the names of linear maps in the pattern to
            those of the weights of the layer: `"reduce_{}"` for
            `reduce_kernel` and `reduce_bias`.
    """

    kind: str
    layer: type
    pattern: Pattern
    weights: dict[str, str]


TWO_MAPS = {"reduce": "reduce_{}", "expand": "expand_{}"}

# The first that matches is the one. A larger block stands before its parts.
MECHANISMS = (
    Mechanism(
        "SE",
        SqueezeExcite,
        operation("product", X, BOTTLENECK),
        TWO_MAPS,
    ),
    Mechanism(
        "linear SE",
        LinearSqueezeExcite,
        operation("product", X, gates(lambda z: expand(z, "map"))),
        {"map": "{}"},
    ),
    Mechanism(
        "ECA",
        EfficientChannelAttention,
        operation("product", X, gates(taps)),
        {"taps": "{}"},
    ),
    Mechanism(
        "squeeze gate",
        SqueezeGate,
        operation("product", X, gates(lambda z: z)),
        {},
    ),
)
