"""A feature map and the output of a changed network belong to one graph.

Grad-CAM needs both.
"""

import keras
import numpy as np
import pytest
from keras import layers
from support.autodiff import outputs_and_gradients
from support.copies import LAST, array, conv, copy_of, image, numpy

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    expand_attention,
    insert_attention,
    remove_attention,
    replace_attention,
)
from keras_channel_attn.pruning import remove_channels


def stages():
    return [
        conv("early", activation="relu"),
        SqueezeExcite(2, name="se", **LAST),
        conv("late", activation="relu"),
        conv("last", 4),
    ]


def sequential():
    return keras.Sequential([image(), *stages()])


def functional():
    x = y = image()
    for layer in stages():
        y = layer(y)
    return keras.Model(x, y)


def nested(build):
    x = image()
    inner = build()
    inner.name = "inner"
    y = layers.GlobalAveragePooling2D(**LAST)(inner(x))
    return keras.Model(x, layers.Dense(3)(y))


def in_sequential(build):
    inner = build()
    inner.name = "inner"
    return keras.Sequential([image(), inner, conv("head", 3)])


NETWORKS = {
    "sequential": sequential,
    "functional": functional,
    "sequential in functional": lambda: nested(sequential),
    "functional in functional": lambda: nested(functional),
    "sequential in sequential": lambda: in_sequential(sequential),
    "functional in sequential": lambda: in_sequential(functional),
}


def prefix_of(model):
    return "inner/" if "inner" in [x.name for x in model.layers] else ""


def inserted(model):
    attention = SqueezeExcite(2, identity_start=True, **LAST)
    return insert_attention(model, attention, [prefix_of(model) + "late"])


SURGERIES = {
    "copy": copy_of,
    "insertion": inserted,
    "removal": remove_attention,
    "insertion and removal": lambda model: remove_attention(inserted(model)),
    "replacement": lambda model: replace_attention(
        model, EfficientChannelAttention(**LAST)
    ),
    "expansion": expand_attention,
    "fewer channels": lambda model: remove_channels(
        model, {prefix_of(model) + "late": [1, 2]}
    ),
}


@pytest.mark.training
@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("surgery", SURGERIES.values(), ids=SURGERIES)
def test_the_gradient_of_an_output_by_a_feature_map(build, surgery):
    copy = surgery(build())
    whole = copy.get_layer("inner") if prefix_of(copy) else copy
    late = whole.get_layer("late").output
    both = keras.Model(whole.inputs[0], [late, whole.outputs[0]])
    maps, outputs = map(numpy, both(array()))
    np.testing.assert_allclose(outputs, numpy(whole(array())), rtol=1e-5)
    rest = keras.Model(late, whole.outputs[0])
    last = whole.get_layer("last")
    upstream = np.ones((2, 6, 6, 4), "float32")
    y, gradient, _ = outputs_and_gradients(rest, maps, upstream)
    np.testing.assert_allclose(y, outputs, rtol=1e-4, atol=1e-5)
    _, expected, _ = outputs_and_gradients(last, maps, upstream)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)
    assert np.any(gradient)
