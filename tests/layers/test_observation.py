"""Scores that an observer is given while layers are called."""

import threading

import keras
import numpy as np
import pytest

from keras_channel_attn import SqueezeExcite
from keras_channel_attn.layers.observation import observe_scores


@pytest.fixture
def layer():
    layer = SqueezeExcite(reduction=2)
    layer.build((None, 4, 8))
    return layer


@pytest.mark.parametrize(
    ("args", "kwargs", "is_pair"),
    [
        ((), {}, False),
        ((np.ones((2, 4), bool),), {}, False),
        ((), {"return_attention_scores": True}, True),
        ((), {"return_attention_scores": False, "mask": None}, False),
    ],
)
def test_a_call_returns_what_it_returns_unobserved(
    layer, args, kwargs, is_pair
):
    seen = []
    x = np.ones((2, 4, 8), "float32")
    with observe_scores(lambda *pair: seen.append(pair)):
        results = layer(x, *args, **kwargs)
    assert isinstance(results, tuple) == is_pair
    expected = layer(x, return_attention_scores=True)
    ((observed, scores),) = seen
    assert observed is layer
    for actual, values in (
        (scores, expected[1]),
        (results[0] if is_pair else results, expected[0]),
    ):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(actual),
            keras.ops.convert_to_numpy(values),
        )


def test_the_observation_ends(layer):
    """After an error too, and what was before it holds again."""
    outer, inner = [], []
    x = np.ones((2, 4, 8), "float32")
    with observe_scores(lambda *pair: outer.append(pair)):
        with (
            pytest.raises(ValueError, match="was built for"),
            observe_scores(lambda *pair: inner.append(pair)),
        ):
            layer(x[..., :3])
        with observe_scores(None):
            layer(x)
        layer(x)
    layer(x)
    assert (len(outer), len(inner)) == (1, 0)


def test_other_threads_are_not_observed(layer):
    seen = []
    x = np.ones((2, 4, 8), "float32")
    with observe_scores(lambda *pair: seen.append(pair)):
        thread = threading.Thread(target=layer, args=(x,))
        thread.start()
        thread.join()
    assert not seen
