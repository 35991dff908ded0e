"""LinearSqueezeExcite: its formula, weights and arguments."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.configurations import over_data_formats, randomize, shape_of
from support.gating import assert_gated

from keras_channel_attn import LinearSqueezeExcite


@over_data_formats
@pytest.mark.parametrize("spatial", [(7,), (3, 4), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("pooling", ["avg", "max", "avg_max", "avg+max"])
@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("use_bias", "gate_activation"),
    [(False, "sigmoid"), (True, "hard_sigmoid")],
)
def test_formula(
    rng, data_format, spatial, pooling, groups, use_bias, gate_activation
):
    x = rng.normal(size=shape_of(3, spatial, 8, data_format)).astype("float32")
    layer = LinearSqueezeExcite(
        groups=groups,
        use_bias=use_bias,
        gate_activation=gate_activation,
        pooling=pooling,
        data_format=data_format,
    )
    layer.build(x.shape)
    randomize(layer)
    returned = layer(x, return_attention_scores=True)
    weights = layer.get_weights()
    logits = reference.excited(
        lambda z: reference.grouped_linear(z, weights, groups),
        x,
        data_format,
        pooling,
    )
    gates = getattr(reference, gate_activation)(logits)
    assert_gated(returned, x, gates, data_format)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"kernel": (64, 64)}),
        ({"groups": 16}, {"kernel": (4, 64)}),
        ({"groups": 64}, {"kernel": (1, 64)}),
        (
            {"groups": 2, "use_bias": True},
            {"kernel": (32, 64), "bias": (64,)},
        ),
    ],
    ids=["full", "groups", "diagonal", "bias"],
)
def test_weights_in_order(arguments, expected):
    layer = LinearSqueezeExcite(**arguments)
    layer.build((None, 7, 7, 64))
    actual = {w.name: tuple(w.shape) for w in layer.weights}
    assert list(actual.items()) == list(expected.items())


@pytest.mark.parametrize("groups", [1, 2, 4, 12])
def test_agrees_with_a_grouped_conv1d_of_keras(rng, groups):
    z = rng.normal(size=(3, 1, 12)).astype("float32")
    conv = keras.layers.Conv1D(
        12, 1, groups=groups, data_format="channels_last"
    )
    expected = ops.convert_to_numpy(conv(z))[:, 0]
    layer = LinearSqueezeExcite(
        groups, use_bias=True, gate_activation=None, data_format="channels_last"
    )
    layer.build(z.shape)
    kernel, bias = conv.get_weights()
    layer.set_weights([kernel[0], bias])
    _, scores = layer(z, return_attention_scores=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(scores), expected, rtol=1e-5, atol=1e-6
    )


def test_groups_do_not_see_each_other(rng):
    layer = LinearSqueezeExcite(groups=2)
    layer.build((None, None, 8))
    randomize(layer)
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    changed = x.copy()
    changed[..., :4] += 1
    scores, others = (
        ops.convert_to_numpy(layer(one, return_attention_scores=True)[1])
        for one in (x, changed)
    )
    np.testing.assert_array_equal(scores[:, 4:], others[:, 4:])
    assert not np.isclose(scores[:, :4], others[:, :4]).any()


def test_after_a_layer_with_a_hard_gate(rng):
    """As one graph, which OpenVINO rewrites, and step by step."""
    x = rng.normal(size=(2, 4, 5, 8)).astype("float32")
    first = LinearSqueezeExcite(gate_activation="hard_sigmoid")
    second = LinearSqueezeExcite(groups=2)
    for layer in (first, second):
        layer.build(x.shape)
        randomize(layer)
    between = ops.convert_to_numpy(first(x))
    np.testing.assert_allclose(
        ops.convert_to_numpy(second(first(x))),
        ops.convert_to_numpy(second(between)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_regularizers_and_constraints_reach_their_weights():
    layer = LinearSqueezeExcite(
        use_bias=True,
        kernel_regularizer="l2",
        bias_regularizer="l1",
        kernel_constraint="non_neg",
        bias_constraint="max_norm",
    )
    layer.build((None, 7, 64))
    regularizers = [type(w.regularizer).__name__ for w in layer.weights]
    constraints = [type(w.constraint).__name__ for w in layer.weights]
    assert regularizers == ["L2", "L1"]
    assert constraints == ["NonNeg", "MaxNorm"]


def test_initializers_reach_their_weights():
    layer = LinearSqueezeExcite(
        use_bias=True, kernel_initializer="ones", bias_initializer="ones"
    )
    layer.build((None, 7, 4))
    for weight in layer.get_weights():
        np.testing.assert_array_equal(weight, 1.0)


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("groups", 0, ValueError),
        ("groups", -1, ValueError),
        ("groups", 16.0, TypeError),
        ("groups", "channels", TypeError),
        ("groups", True, TypeError),
        ("groups", None, TypeError),
        ("use_bias", 1, TypeError),
        ("use_bias", None, TypeError),
        ("kernel_initializer", "glorot", ValueError),
        ("kernel_initializer", None, ValueError),
        ("bias_initializer", "none", ValueError),
        ("kernel_regularizer", "l3", ValueError),
        ("bias_regularizer", 0.1, ValueError),
        ("kernel_constraint", "positive", ValueError),
        ("bias_constraint", 1, ValueError),
    ],
)
def test_refuses_bad_arguments(argument, value, error):
    with pytest.raises(error, match=f"`{argument}`.*Received"):
        LinearSqueezeExcite(**{argument: value})


@pytest.mark.parametrize("groups", [5, 24])
def test_refuses_groups_that_do_not_divide_the_channels(groups):
    layer = LinearSqueezeExcite(groups)
    message = (
        rf"`groups` must divide.*groups={groups} for 12.*1, 2, 3, 4, 6, 12"
    )
    with pytest.raises(ValueError, match=message):
        layer.build((None, 7, 12))


def test_refuses_a_reduction():
    with pytest.raises(ValueError, match="reduction"):
        LinearSqueezeExcite(reduction=16)
