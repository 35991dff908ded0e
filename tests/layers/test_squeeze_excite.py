"""SqueezeExcite: its formula and how its kernels start."""

import keras
import numpy as np
import pytest
from support import reference
from support.configurations import over_data_formats
from support.gating import assert_formula, over_one_and_two_descriptors

from keras_channel_attn import SqueezeExcite


@over_data_formats
@over_one_and_two_descriptors
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    ("activation", "gate_activation"),
    [("relu", "sigmoid"), ("swish", "hard_sigmoid")],
)
def test_formula(data_format, pooling, use_bias, activation, gate_activation):
    layer = SqueezeExcite(
        reduction=2,
        activation=activation,
        use_bias=use_bias,
        gate_activation=gate_activation,
        pooling=pooling,
        data_format=data_format,
    )
    assert_formula(
        layer,
        8,
        lambda z, weights: reference.bottleneck(
            z, weights, use_bias, getattr(reference, activation)
        ),
    )


# KerasCV's habit: there the first argument is the number of channels.
@pytest.mark.parametrize(("channels", "reduction"), [(8, 16), (63, 64)])
def test_warns_if_reduction_exceeds_the_channels(channels, reduction):
    layer = SqueezeExcite(reduction, name="se", data_format="channels_last")
    message = f"'se': `reduction` is {reduction} and the input has {channels} "
    with pytest.warns(UserWarning, match=message):
        layer.build((None, 4, channels))
    assert layer.reduce_kernel.shape == (channels, 1)


@pytest.mark.parametrize(
    "arguments",
    [{"reduction": 8}, {"bottleneck_units": 1}, {"divisor": 8}],
    ids=str,
)
def test_does_not_warn_of_a_width_that_was_chosen(arguments):
    layer = SqueezeExcite(**arguments, data_format="channels_last")
    layer.build((None, 4, 8))
    assert layer.built


def custom_initializer(shape, dtype=None):
    return keras.random.normal(shape, dtype=dtype)


@pytest.mark.parametrize(
    "initializer",
    [
        "glorot_uniform",
        "he_normal",
        "orthogonal",
        keras.initializers.GlorotUniform(),
        keras.initializers.GlorotUniform(seed=3),
        keras.initializers.RandomNormal(seed=3),
        keras.initializers.VarianceScaling(2.0, seed=0),
        keras.initializers.RandomUniform(seed=keras.random.SeedGenerator(1)),
        {"class_name": "HeNormal", "config": {"seed": 5}},
        custom_initializer,
    ],
    # Not by `str`, which contains an address of this process.
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_kernels_never_start_with_the_same_numbers(initializer):
    layer = SqueezeExcite(reduction=2, kernel_initializer=initializer)
    layer.build((None, 7, 7, 64))
    reduce_kernel, expand_kernel = layer.get_weights()
    for other in (expand_kernel, expand_kernel.T):
        same = np.isclose(reduce_kernel.ravel(), other.ravel()).mean()
        assert same < 0.1


def test_a_seed_makes_both_kernels_reproducible():
    first, second = (
        SqueezeExcite(kernel_initializer=keras.initializers.HeNormal(seed=3))
        for _ in range(2)
    )
    first.build((None, 7, 64))
    second.build((None, 7, 64))
    for kernel, other in zip(
        first.get_weights(), second.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(kernel, other)
