"""The attention mechanisms as patterns of normal operations."""

import dataclasses
from collections.abc import Callable
from typing import Any

from keras_channel_attn.layers import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)
from keras_channel_attn.layers.global_context import EPSILON
from keras_channel_attn.layers.spatial_attention import NORMALIZATION_EPSILON
from keras_channel_attn.surgery.patterns import (
    Pattern,
    across_channels,
    activation,
    along_channels,
    at_positions,
    either,
    named,
    of_channels,
    operation,
    over_channels,
    over_other_positions,
    over_positions,
    tensor,
    to_all_channels,
    to_one_channel,
    to_one_map,
)

X = tensor("x")


def product(*factors: Pattern) -> Pattern:
    """The product of tensors, in any order."""
    return operation("product", *factors)


def pooling(kind: str, name: str, of: Pattern = X) -> Pattern:
    """The pooling of a tensor over all positions."""
    return operation(kind, of, place=over_positions, name=name)


ONE = pooling("mean|max", "pool")
AVERAGE = pooling("mean", "average")
MAXIMUM = pooling("max", "maximum")


def expand(of: Pattern, name: str = "expand") -> Pattern:
    """A dense map to all channels."""
    return operation("linear", of, place=to_all_channels, name=name)


def reduce(of: Pattern) -> Pattern:
    """The first map of a bottleneck."""
    return operation("linear", of, place=along_channels, name="reduce")


def hidden(of: Pattern) -> Pattern:
    """The first map of a bottleneck and its activation."""
    return activation("activation", reduce(of))


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


SEPARATE = either(
    operation("sum", bottleneck(AVERAGE), bottleneck(MAXIMUM)),
    expand(
        operation("sum", hidden(AVERAGE), hidden(MAXIMUM), name="sum_of_hidden")
    ),
)


# Positions


def spatial_gates(of: Pattern) -> Pattern:
    """CBAM's gates of positions, from the mean and the maximum of channels."""
    mean = operation("mean", of, place=over_channels, name="channel_mean")
    maximum = operation("max", of, place=over_channels, name="channel_max")
    maps = either(
        operation("concatenation", mean, maximum),
        operation("concatenation", maximum, mean, name="reversed"),
    )
    spatial = operation("linear", maps, place=to_one_map, name="spatial")
    normal = operation("batch_normalization", spatial, name="normalization")
    return activation("gate", either(spatial, normal))


def to_one(name: str) -> Pattern:
    """A 1x1 convolution of the input to one channel."""
    return operation("linear", X, place=to_one_channel, name=name)


def normalized(kind: str, of: Pattern) -> Pattern:
    """A normalization of the channels of a bottleneck."""
    return operation(kind, of, place=of_channels, name="normalization")


def context(normalization: str = "layer_normalization") -> Pattern:
    """The bottleneck of a mean that is weighted by a softmax."""
    weights = operation("softmax", to_one("context"), place=at_positions)
    total = operation("total", product(X, weights), place=at_positions)
    normal = normalized(normalization, reduce(total))
    return expand(activation("activation", normal))


def along_axes(count: int) -> Pattern:
    """The input times gates along each of some spatial axes."""
    means = [
        operation("mean", X, place=over_other_positions, name=f"mean_{i}")
        for i in range(count)
    ]
    joined = reduce(operation("concatenation", *means))
    hidden = activation(
        "activation",
        either(joined, normalized("batch_normalization", joined)),
    )
    parts = [
        expand(operation("part", hidden, position=i), f"expand_{i}")
        for i in range(count)
    ]
    return product(X, *(activation("gate", part) for part in parts))


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """How a mechanism is recognized, and which layer it is.

    Attributes:
        kind: String, its short name.
        layer: Class of the layer.
        pattern: Pattern of its output.
        arguments: Dictionary, arguments of the layer.
        epsilon: Number, of its normalization.
    """

    kind: str
    layer: type
    pattern: Pattern
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    epsilon: float = 1


CHANNELS = product(X, gates(bottleneck))
CBAM_CHANNELS = product(X, activation("gate", SEPARATE))
POSITIONS = product(X, activation("gate", to_one("spatial")))


def combined(kind: str) -> Pattern:
    """The input gated twice, by its channels and by its positions."""
    return operation(kind, CHANNELS, POSITIONS, name="combination")


# The first that matches is the one. A larger block stands before its parts.
MECHANISMS = (
    Mechanism(
        "CBAM",
        ConvolutionalBlockAttention,
        product(
            named("refined", CBAM_CHANNELS), spatial_gates(tensor("refined"))
        ),
        epsilon=NORMALIZATION_EPSILON,
    ),
    Mechanism(
        "coordinate attention",
        CoordinateAttention,
        either(along_axes(2), along_axes(3)),
        epsilon=NORMALIZATION_EPSILON,
    ),
    Mechanism(
        "global context",
        GlobalContext,
        operation("sum", X, activation("term", context())),
        {"fuse": "add"},
        EPSILON,
    ),
    Mechanism(
        "global context",
        GlobalContext,
        product(X, activation("gate", context())),
        {"fuse": "scale"},
        EPSILON,
    ),
    Mechanism(
        "scSE",
        ConcurrentSqueezeExcite,
        combined("sum|average"),
        {"combination": "sum"},
    ),
    Mechanism(
        "scSE",
        ConcurrentSqueezeExcite,
        combined("maximum"),
        {"combination": "max"},
    ),
    Mechanism("CBAM channels", SqueezeExcite, CBAM_CHANNELS),
    Mechanism("SE", SqueezeExcite, CHANNELS),
    Mechanism(
        "linear SE",
        LinearSqueezeExcite,
        product(X, gates(lambda z: expand(z, "map"))),
    ),
    Mechanism("ECA", EfficientChannelAttention, product(X, gates(taps))),
    Mechanism("squeeze gate", SqueezeGate, product(X, gates(lambda z: z))),
    Mechanism(
        "sSE", ConcurrentSqueezeExcite, POSITIONS, {"combination": "spatial"}
    ),
)
