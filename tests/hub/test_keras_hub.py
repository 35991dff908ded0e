"""Attention in the backbones of keras-hub, which are functional models.

Run by a tox environment of its own: keras-hub brings TensorFlow with it.
"""

import keras
import keras_hub
import numpy as np
import pytest
from support.keras_hub_networks import d_fine_backbone, hgnet

from keras_channel_attn import (
    EfficientChannelAttention,
    attention_sites,
    insert_attention,
    remove_attention,
)


def resnet(**arguments):
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[2, 2],
        stackwise_num_strides=[1, 2],
        image_shape=(64, 64, 3),
        **arguments,
    )


def mobilenet():
    return keras_hub.models.MobileNetBackbone(
        stackwise_expansion=[[40, 56], [64, 144, 144]],
        stackwise_num_blocks=[2, 3],
        stackwise_num_filters=[[16, 16], [24, 24, 24]],
        stackwise_kernel_size=[[3, 3], [5, 5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25, 0.25]],
        stackwise_activation=[["relu"] * 2, ["hard_swish"] * 3],
        stackwise_padding=[[1, 1], [2, 2, 2]],
        output_num_filters=64,
        input_num_filters=16,
        image_shape=(64, 64, 3),
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=64,
        squeeze_and_excite=0.5,
    )


def efficientnet():
    return keras_hub.models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 3,
        stackwise_depth_coefficients=[1.0] * 3,
        stackwise_kernel_sizes=[3] * 3,
        stackwise_num_repeats=[2, 2, 2],
        stackwise_input_filters=[16, 24, 32],
        stackwise_output_filters=[24, 32, 40],
        stackwise_expansion_ratios=[1, 4, 4],
        stackwise_squeeze_and_excite_ratios=[0, 0.25, 0.25],
        stackwise_strides=[1, 2, 2],
        stackwise_block_types=["fused", "unfused", "cba"],
        stackwise_force_input_filters=[0] * 3,
        stackwise_nores_option=[False] * 3,
        input_shape=(64, 64, 3),
    )


def a_block(layer):
    return type(layer).__name__.endswith("Block")


# Its MobileNet and EfficientNet hide each block, addition and all, in a layer.
BACKBONES = {
    "ResNet, bottleneck": (
        lambda: resnet(block_type="bottleneck_block"),
        "residual",
        4,
    ),
    "ResNet, pre-activation": (
        lambda: resnet(block_type="basic_block", use_pre_activation=True),
        "residual",
        4,
    ),
    "MobileNet": (mobilenet, a_block, 7),
    "EfficientNet": (efficientnet, a_block, 6),
}


def randomized(model):
    """Other numbers in each weight, so that a swapped pair shows."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        values = rng.normal(0, 0.1, weight.shape)
        if "variance" in weight.path or "gamma" in weight.path:
            values = 1 + np.abs(values)
        weight.assign(values)
    return model


@pytest.mark.parametrize(
    ("build", "where", "sites"), BACKBONES.values(), ids=BACKBONES.keys()
)
def test_identity_start_in_a_backbone(build, where, sites):
    model = randomized(build())
    assert len(attention_sites(model, where)) == sites
    copy = insert_attention(
        model, EfficientChannelAttention(identity_start=True), where
    )
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3))
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(
        copy.predict(images, verbose=0), expected, rtol=1e-5, atol=1e-4
    )
    np.testing.assert_allclose(
        remove_attention(copy).predict(images, verbose=0),
        expected,
        rtol=1e-5,
        atol=1e-4,
    )


@pytest.mark.parametrize("build", [mobilenet, efficientnet])
def test_blocks_in_a_layer_have_no_residual_sites(build):
    with pytest.raises(ValueError, match="inside a layer"):
        attention_sites(build())


def test_a_classifier_is_refused_and_its_backbone_is_not():
    """Its class compiles and preprocesses in ways of its own."""
    model = keras_hub.models.ResNetImageClassifier(
        backbone=resnet(block_type="bottleneck_block"),
        num_classes=3,
        preprocessor=None,
    )
    attention = EfficientChannelAttention(identity_start=True)
    with pytest.raises(
        ValueError, match=r"ResNetImageClassifier\).*`compile`.*backbone"
    ):
        insert_attention(model, attention)
    insert_attention(model.backbone, attention)


def test_attributes_of_a_backbone(tmp_path):
    """What detectors and segmenters look up."""
    model = randomized(resnet(block_type="bottleneck_block"))
    copy = insert_attention(
        model, EfficientChannelAttention(identity_start=True)
    )
    assert copy.pyramid_outputs.keys() == model.pyramid_outputs.keys()
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3))
    ends, expected = (
        # Keras tracks the dictionary; JAX returns no such one from a function.
        keras.Model(one.input, dict(one.pyramid_outputs)).predict(
            images, verbose=0
        )
        for one in (copy, model)
    )
    for name, values in expected.items():
        np.testing.assert_allclose(ends[name], values, rtol=1e-5, atol=1e-4)
    copy.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0),
        model.predict(images, verbose=0),
        rtol=1e-5,
        atol=1e-4,
    )


def test_d_fine_is_refused_by_the_name_of_what_cannot_be_made_again():
    model = d_fine_backbone(hgnet())
    with pytest.raises(ValueError, match=r"'\w+' \(of type \w+\) cannot be"):
        insert_attention(
            model,
            EfficientChannelAttention(identity_start=True),
            lambda layer: isinstance(layer, keras.layers.Conv2D),
        )
