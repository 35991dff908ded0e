"""Every argument of every layer goes into its configuration, and stays."""

import pytest

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

# None of them at its default, but for what has one value alone.
ALL_ARGUMENTS = {
    SqueezeExcite: {
        "reduction": 4,
        "bottleneck_units": 6,
        "divisor": 2,
        "activation": "swish",
        "use_bias": True,
        "gate_activation": "hard_sigmoid",
        "pooling": "avg_max",
        "identity_start": True,
        "data_format": "channels_first",
        "kernel_initializer": "he_normal",
        "bias_initializer": "ones",
        "kernel_regularizer": "l2",
        "bias_regularizer": "l1",
        "kernel_constraint": "non_neg",
        "bias_constraint": "max_norm",
        "name": "attention",
        "dtype": "float16",
        "trainable": False,
    },
    LinearSqueezeExcite: {
        "groups": 4,
        "use_bias": True,
        "gate_activation": "hard_sigmoid",
        "pooling": "avg+max",
        "identity_start": True,
        "data_format": "channels_first",
        "kernel_initializer": "he_normal",
        "bias_initializer": "ones",
        "kernel_regularizer": "l2",
        "bias_regularizer": "l1",
        "kernel_constraint": "non_neg",
        "bias_constraint": "max_norm",
        "name": "attention",
        "dtype": "float16",
        "trainable": False,
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
        "kernel_initializer": "he_normal",
        "kernel_regularizer": "l2",
        "kernel_constraint": "non_neg",
        "shared_kernel": False,
        "name": "attention",
        "dtype": "float16",
        "trainable": False,
    },
    SqueezeGate: {
        "gate_activation": "hard_sigmoid",
        "pooling": "max",
        "identity_start": False,
        "data_format": "channels_first",
        "name": "attention",
        "dtype": "float16",
        "trainable": False,
    },
}
# What a layer keeps as objects of Keras.
RESOLVED = ("activation", "initializer", "regularizer", "constraint", "dtype")
KEPT = [
    (layer_class, argument)
    for layer_class, arguments in ALL_ARGUMENTS.items()
    for argument in arguments
    if not argument.endswith(RESOLVED)
]
# What is chosen from the channels, unless it is given.
CHOSEN = {
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


@over_layers
def test_defaults_survive_build(layer_class):
    layer = layer_class()
    before = layer.get_config()
    layer.build((None, 7, 64))
    assert layer.get_config() == before
    if layer_class in CHOSEN:
        assert before[CHOSEN[layer_class]] is None
