"""Attention in the YOLOs of kyolo, which are functional models."""

import functools
import re

import keras
import numpy as np
import pytest
from kyolo import models
from kyolo.training import YOLODetector

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    insert_attention,
    remove_attention,
)

SE = SqueezeExcite(identity_start=True)
ECA = EfficientChannelAttention(identity_start=True)

# Additions of bottlenecks, counted in the layers of kyolo 0.1.5. Two numbers
# where blocks with attention add feed-forward branches of 1x1 convolutions.
SITES = {
    "yolov5n": (7, 0),
    "yolov8n": (6, 0),
    "yolov9t": (42, 0),
    "yolov9c": (16, 0),
    "yolov10n": (7, 1),
    "yolo11n": (11, 1),
    "yolo12n": (10, 8),
}


# Building one of them takes seconds, and no test changes it.
@functools.cache
def network(name):
    return getattr(models, name)(nc=3, input_shape=(64, 64, 3))


def images(seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(2, 64, 64, 3)).astype("float32")


@functools.cache
def outputs_of(name):
    return outputs(network(name))


def outputs(model):
    values = model(images(), training=False)
    return [keras.ops.convert_to_numpy(value) for value in values]


def assert_equal(outputs, expected):
    assert len(outputs) == len(expected) == 3
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(output, value)


@pytest.mark.parametrize("name", SITES)
def test_sites(name):
    """Additions of branches with convolutions, and none around attention."""
    sites = attention_sites(network(name))
    feed_forward = [x for x in sites if re.search("-ffn-|-mlp-", x)]
    assert (len(sites) - len(feed_forward), len(feed_forward)) == SITES[name]
    assert not [site for site in sites if "-attn-" in site]


@pytest.mark.parametrize(
    ("name", "attention"),
    [
        ("yolov9t", SE),
        ("yolov9t", ECA),
        ("yolov9c", ECA),
        ("yolov8n", SE),
        ("yolov8n", ECA),
        ("yolo11n", SE),
    ],
)
def test_identity_start(name, attention):
    copy = insert_attention(network(name), attention)
    inserted = [x for x in copy.layers if isinstance(x, ChannelAttention)]
    assert len(inserted) == sum(SITES[name])
    assert_equal(outputs(copy), outputs_of(name))


@pytest.mark.parametrize("name", ["yolov8n", "yolov9t"])
def test_removal(name):
    copy = remove_attention(insert_attention(network(name), SE))
    assert copy.count_params() == network(name).count_params()
    assert_equal(outputs(copy), outputs_of(name))
    assert YOLODetector(copy).nc == 3


@pytest.mark.parametrize("name", ["yolov9t", "yolov9c", "yolov8n", "yolo11n"])
def test_a_detector_around_a_copy(name):
    """kyolo reads these attributes of a model; its default is 80 classes."""
    copy = insert_attention(network(name), ECA)
    detector, original = YOLODetector(copy), YOLODetector(network(name))
    assert (detector.nc, detector.strides) == (3, (8, 16, 32))
    assert detector.reg_max == original.reg_max
    for attribute in ("data_format", "end_to_end", "head_prefix"):
        assert getattr(copy, attribute) == getattr(network(name), attribute)


# kyolo's own: a layer of the detector is built at its first call.
@pytest.mark.filterwarnings("ignore:.*it has unbuilt state:UserWarning")
def test_training_step_and_file(tmp_path):
    detector = YOLODetector(insert_attention(network("yolov8n"), ECA))
    inserted = [
        x for x in detector.body.layers if isinstance(x, ChannelAttention)
    ]
    # Not SE: a bottleneck of one unit may have no gradient behind its ReLU.
    before = [x.get_weights() for x in inserted]
    detector.compile(keras.optimizers.SGD(0.01))
    targets = {
        "boxes": np.array([[[8, 8, 40, 40]], [[0, 16, 32, 64]]], "float32"),
        "labels": np.array([[1], [2]], "int32"),
        "mask": np.ones((2, 1), "float32"),
    }
    losses = detector.train_on_batch({"images": images()}, targets)
    assert np.isfinite(losses).all()
    for layer, weights in zip(inserted, before, strict=True):
        assert any(
            (new != old).any()
            for new, old in zip(layer.get_weights(), weights, strict=True)
        )
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    assert loaded.nc == 3
    assert_equal(outputs(loaded.body), outputs(detector.body))


def test_weights_from_a_file(tmp_path):
    """They are loaded by kyolo, and then attention is inserted."""
    path = str(tmp_path / "yolov8n.weights.h5")
    network("yolov8n").save_weights(path)
    loaded = models.yolov8n(nc=3, input_shape=(64, 64, 3), weights=path)
    assert_equal(outputs(insert_attention(loaded, SE)), outputs_of("yolov8n"))
