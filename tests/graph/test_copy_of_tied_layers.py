"""Layers that share weights, or hold each other, are tied in a copy too."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import (
    LAST,
    array,
    assert_same_outputs,
    conv,
    image,
    numpy,
    with_attention,
)


class Holding(layers.Layer):
    """Multiplies by the transposed kernel of a layer that it holds."""

    def __init__(self, tied, **kwargs):
        super().__init__(**kwargs)
        self.tied = tied

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.tied.kernel))

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.tied.kernel.shape[0])


class Serialized(Holding):
    """The same, with a configuration that holds the other's."""

    def get_config(self):
        tied = keras.saving.serialize_keras_object(self.tied)
        return {**layers.Layer.get_config(self), "tied": tied}

    @classmethod
    def from_config(cls, config):
        config["tied"] = keras.saving.deserialize_keras_object(config["tied"])
        return cls(**config)


class InList(Holding):
    def __init__(self, tied, **kwargs):
        super().__init__(tied, **kwargs)
        self.others = [tied, {"again": tied}]

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.others[1]["again"].kernel))


class Handing(Holding):
    """Its configuration holds the other layer itself."""

    def get_config(self):
        return {**layers.Layer.get_config(self), "tied": self.tied}


KINDS = [Holding, Serialized, InList, Handing]


def autoencoder(kind):
    x = keras.Input((6, 8))
    dense = layers.Dense(4, name="d")
    y = layers.Conv1D(4, 1, name="c", **LAST)(dense(x))
    return keras.Model(x, kind(dense, name="tied")(y))


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_holds_another_layer_of_the_graph(kind):
    model = autoencoder(kind)
    copy = with_attention(model)
    assert copy.get_layer("tied").tied is copy.get_layer("d")
    assert len(copy.weights) == len(model.weights) + 2
    values = array((2, 6, 8))
    assert_same_outputs(model, copy, values)
    before = numpy(model(values))
    copy.get_layer("d").kernel.assign(np.ones((8, 4)))
    assert np.abs(numpy(copy(values)) - before).max() > 1e-2
    np.testing.assert_array_equal(numpy(model(values)), before)


@pytest.mark.parametrize("kind", KINDS)
def test_two_layers_that_hold_one_that_is_in_no_graph(kind):
    x = keras.Input((6, 8))
    dense = layers.Dense(4)
    dense.build((None, 8))
    y = layers.Conv1D(4, 1, name="c", **LAST)(x)
    y = kind(dense, name="first")(y)
    y = layers.Conv1D(4, 1, name="e", **LAST)(y)
    model = keras.Model(x, kind(dense, name="second")(y))
    copy = with_attention(model)
    held = [copy.get_layer(name).tied for name in ("first", "second")]
    assert held[0] is held[1]
    assert held[0] is not dense
    assert len(copy.weights) == len(model.weights) + 2
    assert_same_outputs(model, copy, array((2, 6, 8)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_one_layer_alone_holds(kind):
    x = keras.Input((6, 8))
    dense = layers.Dense(4)
    dense.build((None, 8))
    y = layers.Conv1D(4, 1, name="c", **LAST)(x[..., :4])
    model = keras.Model(x, kind(dense, name="tied")(y))
    copy = with_attention(model)
    assert copy.get_layer("tied").tied is not dense
    assert copy.get_layer("tied").tied.name == dense.name
    assert_same_outputs(model, copy, array((2, 6, 8)))


def test_a_layer_that_a_nested_model_calls_too():
    shared = conv("shared")
    x, y = image(), image()
    inner = keras.Model(x, conv("c")(shared(x)), name="inner")
    model = keras.Model(y, shared(inner(y)))
    copy = with_attention(model, ["inner/c"])
    assert copy.get_layer("inner").get_layer("shared") is copy.get_layer(
        "shared"
    )
    assert_same_outputs(model, copy)


@pytest.mark.parametrize("first", ["embedding", "product"])
def test_a_variable_as_an_argument(first):
    """Tied embeddings, as transformers of Keras write them."""
    tokens = keras.Input((6,), dtype="int32")
    other = keras.Input((6, 8))
    embedding = layers.Embedding(5, 8, name="e")
    embedded = embedding(tokens)
    y = layers.Conv1D(8, 1, name="c", **LAST)(
        other if first == "product" else other + embedded
    )
    logits = ops.matmul(y, ops.transpose(embedding.embeddings))
    scaled = ops.multiply(y, embedding.embeddings[0])
    direct = ops.matmul(
        ops.matmul(y, np.ones((8, 5), "float32")), embedding.embeddings
    )
    model = keras.Model([tokens, other], [logits, scaled, direct, embedded])
    copy = with_attention(model)
    values = [np.zeros((2, 6), "int32"), array((2, 6, 8))]
    assert_same_outputs(model, copy, values)
    before = [numpy(one) for one in model(values)]
    copy.get_layer("e").embeddings.assign(np.ones((5, 8)))
    for one, other in zip(before, model(values), strict=True):
        np.testing.assert_array_equal(one, numpy(other))
    assert np.abs(numpy(copy(values)[2]) - before[2]).max() > 1e-3
