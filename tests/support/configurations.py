"""Layer configurations that many tests run over, as (class, arguments)."""

import numpy as np
import pytest

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

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
        {"divisor": 8, "use_bias": True, "pooling": "avg_max"},
    ),
    "se_identity": (SqueezeExcite, {"reduction": 4, "identity_start": True}),
    "se_cbam": (
        SqueezeExcite,
        {"reduction": 2, "use_bias": True, "pooling": "avg+max"},
    ),
    "eca": (EfficientChannelAttention, {}),
    "eca_circular_avg_max": (
        EfficientChannelAttention,
        {"kernel_size": 5, "padding": "circular", "pooling": "avg_max"},
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
            "pooling": "avg+max",
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
    # Diagonal where the test has eight channels, as most have.
    "linear_diagonal_cbam": (
        LinearSqueezeExcite,
        {"groups": 8, "use_bias": True, "pooling": "avg+max"},
    ),
    "gate": (SqueezeGate, {}),
    "gate_hard_cbam": (
        SqueezeGate,
        {"gate_activation": "hard_sigmoid", "pooling": "avg+max"},
    ),
}
# Those that can be trained, and so start as the identity.
WITH_WEIGHTS = {
    name: row
    for name, row in CONFIGURATIONS.items()
    if row[0] is not SqueezeGate
}


def over(table):
    """Run a test over a table of names and (class, arguments)."""
    return pytest.mark.parametrize(
        ("layer_class", "arguments"), table.values(), ids=table.keys()
    )


over_configurations = over(CONFIGURATIONS)
over_those_with_weights = over(WITH_WEIGHTS)

DATA_FORMATS = ("channels_last", "channels_first")

over_data_formats = pytest.mark.parametrize("data_format", DATA_FORMATS)


def randomize(layer, seed=1):
    """Give every weight other numbers, so that no bias or kernel is zero."""
    rng = np.random.default_rng(seed)
    layer.set_weights(
        [rng.normal(0, 0.5, size=w.shape) for w in layer.get_weights()]
    )


def shape_of(batch, spatial, channels, data_format):
    """The input shape in either data format."""
    if data_format == "channels_last":
        return (batch, *spatial, channels)
    return (batch, channels, *spatial)
