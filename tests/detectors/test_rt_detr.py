"""Attention in the RT-DETR of zeromodels, a functional model."""

import collections
import functools

import keras
import numpy as np
import pytest
from support.limits import known_limit
from zeromodels.models.rt_detr import RTDETRDetect

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    insert_attention,
    remove_attention,
)

# Keras cannot trace its layer of attention with an open batch size on JAX.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*it has unbuilt state:UserWarning"
)


@functools.cache
def network():
    return RTDETRDetect(
        backbone_hidden_sizes=(16, 16, 32, 32),
        backbone_block_repeats=(1, 2, 1, 1),
        backbone_embedding_size=16,
        backbone_layer_type="basic",
        encoder_in_channels=(16, 32, 32),
        encoder_hidden_dim=32,
        encoder_ffn_dim=32,
        encoder_num_heads=2,
        hidden_dim=32,
        decoder_num_layers=1,
        decoder_ffn_dim=32,
        decoder_num_heads=2,
        num_queries=10,
        num_classes=3,
        image_size=64,
    )


def outputs(model):
    rng = np.random.default_rng(0)
    values = model(rng.normal(size=(2, 64, 64, 3)).astype("float32"))
    return keras.tree.map_structure(keras.ops.convert_to_numpy, dict(values))


def assert_equal(values, expected):
    assert values.keys() == expected.keys() == {"logits", "pred_boxes"}
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], value)


def test_sites_have_convolutions():
    """Five blocks of the backbone, four of the neck; none in a transformer."""
    parts = [site.partition("_")[0] for site in attention_sites(network())]
    assert collections.Counter(parts) == {"backbone": 5, "fpn": 2, "pan": 2}


@pytest.mark.parametrize(
    "attention",
    [
        SqueezeExcite(identity_start=True),
        EfficientChannelAttention(identity_start=True),
    ],
)
def test_identity_start_and_removal(attention):
    copy = insert_attention(network(), attention)
    expected = outputs(network())
    assert_equal(outputs(copy), expected)
    assert_equal(outputs(remove_attention(copy)), expected)


def test_a_functional_model_of_zeromodels_has_no_file(tmp_path):
    """Without attention: the page sends its readers to `save_weights`."""
    model = keras.Model(network().input, network().output)
    model.save(tmp_path / "model.keras")
    then = "docs/detection.md need not send its readers to `save_weights`."
    with known_limit("was never built", then):
        keras.saving.load_model(tmp_path / "model.keras")


def test_file_of_weights(tmp_path):
    attention = SqueezeExcite(identity_start=True)
    path = tmp_path / "model.weights.h5"
    insert_attention(network(), attention).save_weights(path)
    other = insert_attention(network(), attention)
    for weight in other.weights:
        weight.assign(0 * weight.numpy())
    other.load_weights(path)
    assert_equal(outputs(other), outputs(network()))
