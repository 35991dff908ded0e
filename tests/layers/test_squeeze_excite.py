"""SqueezeExcite: its formula, weights and arguments."""

import keras
import numpy as np
import pytest
from support import reference
from support.configurations import over_data_formats, randomize, shape_of
from support.gating import assert_gated

from keras_channel_attn import SqueezeExcite


@over_data_formats
@pytest.mark.parametrize("spatial", [(7,), (3, 4), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("pooling", ["avg", "max", "avg_max", "avg+max"])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    ("activation", "gate_activation"),
    [("relu", "sigmoid"), ("swish", "hard_sigmoid")],
)
def test_formula(
    rng, data_format, spatial, pooling, use_bias, activation, gate_activation
):
    x = rng.normal(size=shape_of(3, spatial, 8, data_format)).astype("float32")
    layer = SqueezeExcite(
        reduction=2,
        activation=activation,
        use_bias=use_bias,
        gate_activation=gate_activation,
        pooling=pooling,
        data_format=data_format,
    )
    layer.build(x.shape)
    randomize(layer)
    returned = layer(x, return_attention_scores=True)
    logits = reference.excited(
        lambda z: reference.bottleneck(
            z, layer.get_weights(), use_bias, getattr(reference, activation)
        ),
        x,
        data_format,
        pooling,
    )
    gates = getattr(reference, gate_activation)(logits)
    assert_gated(returned, x, gates, data_format)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"reduce_kernel": (64, 4), "expand_kernel": (4, 64)}),
        (
            {"use_bias": True, "divisor": 8},
            {
                "reduce_kernel": (64, 8),
                "reduce_bias": (8,),
                "expand_kernel": (8, 64),
                "expand_bias": (64,),
            },
        ),
        (
            {"bottleneck_units": 5, "reduction": 2, "divisor": 8},
            {"reduce_kernel": (64, 5), "expand_kernel": (5, 64)},
        ),
        (
            {"reduction": 100},
            {"reduce_kernel": (64, 1), "expand_kernel": (1, 64)},
        ),
    ],
    ids=["default", "bias_divisor", "bottleneck_units", "at_least_one"],
)
def test_weights_in_order(arguments, expected):
    layer = SqueezeExcite(**arguments)
    layer.build((None, 7, 7, 64))
    actual = {w.name: tuple(w.shape) for w in layer.weights}
    assert list(actual.items()) == list(expected.items())


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
    # Not by `str`: each process has other addresses.
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
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
    for one, other in zip(
        first.get_weights(), second.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_regularizers_and_constraints_reach_their_weights():
    layer = SqueezeExcite(
        use_bias=True,
        kernel_regularizer="l2",
        bias_regularizer="l1",
        kernel_constraint="non_neg",
        bias_constraint="max_norm",
    )
    layer.build((None, 7, 64))
    regularizers = [type(w.regularizer).__name__ for w in layer.weights]
    constraints = [type(w.constraint).__name__ for w in layer.weights]
    assert regularizers == ["L2", "L1", "L2", "L1"]
    assert constraints == ["NonNeg", "MaxNorm", "NonNeg", "MaxNorm"]


def test_numpy_integers_are_integers():
    layer = SqueezeExcite(reduction=np.int64(4), divisor=np.int32(2))
    assert type(layer.get_config()["reduction"]) is int
    assert (layer.reduction, layer.divisor) == (4, 2)


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        *(
            (argument, value, error)
            for argument in ("reduction", "bottleneck_units", "divisor")
            for value, error in [
                (0, ValueError),
                (-1, ValueError),
                (16.0, TypeError),
                (float("nan"), TypeError),
                ("16", TypeError),
                (True, TypeError),
                ([16], TypeError),
            ]
        ),
        ("reduction", None, TypeError),
        ("divisor", None, TypeError),
        ("use_bias", 1, TypeError),
        ("use_bias", None, TypeError),
        ("use_bias", "no", TypeError),
        ("activation", "rely", ValueError),
        ("activation", 1, ValueError),
        ("kernel_initializer", "glorot", ValueError),
        ("kernel_initializer", 1.5, ValueError),
        ("kernel_initializer", None, ValueError),
        ("bias_initializer", "none", ValueError),
        ("bias_initializer", None, ValueError),
        ("kernel_regularizer", "l3", ValueError),
        ("bias_regularizer", 0.1, ValueError),
        ("kernel_constraint", "positive", ValueError),
        ("bias_constraint", 1, ValueError),
    ],
)
def test_refuses_bad_arguments(argument, value, error):
    with pytest.raises(error, match=f"`{argument}`.*Received"):
        SqueezeExcite(**{argument: value})


def test_refuses_unknown_arguments():
    with pytest.raises(ValueError, match="ratio"):
        SqueezeExcite(ratio=16)
