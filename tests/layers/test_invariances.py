"""What must hold for any input: searched by hypothesis."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from support.configurations import (
    CONFIGURATIONS,
    OF_ANY_RANK,
    OF_CHANNELS,
    built,
    over_those_with_weights,
)

CHANNELS = 8
# Each property is searched for each configuration. A new shape is compiled on
# some backends: few shapes, many values. OpenVINO compiles at every call.
EXAMPLES = settings(
    max_examples=3 if keras.config.backend() == "openvino" else 10,
    deadline=None,
    derandomize=True,
)

# XLA and TensorFlow flush numbers below 1e-38 to zero.
VALUES = st.floats(-10, 10, width=32, allow_subnormal=False)
SPATIAL = st.sampled_from([(6,), (2, 3), (1, 3, 2)])


@st.composite
def inputs(draw, spatial=SPATIAL, batch=2):
    shape = (batch, *draw(spatial), CHANNELS)
    return draw(arrays(np.float32, shape, elements=VALUES))


@functools.cache
def layer_of(name, rank, data_format="channels_last"):
    return built(*CONFIGURATIONS[name], CHANNELS, rank, data_format=data_format)


def run(layer, x, mask=None):
    y, scores = layer(x, mask=mask, return_attention_scores=True)
    return ops.convert_to_numpy(y), ops.convert_to_numpy(scores)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


over_names = pytest.mark.parametrize("name", CONFIGURATIONS)


@over_names
@EXAMPLES
@given(x=inputs())
def test_data_formats_agree(name, x):
    rank = x.ndim - 2
    last, first = layer_of(name, rank), layer_of(name, rank, "channels_first")
    y, scores = run(last, x)
    y_first, scores_first = run(first, np.moveaxis(x, -1, 1))
    close(np.moveaxis(y_first, 1, -1), y)
    close(scores_first, scores)


@pytest.mark.parametrize("name", OF_ANY_RANK)
@EXAMPLES
@given(x=inputs(), seed=st.integers(0, 99))
def test_gates_do_not_depend_on_the_order_of_positions(name, x, seed):
    positions = x.reshape(len(x), -1, CHANNELS)
    shuffled = np.random.default_rng(seed).permutation(positions, axis=1)
    layer = layer_of(name, rank=1)
    close(run(layer, shuffled)[1], run(layer, positions)[1])


@over_names
@EXAMPLES
@given(x=inputs(st.just((6,)), batch=1), kept=st.integers(1, 6))
def test_padding_and_mask_equal_trimming(name, x, kept):
    layer = layer_of(name, x.ndim - 2)
    y, scores = run(layer, x, np.arange(6)[None] < kept)
    trimmed, trimmed_scores = run(layer, x[:, :kept])
    close(y[:, :kept], trimmed)
    close(scores, trimmed_scores)


@over_names
@EXAMPLES
@given(x=inputs(), other=inputs(st.just((6,)), batch=1))
def test_samples_do_not_influence_each_other(name, x, other):
    layer = layer_of(name, x.ndim - 2)
    replaced = x.copy()
    replaced[1] = other.reshape(x.shape[1:])
    y, scores = run(layer, x)
    y_replaced, scores_replaced = run(layer, replaced)
    close(y_replaced[0], y[0])
    close(scores_replaced[0], scores[0])


@pytest.mark.parametrize("name", OF_ANY_RANK)
@EXAMPLES
@given(x=inputs(), axis=st.sampled_from([1, 2]))
def test_an_axis_of_length_one_changes_nothing(name, x, axis):
    layer = layer_of(name, x.ndim - 2)
    axis = min(axis, x.ndim - 1)
    y, scores = run(layer, x)
    y_more, scores_more = run(layer, np.expand_dims(x, axis))
    close(np.squeeze(y_more, axis), y)
    close(scores_more, scores)


@pytest.mark.parametrize("name", OF_CHANNELS)
@EXAMPLES
@given(x=inputs())
def test_the_output_is_the_input_times_its_scores(name, x):
    y, scores = run(layer_of(name, x.ndim - 2), x)
    close(y, x * scores.reshape(len(x), *[1] * (x.ndim - 2), CHANNELS))


@over_those_with_weights
@EXAMPLES
@given(x=inputs())
def test_identity_start_returns_any_input_exactly(layer_class, arguments, x):
    layer = layer_class(**{**arguments, "identity_start": True})
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)


@pytest.mark.parametrize("reduction", [1, 2, 16, 1000])
@EXAMPLES
@given(channels=st.integers(1, 4096), divisor=st.integers(1, 64))
def test_the_bottleneck_is_a_multiple_of_its_divisor(
    reduction, channels, divisor
):
    from keras_channel_attn.ops import bottleneck_width

    width = bottleneck_width(channels, reduction, divisor)
    assert width >= divisor
    assert width % divisor == 0
    if divisor > 1 and channels / reduction >= divisor:
        assert abs(width - channels / reduction) <= divisor / 2
