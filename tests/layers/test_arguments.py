"""Wrong constructor arguments are refused with an error that names them."""

import numpy as np
import pytest
from support.configurations import Plain

from keras_channel_attn import (
    ChannelAttention,
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

SPATIAL = [
    ConvolutionalBlockAttention,
    ConcurrentSqueezeExcite,
    CoordinateAttention,
    GlobalContext,
]
WITH_BOTTLENECK = [SqueezeExcite, *SPATIAL]
WITH_BIASES = [*WITH_BOTTLENECK, LinearSqueezeExcite]
WITH_KERNELS = [*WITH_BIASES, EfficientChannelAttention]
ALL = [*WITH_KERNELS, SqueezeGate, Plain]
NAN = float("nan")

# (layers, argument, values of a wrong type, values that are not allowed)
REFUSED = [
    (
        [SqueezeExcite, LinearSqueezeExcite, SqueezeGate, Plain],
        "pooling",
        [None, 1],
        ["mean", "max+avg"],
    ),
    (ALL, "gate_activation", [], ["gate", 3]),
    (ALL, "identity_start", [1, None, "yes"], []),
    (ALL, "data_format", [1, NAN], ["NCHW"]),
    (
        ALL,
        "learning_rate_multiplier",
        [True, None, [3]],
        [0, -1, NAN, float("inf"), 10**400, "3"],
    ),
    (WITH_KERNELS, "kernel_initializer", [], ["glorot", 1.5, None]),
    (WITH_KERNELS, "kernel_regularizer", [], ["l3"]),
    (WITH_KERNELS, "kernel_constraint", [], ["positive"]),
    (WITH_BIASES, "use_bias", [1, None, "no"], []),
    (WITH_BIASES, "bias_initializer", [], ["none", None]),
    (WITH_BIASES, "bias_regularizer", [], [0.1]),
    (WITH_BIASES, "bias_constraint", [], [1]),
    (
        WITH_BOTTLENECK,
        "reduction",
        [16.0, NAN, "16", True, [16], None],
        [0, -1],
    ),
    (
        WITH_BOTTLENECK,
        "bottleneck_units",
        [16.0, NAN, "16", True, [16], np.array([16]), np.array(True)],
        [0, -1],
    ),
    (WITH_BOTTLENECK, "divisor", [16.0, NAN, "16", True, [16], None], [0, -1]),
    (WITH_BOTTLENECK, "activation", [], ["rely", 1]),
    ([LinearSqueezeExcite], "groups", [16.0, "channels", True, None], [0, -2]),
    (
        [EfficientChannelAttention],
        "kernel_size",
        [3.0, NAN, "3", True, (3,)],
        [0, -3, 4],
    ),
    (
        [EfficientChannelAttention],
        "gamma",
        ["2", None, True],
        [0, -2, NAN, float("inf")],
    ),
    (
        [EfficientChannelAttention],
        "b",
        ["1", None, False],
        [NAN, float("-inf")],
    ),
    ([EfficientChannelAttention], "padding", [None, 1], ["same", "valid"]),
    ([EfficientChannelAttention], "shared_kernel", [1, None], []),
    (
        [ConvolutionalBlockAttention],
        "kernel_size",
        [7.0, NAN, "7", True, (7, 7), None],
        [0, -7, 6],
    ),
    (
        [ConvolutionalBlockAttention, CoordinateAttention],
        "batch_normalization",
        [1, None, "yes"],
        [],
    ),
    ([ConcurrentSqueezeExcite], "combination", [None, 1], ["mean", "channel"]),
    ([GlobalContext], "fuse", [None, True], ["mul", "sum"]),
]
CASES = [
    pytest.param(
        *(layer_class, argument, value, error),
        id=f"{layer_class.__name__}-{argument}-{value!r}",
    )
    for layers, argument, wrong_type, not_allowed in REFUSED
    for layer_class in layers
    for error, values in [(TypeError, wrong_type), (ValueError, not_allowed)]
    for value in values
]


@pytest.mark.parametrize(("layer_class", "argument", "value", "error"), CASES)
def test_refuses_a_wrong_argument(layer_class, argument, value, error):
    with pytest.raises(error, match=f"`{argument}`.*Received"):
        layer_class(**{argument: value})


@pytest.mark.parametrize(
    ("layer_class", "argument"),
    [
        *((layer_class, "ratio") for layer_class in WITH_BOTTLENECK),
        (EfficientChannelAttention, "reduction"),
        (LinearSqueezeExcite, "reduction"),
        (SqueezeGate, "reduction"),
        (Plain, "reduction"),
    ],
)
def test_refuses_an_unknown_argument(layer_class, argument):
    with pytest.raises(ValueError, match=argument):
        layer_class(**{argument: 16})


@pytest.mark.parametrize("name", ["ratio", "reduction"])
def test_the_name_of_the_channel_half_of_cbam(name):
    message = (
        rf"no argument `{name}`. Received: {name}=8.*"
        r'SqueezeExcite\(.*pooling="avg_max_separate".*'
        "ConvolutionalBlockAttention"
    )
    with pytest.raises(ValueError, match=message):
        ChannelAttention(**{name: 8})


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.array])
@pytest.mark.parametrize(
    ("layer_class", "argument", "value"),
    [
        (SqueezeExcite, "reduction", 4),
        (SqueezeExcite, "bottleneck_units", 6),
        (SqueezeExcite, "divisor", 2),
        (LinearSqueezeExcite, "groups", 2),
        (EfficientChannelAttention, "kernel_size", 3),
    ],
)
def test_integers_of_numpy_are_integers(layer_class, argument, value, kind):
    layer = layer_class(**{argument: kind(value)})
    assert getattr(layer, argument) == value
    assert type(layer.get_config()[argument]) is int
