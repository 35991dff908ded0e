"""Copies, with and without attention, and what is compared."""

import keras
import numpy as np
from keras import layers

from keras_channel_attn import SqueezeExcite, insert_attention
from keras_channel_attn.graph import graph_of, rebuild
from keras_channel_attn.graph.operations import inner_layers
from support.networks import layers_of

LAST = {"data_format": "channels_last"}


def image(channels=8, **arguments):
    return keras.Input((6, 6, channels), **arguments)


def conv(name, filters=8, size=3, **arguments):
    return layers.Conv2D(
        filters, size, padding="same", name=name, **LAST, **arguments
    )


def copy_of(model):
    return rebuild(graph_of(model))


def identity_attention():
    return SqueezeExcite(2, identity_start=True, **LAST)


def with_attention(model, where=("c",)):
    """A copy with attention that computes what the original does."""
    return insert_attention(model, identity_attention(), list(where))


def array(shape=(2, 6, 6, 8), seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_same_outputs(model, other, x=None, **arguments):
    x = array() if x is None else x
    outputs = [
        keras.tree.map_structure(numpy, one(x, **arguments))
        for one in (model, other)
    ]
    keras.tree.map_structure(
        lambda one, other: np.testing.assert_allclose(
            one, other, rtol=1e-5, atol=1e-5
        ),
        *outputs,
    )


def held_objects(model):
    """All attributes of all layers, as they are."""
    return [
        (name, value)
        for layer in layers_of(model).values()
        for _, inner in inner_layers(layer)
        for name, value in vars(inner).items()
    ]
