"""LinearSqueezeExcite: its formula and its groups."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.configurations import built, over_data_formats
from support.gating import assert_formula, over_one_and_two_descriptors

from keras_channel_attn import LinearSqueezeExcite


@over_data_formats
@over_one_and_two_descriptors
@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("use_bias", "gate_activation"),
    [(False, "sigmoid"), (True, "hard_sigmoid")],
)
def test_formula(data_format, pooling, groups, use_bias, gate_activation):
    layer = LinearSqueezeExcite(
        groups=groups,
        use_bias=use_bias,
        gate_activation=gate_activation,
        pooling=pooling,
        data_format=data_format,
    )
    assert_formula(
        layer,
        8,
        lambda z, weights: reference.grouped_linear(z, weights, groups),
    )


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


def test_as_many_groups_as_channels(rng):
    x = rng.normal(size=(2, 5, 12)).astype("float32")
    layers = [
        built(LinearSqueezeExcite, {"groups": groups}, channels=12)
        for groups in (-1, 12)
    ]
    outputs = [ops.convert_to_numpy(layer(x)) for layer in layers]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    # The argument stays as it was given: a copy fits any number of channels.
    assert layers[0].groups == layers[0].get_config()["groups"] == -1
    assert layers[0].kernel.shape == (1, 12)


def test_groups_do_not_see_each_other(rng):
    layer = built(LinearSqueezeExcite, {"groups": 2})
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    changed = x.copy()
    changed[..., :4] += 1
    scores, others = (
        ops.convert_to_numpy(layer(array, return_attention_scores=True)[1])
        for array in (x, changed)
    )
    np.testing.assert_array_equal(scores[:, 4:], others[:, 4:])
    assert not np.isclose(scores[:, :4], others[:, :4]).any()


# The other backends compute one layer after the other in both cases.
@pytest.mark.backend("openvino")
def test_after_a_layer_with_a_hard_gate(rng):
    """OpenVINO rewrites two layers as one graph: equal to step by step."""
    x = rng.normal(size=(2, 4, 5, 8)).astype("float32")
    first = built(LinearSqueezeExcite, {"gate_activation": "hard_sigmoid"})
    second = built(LinearSqueezeExcite, {"groups": 2})
    between = ops.convert_to_numpy(first(x))
    np.testing.assert_allclose(
        ops.convert_to_numpy(second(first(x))),
        ops.convert_to_numpy(second(between)),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("groups", [5, 24])
def test_refuses_groups_that_do_not_divide_the_channels(groups):
    layer = LinearSqueezeExcite(groups)
    message = (
        rf"`groups` must divide.*groups={groups} for 12.*1, 2, 3, 4, 6, 12"
    )
    with pytest.raises(ValueError, match=message):
        layer.build((None, 7, 12))
