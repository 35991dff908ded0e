"""What makes a channel important: weights, normalizations, attention."""

import keras
import numpy as np
import pytest
from conftest import BACKEND
from keras import layers, ops
from support.pruning import conv, macs_share, small

from keras_channel_attn import (
    SqueezeExcite,
    attention_scores,
    insert_attention,
    remove_attention,
)
from keras_channel_attn.pruning import (
    attention_importance,
    batch_norm_scale,
    channel_groups,
    magnitude,
    prune_channels,
)


def test_magnitude_is_the_sum_of_absolute_weights():
    model = small()
    kernel = model.get_layer("a").get_weights()[0]
    np.testing.assert_allclose(
        magnitude(channel_groups(model)["a"]),
        np.abs(kernel).sum(axis=(0, 1, 2)),
        rtol=1e-6,
    )


def test_all_producers_count_alike_in_magnitude():
    x = keras.Input((8, 8, 3))
    first = conv(5, "first")
    second = layers.Conv2DTranspose(5, 9, padding="same")
    y = layers.Add()([first(x), second(x)])
    group = channel_groups(keras.Model(x, conv(2, "last")(y)))["first"]
    sums = [
        np.abs(first.get_weights()[0]).sum(axis=(0, 1, 2)),
        np.abs(second.get_weights()[0]).sum(axis=(0, 1, 3)),
    ]
    shares = np.mean([values / values.mean() for values in sums], axis=0)
    np.testing.assert_allclose(
        magnitude(group), np.mean(sums) * shares, rtol=1e-6
    )


def test_magnitude_does_not_depend_on_how_many_layers_produce_a_channel():
    """As in the C2f block of YOLOv8: half of a split is added to others."""
    x = keras.Input((8, 8, 3))
    first, second = ops.split(conv(8, "both")(x), 2, axis=-1)
    y = layers.Add()([second, conv(4, "c")(second)])
    y = layers.Concatenate()([first, second, y])
    model = keras.Model(x, conv(2, "last")(y))
    for name in ("both", "c"):
        kernel = model.get_layer(name).kernel
        kernel.assign(np.ones(kernel.shape))
    values = magnitude(channel_groups(model)["both"])
    np.testing.assert_allclose(values, values[0])


def test_producer_of_zeros_does_not_count_in_magnitude():
    x = keras.Input((8, 8, 3))
    first, second = ops.split(conv(8, "both")(x), 2, axis=-1)
    zeros = conv(4, "c", kernel_initializer="zeros")(second)
    y = layers.Concatenate()([first, layers.Add()([second, zeros])])
    model = keras.Model(x, conv(2, "last")(y))
    kernel = model.get_layer("both").get_weights()[0]
    np.testing.assert_allclose(
        magnitude(channel_groups(model)["both"]),
        np.abs(kernel).sum(axis=(0, 1, 2)),
        rtol=1e-6,
    )


def test_magnitude_of_zeros():
    model = small()
    kernel = model.get_layer("a").kernel
    kernel.assign(np.zeros(kernel.shape))
    np.testing.assert_array_equal(magnitude(channel_groups(model)["a"]), 0)


def test_batch_norm_scale_is_the_absolute_gamma():
    model = small()
    gamma = np.linspace(-1, 1, 12, dtype="float32")
    model.get_layer("norm").gamma.assign(gamma)
    groups = channel_groups(model)
    np.testing.assert_allclose(batch_norm_scale(groups["a"]), np.abs(gamma))
    assert batch_norm_scale(groups["b"]) is None


def test_batch_norm_scale_of_channels_partly_without():
    x = keras.Input((8, 8, 3))
    first, second = ops.split(conv(8, "a")(x), 2, axis=-1)
    y = layers.Concatenate()([layers.BatchNormalization()(first), second])
    model = keras.Model(x, conv(2, "last")(y))
    assert batch_norm_scale(channel_groups(model)["a"]) is None


@pytest.mark.skipif(BACKEND == "openvino", reason="has no attention scores")
def test_attention_importance_is_the_mean_score():
    model = small()
    x = np.random.default_rng(1).normal(size=(5, 8, 8, 3)).astype("float32")
    importance = attention_importance(model, x, verbose=0)
    assert list(importance) == ["a"]
    scores = attention_scores(model, x, verbose=0)["se"]
    np.testing.assert_allclose(importance["a"], scores.mean(axis=0), rtol=1e-6)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.attention = SqueezeExcite(2)

    def call(self, x):
        return self.attention(x)


def test_a_model_without_a_graph_is_refused_before_data_are_read():
    def batches():
        raise AssertionError("It must not be read.")
        yield

    model = Subclassed()
    model(np.ones((1, 4, 4, 8), "float32"))
    with pytest.raises(ValueError, match="does not know its graph"):
        attention_importance(model, batches())


@pytest.mark.skipif(BACKEND == "openvino", reason="has no attention scores")
def test_importance_of_a_probe_fits_the_network_without_it():
    model = remove_attention(small())
    probe = insert_attention(
        model, SqueezeExcite(4, identity_start=True), ["a", "b"]
    )
    x = np.ones((2, 8, 8, 3), "float32")
    importance = attention_importance(probe, x, verbose=0)
    # Untrained, the identity start has gates of one.
    np.testing.assert_array_equal(importance["b"], np.ones(20))
    assert macs_share(prune_channels(model, importance), model) <= 0.5


@pytest.mark.parametrize("function", [magnitude, batch_norm_scale])
def test_importance_of_something_else(function):
    with pytest.raises(TypeError, match="`group` must be a `ChannelGroup`"):
        function("a")
