"""Attention in the networks that Keras ships, one of each family.

All weights and all statistics of batch normalizations are random: two weights
of one shape that change places change the outputs.
"""

import functools

import keras
import pytest
from conftest import BACKEND
from support.networks import (
    attention_of,
    distance,
    layers_of,
    predictions,
    randomize,
)

from keras_channel_attn import (
    SqueezeExcite,
    attention_sites,
    insert_attention,
    remove_attention,
)

pytestmark = [
    pytest.mark.backend("tensorflow", "torch", "jax"),
    pytest.mark.slow,
    pytest.mark.usefixtures("zero_weights"),
]


def of_class(name):
    def where(layer):
        return type(layer).__name__ == name

    return where


# Smallest size of the input, places, number of them. Residual branches are
# counted in the papers' tables: ResNet-50 has 3 + 4 + 6 + 3 blocks.
FAMILIES = {
    "ResNet50": (32, "residual", 16),
    "ResNet50V2": (32, "residual", 16),
    "MobileNetV2": (32, "residual", 10),
    "MobileNetV3Small": (32, "residual", 6),
    "EfficientNetB0": (32, "residual", 9),
    "EfficientNetV2B0": (32, "residual", 15),
    "Xception": (71, "residual", 12),
    "InceptionResNetV2": (75, "residual", 40),
    "ConvNeXtTiny": (32, "residual", 18),
    "MobileNet": (32, of_class("DepthwiseConv2D"), 13),
    "DenseNet121": (32, of_class("AveragePooling2D"), 3),
    "InceptionV3": (75, of_class("Concatenate"), 15),
    "VGG16": (32, of_class("MaxPooling2D"), 5),
    "NASNetMobile": (32, of_class("Concatenate"), 20),
}


@functools.cache
def built(name):
    size = FAMILIES[name][0]
    build = getattr(keras.applications, name)
    model = build(weights=None, include_top=False, input_shape=(size, size, 3))
    return randomize(model)


@functools.cache
def expected(name):
    return predictions(built(name))


def parameter(name, *marks):
    if name == "NASNetMobile":
        reason = "Keras refuses NASNet on torch"
        marks += (pytest.mark.skipif(BACKEND == "torch", reason=reason),)
    return pytest.param(name, marks=marks)


over_families = pytest.mark.parametrize(
    "name", [parameter(name) for name in FAMILIES]
)

# JAX compiles each operation for each shape: it computes what is fast then.
FAST_ON_JAX = ("ResNet50", "MobileNetV3Small", "MobileNet")
over_computed_families = pytest.mark.parametrize(
    "name",
    [
        parameter(name)
        if name in FAST_ON_JAX
        else parameter(name, pytest.mark.backend("tensorflow", "torch"))
        for name in FAMILIES
    ],
)


@over_families
def test_sites(name):
    _, where, count = FAMILIES[name]
    model = built(name)
    sites = attention_sites(model, where)
    assert len(set(sites)) == len(sites) == count
    assert set(sites) <= set(layers_of(model))


@over_computed_families
def test_identity_start_changes_no_output(name):
    _, where, count = FAMILIES[name]
    attention = SqueezeExcite(identity_start=True)
    copy = insert_attention(built(name), attention, where)
    assert len(attention_of(copy)) == count
    assert distance(expected(name), predictions(copy)) < 1e-5


@pytest.mark.parametrize("name", ["ResNet50", "MobileNet"])
def test_other_attention_changes_the_outputs(name):
    _, where, _ = FAMILIES[name]
    copy = insert_attention(built(name), SqueezeExcite(), where)
    assert distance(expected(name), predictions(copy)) > 1e-3


def test_a_swapped_pair_changes_the_outputs():
    """Weights that were swapped by mistake would change the outputs."""
    model = built("ResNet50")
    copy = insert_attention(model, SqueezeExcite(identity_start=True))
    pair = [copy.get_layer(f"conv2_block1_{number}_conv") for number in (0, 3)]
    weights = [layer.get_weights() for layer in pair]
    for layer, other in zip(pair, reversed(weights), strict=True):
        layer.set_weights(other)
    assert distance(expected("ResNet50"), predictions(copy)) > 1e-3


def test_removal_undoes_insertion():
    model = built("ResNet50")
    removed = remove_attention(insert_attention(model, SqueezeExcite()))
    assert list(layers_of(removed)) == list(layers_of(model))
    assert distance(expected("ResNet50"), predictions(removed)) < 1e-5
