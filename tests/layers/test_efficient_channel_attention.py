"""EfficientChannelAttention: its formula and its kernels."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.configurations import built, over_data_formats
from support.gating import assert_formula, over_one_and_two_descriptors

from keras_channel_attn import EfficientChannelAttention


@over_data_formats
@over_one_and_two_descriptors
@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize("kernel_size", [None, 1, 5])
@pytest.mark.parametrize("shared_kernel", [True, False])
def test_formula(data_format, pooling, padding, kernel_size, shared_kernel):
    layer = EfficientChannelAttention(
        kernel_size=kernel_size,
        padding=padding,
        pooling=pooling,
        data_format=data_format,
        shared_kernel=shared_kernel,
    )
    convolve = reference.unshared_channel_convolution
    if shared_kernel:
        convolve = reference.channel_convolution
    assert_formula(
        layer, 9, lambda z, weights: convolve(z, weights[0], padding)
    )


@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_equal_kernels_compute_what_a_shared_kernel_does(rng, padding):
    x = rng.normal(size=(2, 5, 16)).astype("float32")
    arguments = {"kernel_size": 5, "padding": padding}
    shared = built(EfficientChannelAttention, arguments, 16)
    unshared = EfficientChannelAttention(**arguments, shared_kernel=False)
    unshared.build(x.shape)
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


def test_the_error_for_an_even_kernel_size_names_two_odd_ones():
    with pytest.raises(ValueError, match="Use 3 or 5"):
        EfficientChannelAttention(kernel_size=4)


def test_a_config_without_shared_kernel_shares_it():
    """As in tests/golden/golden.keras, written before the argument existed."""
    config = EfficientChannelAttention().get_config()
    del config["shared_kernel"]
    assert EfficientChannelAttention.from_config(config).shared_kernel
