"""Layer configurations that many tests run over, as (class, arguments)."""

import numpy as np
import pytest

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

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
    "eca": (EfficientChannelAttention, {}),
    "eca_circular_avg_max": (
        EfficientChannelAttention,
        {"kernel_size": 5, "padding": "circular", "pooling": "avg_max"},
    ),
    "eca_identity_hard": (
        EfficientChannelAttention,
        {"identity_start": True, "gate_activation": "hard_sigmoid"},
    ),
}

over_configurations = pytest.mark.parametrize(
    ("layer_class", "arguments"),
    CONFIGURATIONS.values(),
    ids=CONFIGURATIONS.keys(),
)

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
