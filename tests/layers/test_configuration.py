"""The configuration of a layer has every argument, as it was given."""

import pytest

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

KERNELS = {
    "kernel_initializer": "he_normal",
    "kernel_regularizer": "l2",
    "kernel_constraint": "non_neg",
}
BIASES = {
    "use_bias": True,
    "bias_initializer": "ones",
    "bias_regularizer": "l1",
    "bias_constraint": "max_norm",
}
# Arguments of every Keras layer.
KERAS = {"name": "attention", "dtype": "float16", "trainable": False}
# No value is the default, except where only one is allowed.
ALL_ARGUMENTS = {
    SqueezeExcite: {
        "reduction": 4,
        "bottleneck_units": 6,
        "divisor": 2,
        "activation": "swish",
        "gate_activation": "hard_sigmoid",
        "pooling": "avg_max_mean",
        "identity_start": True,
        "data_format": "channels_first",
        **KERNELS,
        **BIASES,
        "learning_rate_multiplier": 3,
        **KERAS,
    },
    LinearSqueezeExcite: {
        "groups": 4,
        "gate_activation": "hard_sigmoid",
        "pooling": "avg_max_separate",
        "identity_start": True,
        "data_format": "channels_first",
        **KERNELS,
        **BIASES,
        "learning_rate_multiplier": 3,
        **KERAS,
    },
    EfficientChannelAttention: {
        "kernel_size": 5,
        "gamma": 1.5,
        "b": -0.5,
        "padding": "circular",
        "gate_activation": "hard_sigmoid",
        "pooling": "max",
        "identity_start": True,
        "data_format": "channels_first",
        **KERNELS,
        "shared_kernel": False,
        "learning_rate_multiplier": 0.5,
        **KERAS,
    },
    **{
        layer_class: {
            "reduction": 4,
            "bottleneck_units": 6,
            "divisor": 2,
            "activation": "swish",
            **own,
            "gate_activation": "hard_sigmoid",
            "identity_start": True,
            "data_format": "channels_first",
            **KERNELS,
            **BIASES,
            "learning_rate_multiplier": 3,
            **KERAS,
        }
        for layer_class, own in (
            (
                ConvolutionalBlockAttention,
                {"kernel_size": 5, "batch_normalization": True},
            ),
            (ConcurrentSqueezeExcite, {"combination": "max"}),
            (CoordinateAttention, {"batch_normalization": False}),
            (GlobalContext, {"fuse": "scale"}),
        )
    },
    SqueezeGate: {
        "gate_activation": "hard_sigmoid",
        "pooling": "max",
        "identity_start": False,
        "data_format": "channels_first",
        **KERAS,
    },
}
# Arguments that a layer keeps as Keras objects.
RESOLVED = ("activation", "initializer", "regularizer", "constraint", "dtype")
KEPT = [
    (layer_class, argument)
    for layer_class, arguments in ALL_ARGUMENTS.items()
    for argument in arguments
    if not argument.endswith(RESOLVED)
]
# Arguments that are computed from the channels unless given.
COMPUTED = {
    EfficientChannelAttention: "kernel_size",
    SqueezeExcite: "bottleneck_units",
}

over_layers = pytest.mark.parametrize("layer_class", ALL_ARGUMENTS)


@over_layers
def test_config_carries_every_argument(layer_class):
    arguments = ALL_ARGUMENTS[layer_class]
    config = layer_class(**arguments).get_config()
    assert set(config) == set(arguments)
    assert layer_class.from_config(config).get_config() == config


@pytest.mark.parametrize(("layer_class", "argument"), KEPT)
def test_argument_survives_build_as_given(layer_class, argument):
    arguments = ALL_ARGUMENTS[layer_class]
    layer = layer_class(**arguments)
    layer.build((None, 64, 7))
    assert layer.get_config()[argument] == arguments[argument]
    assert getattr(layer, argument) == arguments[argument]


@pytest.mark.parametrize(
    "layer_class",
    [
        layer_class
        for layer_class, arguments in ALL_ARGUMENTS.items()
        if "pooling" in arguments
    ],
)
@pytest.mark.parametrize(
    ("earlier", "name"),
    [("avg_max", "avg_max_mean"), ("avg+max", "avg_max_separate")],
)
def test_earlier_names_of_poolings_load(layer_class, earlier, name):
    """They are in files, and are not arguments any more."""
    config = {**layer_class().get_config(), "pooling": earlier}
    layer = layer_class.from_config(config)
    assert layer.pooling == layer.get_config()["pooling"] == name
    with pytest.raises(ValueError, match=rf"`pooling`.*{name}.*Received"):
        layer_class(pooling=earlier)


@over_layers
def test_defaults_survive_build(layer_class):
    layer = layer_class()
    before = layer.get_config()
    layer.build((None, 7, 64))
    assert layer.get_config() == before
    if layer_class in COMPUTED:
        assert before[COMPUTED[layer_class]] is None
