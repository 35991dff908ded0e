"""Layer configurations that many tests run over, as (class, arguments)."""

import numpy as np
import pytest

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


class Plain(ChannelAttention):
    """The smallest mechanism: the gate on the descriptor itself."""

    def excite(self, descriptor):
        return descriptor


CONFIGURATIONS = {
    "se": (SqueezeExcite, {"reduction": 4}),
    "se_bias": (SqueezeExcite, {"reduction": 2, "use_bias": True}),
    "se_swish_hard_max": (
        SqueezeExcite,
        {
            "bottleneck_units": 3,
            "activation": "swish",
            "gate_activation": "hard_sigmoid",
            "pooling": "max",
        },
    ),
    "se_divisor_avg_max": (
        SqueezeExcite,
        {"divisor": 8, "use_bias": True, "pooling": "avg_max_mean"},
    ),
    "se_identity": (SqueezeExcite, {"reduction": 4, "identity_start": True}),
    "se_cbam": (
        SqueezeExcite,
        {"reduction": 2, "use_bias": True, "pooling": "avg_max_separate"},
    ),
    "eca": (EfficientChannelAttention, {}),
    "eca_circular_avg_max": (
        EfficientChannelAttention,
        {"kernel_size": 5, "padding": "circular", "pooling": "avg_max_mean"},
    ),
    "eca_identity_hard": (
        EfficientChannelAttention,
        {"identity_start": True, "gate_activation": "hard_sigmoid"},
    ),
    "eca_ns": (
        EfficientChannelAttention,
        {"kernel_size": 3, "shared_kernel": False},
    ),
    "eca_ns_circular_cbam": (
        EfficientChannelAttention,
        {
            "kernel_size": 5,
            "padding": "circular",
            "pooling": "avg_max_separate",
            "shared_kernel": False,
        },
    ),
    "linear": (LinearSqueezeExcite, {}),
    "linear_ese": (
        LinearSqueezeExcite,
        {"use_bias": True, "gate_activation": "hard_sigmoid"},
    ),
    "linear_groups_bias_identity": (
        LinearSqueezeExcite,
        {"groups": 2, "use_bias": True, "identity_start": True},
    ),
    # With eight channels, as in most tests, the kernel is diagonal.
    "linear_diagonal_cbam": (
        LinearSqueezeExcite,
        {"groups": 8, "use_bias": True, "pooling": "avg_max_separate"},
    ),
    "se_multiplier": (
        SqueezeExcite,
        {"reduction": 2, "use_bias": True, "learning_rate_multiplier": 30},
    ),
    "eca_multiplier": (
        EfficientChannelAttention,
        {"learning_rate_multiplier": 0.3},
    ),
    "gate": (SqueezeGate, {}),
    "gate_hard_cbam": (
        SqueezeGate,
        {"gate_activation": "hard_sigmoid", "pooling": "avg_max_separate"},
    ),
    "cbam": (ConvolutionalBlockAttention, {"reduction": 2, "kernel_size": 3}),
    "cbam_normalized": (
        ConvolutionalBlockAttention,
        {
            "reduction": 4,
            "use_bias": True,
            "batch_normalization": True,
            "identity_start": True,
            "learning_rate_multiplier": 3,
        },
    ),
    "scse": (ConcurrentSqueezeExcite, {"reduction": 2, "use_bias": True}),
    "scse_max_multiplier": (
        ConcurrentSqueezeExcite,
        {
            "reduction": 4,
            "combination": "max",
            "learning_rate_multiplier": 0.3,
        },
    ),
    "scse_spatial": (ConcurrentSqueezeExcite, {"combination": "spatial"}),
    "scse_identity": (
        ConcurrentSqueezeExcite,
        {"reduction": 4, "identity_start": True},
    ),
    "coordinate": (CoordinateAttention, {"divisor": 4}),
    "coordinate_plain": (
        CoordinateAttention,
        {
            "reduction": 2,
            "divisor": 1,
            "use_bias": True,
            "batch_normalization": False,
            "activation": "swish",
            "identity_start": True,
        },
    ),
    "context": (GlobalContext, {"reduction": 2}),
    "context_scale": (
        GlobalContext,
        {
            "reduction": 2,
            "use_bias": False,
            "fuse": "scale",
            "gate_activation": "hard_sigmoid",
        },
    ),
}
# One gate for each channel, and nothing else.
OF_CHANNELS = {
    name: row
    for name, row in CONFIGURATIONS.items()
    if issubclass(row[0], ChannelAttention)
}
# Their weights, and where the positions are, depend on the spatial axes.
OF_ONE_RANK = (ConvolutionalBlockAttention, CoordinateAttention)
OF_ANY_RANK = {
    name: row
    for name, row in CONFIGURATIONS.items()
    if row[0] not in OF_ONE_RANK
}
# Only layers with weights can start as the identity.
WITH_WEIGHTS = {
    name: row
    for name, row in CONFIGURATIONS.items()
    if row[0] is not SqueezeGate
}


DATA_FORMATS = ("channels_last", "channels_first")


def over(table):
    """Run a test over a table of names and (class, arguments)."""
    return pytest.mark.parametrize(
        ("layer_class", "arguments"), table.values(), ids=table.keys()
    )


def over_alternating_formats(table):
    """The same, each row in one data format.

    The data format decides which axes are squeezed, which no mechanism sees.
    So each mechanism meets both formats, but each configuration only one.
    """
    return pytest.mark.parametrize(
        ("layer_class", "arguments", "data_format"),
        [
            pytest.param(*row, DATA_FORMATS[index % 2], id=name)
            for index, (name, row) in enumerate(table.items())
        ],
    )


over_configurations = over(CONFIGURATIONS)
over_those_of_channels = over(OF_CHANNELS)
over_configurations_and_formats = over_alternating_formats(CONFIGURATIONS)
over_those_with_weights = over(WITH_WEIGHTS)
over_data_formats = pytest.mark.parametrize("data_format", DATA_FORMATS)


def built(layer_class, arguments, channels=8, rank=2, **more):
    """A layer with random weights, for inputs of any size.

    `rank` is the number of spatial axes, for the layers that depend on it.
    """
    layer = layer_class(**arguments, **more)
    layer.build(shape_of(None, (None,) * rank, channels, layer.data_format))
    randomize(layer)
    return layer


def randomize(layer, seed=1):
    """Give every weight random numbers, so that none is zero.

    They are the effective weights: with a `learning_rate_multiplier` the layer
    stores them divided by it.
    """
    rng = np.random.default_rng(seed)
    multiplier_of = getattr(layer, "multiplier_of", lambda weight: 1)
    arrays = [
        rng.normal(0, 0.5, size=weight.shape) / multiplier_of(weight)
        for weight in layer.weights
    ]
    layer.set_weights(
        [
            0.5 + array**2 if weight.name == "moving_variance" else array
            for array, weight in zip(arrays, layer.weights, strict=True)
        ]
    )


def shape_of(batch, spatial, channels, data_format):
    """The input shape in either data format."""
    if data_format == "channels_last":
        return (batch, *spatial, channels)
    return (batch, channels, *spatial)
