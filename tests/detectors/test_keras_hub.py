"""The recipe for detectors of keras-hub, as docs/detection.md shows it."""

import keras
import keras_hub
import numpy as np
import pytest
from support import detection_page
from support.keras_hub_networks import d_fine_backbone, hgnet

from keras_channel_attn import (
    ChannelAttention,
    SqueezeExcite,
    insert_attention,
)


def retinanet():
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(64, 64, 3),
    )
    backbone = keras_hub.models.RetinaNetBackbone(
        encoder, min_level=3, max_level=5, use_p5=False, image_shape=(64, 64, 3)
    )
    return keras_hub.models.RetinaNetObjectDetector(
        backbone, num_classes=4, bounding_box_format="xyxy", preprocessor=None
    )


def d_fine():
    backbone = d_fine_backbone(hgnet())
    return keras_hub.models.DFineObjectDetector(
        backbone, num_classes=4, bounding_box_format="xyxy", preprocessor=None
    )


DETECTORS = {"retinanet": retinanet, "d_fine": d_fine}
# What the block of the page about each detector begins with.
FIRST_WORDS = {
    "retinanet": "@keras.saving",
    "d_fine": "encoder = d_fine",
}


def with_attention(name):
    """A detector, and the one that the page makes of it."""
    detector = DETECTORS[name]()
    namespace = {
        "keras": keras,
        "attention": SqueezeExcite(identity_start=True),
        "insert_attention": insert_attention,
        name: detector,
    }
    for first_words in ("def with_encoder", FIRST_WORDS[name]):
        exec(detection_page.code(first_words), namespace)
    return detector, namespace[f"attended_{name}"]


def images():
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, 64, 64, 3)).astype("float32")


def assert_same_outputs(detector, other):
    values, expected = (
        {
            name: keras.ops.convert_to_numpy(value)
            for name, value in model(images(), training=False).items()
        }
        for model in (detector, other)
    )
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], value)


def inserted(detector):
    return [
        layer
        for layer in detector._flatten_layers()
        if isinstance(layer, ChannelAttention)
    ]


@pytest.mark.parametrize("name", DETECTORS)
def test_the_error_names_the_recipe(name):
    with pytest.raises(
        ValueError,
        match=r"of its own.*image encoder, and build a new \w+Detector around "
        r"the result\. docs/detection\.md shows how.*`pyramid_outputs`",
    ):
        insert_attention(DETECTORS[name](), SqueezeExcite())


@pytest.mark.parametrize(("name", "sites"), [("retinanet", 4), ("d_fine", 2)])
def test_identity_start_and_file(name, sites, tmp_path):
    detector, attended = with_attention(name)
    assert type(attended) is type(detector)
    assert len(inserted(attended)) == sites
    assert_same_outputs(attended, detector)
    attended.save(tmp_path / "detector.keras")
    # Compiled in a way of its own, which Keras cannot repeat.
    loaded = keras.saving.load_model(tmp_path / "detector.keras", compile=False)
    assert type(loaded) is type(detector)
    assert len(inserted(loaded)) == sites
    assert_same_outputs(loaded, detector)


def test_training_step():
    """With the loss of the class; keras-hub trains in `fit` only."""
    _, attended = with_attention("retinanet")
    before = [layer.get_weights() for layer in inserted(attended)]
    attended.compile(optimizer=keras.optimizers.SGD(0.01))
    targets = {
        "boxes": np.array([[[8, 8, 40, 40]]], "float32"),
        "labels": np.array([[1]], "int32"),
    }
    history = attended.fit(
        images(), targets, batch_size=1, shuffle=False, verbose=0
    )
    assert np.isfinite(history.history["loss"]).all()
    for layer, weights in zip(inserted(attended), before, strict=True):
        assert any(
            (new != old).any()
            for new, old in zip(layer.get_weights(), weights, strict=True)
        )
