"""Masked positions are excluded from the squeeze, whatever they hold."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.configurations import (
    Plain,
    built,
    over_configurations,
    over_data_formats,
    shape_of,
)

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

POOLINGS = ["avg", "max", "avg_max_mean", "avg_max_separate"]


def scores_of(layer, x, mask=None):
    _, scores = layer(x, mask=mask, return_attention_scores=True)
    return ops.convert_to_numpy(scores)


@over_data_formats
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    "filling", [0.0, 1e30, -1e30, np.inf, -np.inf, np.nan], ids=str
)
def test_what_masked_positions_hold_does_not_matter(
    rng, data_format, pooling, filling
):
    x = rng.normal(size=shape_of(3, (4, 5), 8, data_format)).astype("float32")
    mask = rng.random((3, 4, 5)) < 0.5
    axis = -1 if data_format == "channels_last" else 1
    filled = np.where(np.expand_dims(mask, axis), x, np.float32(filling))
    layer = EfficientChannelAttention(pooling=pooling, data_format=data_format)
    expected = scores_of(layer, x, mask)
    np.testing.assert_array_equal(scores_of(layer, filled, mask), expected)
    (kernel,) = layer.get_weights()
    logits = reference.excited(
        lambda z: reference.channel_convolution(z, kernel),
        x,
        data_format,
        pooling,
        mask,
    )
    gates = reference.sigmoid(logits)
    np.testing.assert_allclose(expected, gates, rtol=1e-5, atol=1e-6)


@over_configurations
def test_a_sample_does_not_depend_on_the_others(rng, layer_class, arguments):
    layer = built(layer_class, arguments, rank=1)
    x = rng.normal(size=(3, 6, 8)).astype("float32")
    mask = np.arange(6)[None] < np.array([[2], [6], [4]])
    together = scores_of(layer, x, mask)
    for index in range(3):
        alone = slice(index, index + 1)
        np.testing.assert_allclose(
            scores_of(layer, x[alone], mask[alone]), together[alone], rtol=1e-5
        )


@over_configurations
def test_all_masked_is_finite(rng, layer_class, arguments):
    layer = layer_class(**arguments)
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    mask = np.zeros((2, 3, 4), bool)
    y, scores = layer(x, mask=mask, return_attention_scores=True)
    assert np.isfinite(ops.convert_to_numpy(y)).all()
    assert np.isfinite(ops.convert_to_numpy(scores)).all()


@over_configurations
def test_a_full_mask_is_no_mask(rng, layer_class, arguments):
    layer = layer_class(**arguments)
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    np.testing.assert_allclose(
        scores_of(layer, x, np.ones((2, 3, 4), bool)),
        scores_of(layer, x),
        rtol=1e-5,
    )


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8", "float32"])
def test_any_dtype_of_mask(rng, dtype):
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    mask = rng.random((2, 6)) < 0.5
    layer = SqueezeExcite(reduction=4)
    np.testing.assert_array_equal(
        scores_of(layer, x, mask.astype(dtype)), scores_of(layer, x, mask)
    )


@over_configurations
def test_keras_own_mask_is_used_and_passed_on(rng, layer_class, arguments):
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    x[0, 4:] = 0
    inputs = keras.Input((None, 8))
    masked = keras.layers.Masking()(inputs)
    layer = layer_class(**arguments)
    outputs, scores = layer(masked, return_attention_scores=True)
    pooled = keras.layers.GlobalAveragePooling1D()(outputs)
    model = keras.Model(inputs, [outputs, scores, pooled])
    y, scores, pooled = (ops.convert_to_numpy(out) for out in model(x))
    alone, gates = layer(x[:1, :4], return_attention_scores=True)
    np.testing.assert_allclose(
        scores[:1], ops.convert_to_numpy(gates), rtol=1e-5
    )
    np.testing.assert_allclose(
        y[:1, :4], ops.convert_to_numpy(alone), rtol=1e-5, atol=1e-6
    )
    # The average downstream saw the mask: it is that of four positions.
    np.testing.assert_allclose(
        pooled[0], y[0, :4].mean(axis=0), rtol=1e-5, atol=1e-6
    )


def test_inside_time_distributed(rng):
    x = rng.normal(size=(2, 3, 4, 5, 8)).astype("float32")
    layer = SqueezeExcite(reduction=4, data_format="channels_last")
    y = keras.layers.TimeDistributed(layer)(x)
    frames = ops.convert_to_numpy(layer(x.reshape(6, 4, 5, 8)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(y).reshape(6, 4, 5, 8), frames, rtol=1e-5
    )


def test_refuses_a_mask_that_is_a_list():
    with pytest.raises((TypeError, ValueError), match="`mask`"):
        Plain()(np.ones((1, 2, 8), "float32"), mask=[[True, False]])


@over_data_formats
@pytest.mark.parametrize(
    "mask_shape", [(2,), (2, 3), (2, 4, 3), (2, 3, 4, 1), (1, 3, 4), (2, 3, 5)]
)
def test_refuses_a_mask_of_another_shape(mask_shape, data_format):
    x = np.ones(shape_of(2, (3, 4), 8, data_format), "float32")
    with pytest.raises(ValueError, match=r"`mask` must have the shape"):
        Plain(data_format=data_format)(x, mask=np.ones(mask_shape, bool))


def test_refuses_a_symbolic_mask_of_another_shape():
    with pytest.raises(ValueError, match=r"`mask` must have the shape"):
        Plain()(keras.Input((3, 4, 8)), mask=keras.Input((4, 3), dtype="bool"))
