"""EfficientChannelAttention: its formula, weight and arguments."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.configurations import over_data_formats, randomize, shape_of
from support.gating import assert_gated

from keras_channel_attn import EfficientChannelAttention


@over_data_formats
@pytest.mark.parametrize("spatial", [(7,), (3, 4), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("pooling", ["avg", "max", "avg_max", "avg+max"])
@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize("kernel_size", [None, 1, 5])
@pytest.mark.parametrize("shared_kernel", [True, False])
def test_formula(
    rng, data_format, spatial, pooling, padding, kernel_size, shared_kernel
):
    x = rng.normal(size=shape_of(3, spatial, 9, data_format)).astype("float32")
    layer = EfficientChannelAttention(
        kernel_size=kernel_size,
        padding=padding,
        pooling=pooling,
        data_format=data_format,
        shared_kernel=shared_kernel,
    )
    layer.build(x.shape)
    randomize(layer)
    returned = layer(x, return_attention_scores=True)
    (kernel,) = layer.get_weights()
    convolve = reference.unshared_channel_convolution
    if shared_kernel:
        convolve = reference.channel_convolution
    logits = reference.excited(
        lambda z: convolve(z, kernel, padding), x, data_format, pooling
    )
    gates = reference.sigmoid(logits)
    assert_gated(returned, x, gates, data_format)


@pytest.mark.parametrize(
    ("arguments", "channels", "size"),
    [
        ({}, 4, 1),
        ({}, 64, 3),
        ({}, 256, 5),
        ({}, 2048, 7),
        ({"kernel_size": 9}, 4, 9),
        ({"kernel_size": 1}, 2048, 1),
        ({"kernel_size": 3, "gamma": 1, "b": 5}, 64, 3),
        ({"gamma": 1, "b": 0}, 64, 7),
        ({"gamma": 0.5, "b": -1}, 64, 11),
    ],
)
def test_one_weight(arguments, channels, size):
    layer = EfficientChannelAttention(**arguments)
    layer.build((None, 7, 7, channels))
    assert [(w.name, tuple(w.shape)) for w in layer.weights] == [
        ("kernel", (size, 1, 1))
    ]


@pytest.mark.parametrize(
    ("arguments", "channels", "size"),
    [({}, 64, 3), ({}, 2048, 7), ({"kernel_size": 9}, 4, 9)],
)
def test_a_kernel_for_each_channel(arguments, channels, size):
    layer = EfficientChannelAttention(shared_kernel=False, **arguments)
    layer.build((None, 7, 7, channels))
    assert [(w.name, tuple(w.shape)) for w in layer.weights] == [
        ("kernel", (size, channels))
    ]


@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_equal_kernels_are_a_shared_one(rng, padding):
    x = rng.normal(size=(2, 5, 16)).astype("float32")
    shared = EfficientChannelAttention(5, padding=padding)
    unshared = EfficientChannelAttention(
        5, padding=padding, shared_kernel=False
    )
    shared.build(x.shape)
    unshared.build(x.shape)
    randomize(shared)
    (kernel,) = shared.get_weights()
    unshared.set_weights([np.repeat(kernel[:, 0], 16, axis=1)])
    np.testing.assert_allclose(
        ops.convert_to_numpy(unshared(x)),
        ops.convert_to_numpy(shared(x)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_agrees_with_conv1d_of_keras(rng):
    z = rng.normal(size=(3, 1, 32)).astype("float32")
    conv = keras.layers.Conv1D(
        1, 5, padding="same", use_bias=False, data_format="channels_last"
    )
    expected = ops.convert_to_numpy(conv(z.reshape(3, 32, 1)))[..., 0]
    layer = EfficientChannelAttention(5, gate_activation=None)
    layer.build(z.shape)
    layer.set_weights(conv.get_weights())
    _, scores = layer(z, return_attention_scores=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(scores), expected, rtol=1e-5, atol=1e-6
    )


def test_regularizer_and_constraint_reach_the_kernel():
    layer = EfficientChannelAttention(
        kernel_regularizer="l2", kernel_constraint="non_neg"
    )
    layer.build((None, 7, 64))
    assert type(layer.kernel.regularizer).__name__ == "L2"
    assert type(layer.kernel.constraint).__name__ == "NonNeg"


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("kernel_size", 0, ValueError),
        ("kernel_size", -3, ValueError),
        ("kernel_size", 4, ValueError),
        ("kernel_size", 3.0, TypeError),
        ("kernel_size", float("nan"), TypeError),
        ("kernel_size", "3", TypeError),
        ("kernel_size", True, TypeError),
        ("kernel_size", (3,), TypeError),
        ("gamma", 0, ValueError),
        ("gamma", -2, ValueError),
        ("gamma", float("nan"), ValueError),
        ("gamma", float("inf"), ValueError),
        ("gamma", "2", TypeError),
        ("gamma", None, TypeError),
        ("gamma", True, TypeError),
        ("b", float("nan"), ValueError),
        ("b", float("-inf"), ValueError),
        ("b", "1", TypeError),
        ("b", None, TypeError),
        ("b", False, TypeError),
        ("padding", "same", ValueError),
        ("padding", "valid", ValueError),
        ("padding", None, TypeError),
        ("padding", 1, TypeError),
        ("kernel_initializer", "glorot", ValueError),
        ("kernel_initializer", None, ValueError),
        ("kernel_regularizer", "l3", ValueError),
        ("kernel_constraint", "positive", ValueError),
        ("shared_kernel", 1, TypeError),
        ("shared_kernel", None, TypeError),
    ],
)
def test_refuses_bad_arguments(argument, value, error):
    with pytest.raises(error, match=f"`{argument}`.*Received"):
        EfficientChannelAttention(**{argument: value})


def test_an_even_kernel_size_is_told_its_neighbors():
    with pytest.raises(ValueError, match="Use 3 or 5"):
        EfficientChannelAttention(kernel_size=4)


def test_a_config_from_before_the_argument_shares_its_kernel():
    config = EfficientChannelAttention().get_config()
    del config["shared_kernel"]
    assert EfficientChannelAttention.from_config(config).shared_kernel
