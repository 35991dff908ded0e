"""What layers hold besides weights, and layers that are tied, in a copy."""

import random

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import (
    LAST,
    array,
    assert_same_outputs,
    conv,
    identity_attention,
    image,
    numpy,
    with_attention,
)

from keras_channel_attn import attention_sites, insert_attention


def after_tokens(tokens):
    """A layer that attention can follow, behind integers."""
    x = layers.Embedding(12, 8)(tokens)
    return layers.Conv1D(8, 1, name="c", **LAST)(x)


def string_lookup():
    x = keras.Input((3,), dtype="string")
    lookup = layers.StringLookup(vocabulary=["a", "b", "c"])
    return x, lookup(x), np.array([["c", "a", "?"]], dtype=object)


def adapted_string_lookup():
    x = keras.Input((3,), dtype="string")
    lookup = layers.StringLookup()
    lookup.adapt(["a", "b", "b", "c", "c", "c"])
    return x, lookup(x), np.array([["c", "a", "?"]], dtype=object)


def integer_lookup():
    x = keras.Input((3,), dtype="int64")
    lookup = layers.IntegerLookup()
    lookup.adapt(np.array([3, 7, 7, 9, 9, 9]))
    return x, lookup(x), np.array([[9, 3, 5]])


def text_vectorization():
    x = keras.Input((), dtype="string")
    vectorize = layers.TextVectorization(output_sequence_length=4)
    vectorize.adapt(["the cat sat", "the dog", "the cat"])
    return x, vectorize(x), np.array(["dog the cat", "fish"], dtype=object)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    "build",
    [string_lookup, adapted_string_lookup, integer_lookup, text_vectorization],
)
def test_vocabularies(build):
    import tensorflow

    x, tokens, values = build()
    model = keras.Model(x, after_tokens(tokens))
    copy = with_attention(model)
    assert_same_outputs(model, copy, tensorflow.convert_to_tensor(values))
    assert len({len(numpy(one).tobytes()) for one in copy.weights}) > 1


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_quantized_dense(mode):
    if keras.config.backend() in ("numpy", "openvino"):
        pytest.skip("inference backends do not quantize")
    x = keras.Input((6, 8))
    model = keras.Model(
        x, layers.Conv1D(8, 1, name="c", **LAST)(layers.Dense(8, name="d")(x))
    )
    model.get_layer("d").quantize(mode)
    values = array((2, 6, 8))
    if mode == "float8":
        # The history of maxima is what a training step leaves behind.
        for weight in model.get_layer("d").weights:
            if "amax" in weight.path:
                weight.assign(np.full(weight.shape, 3.0))
    copy = with_attention(model)
    assert copy.get_layer("d").quantization_mode == mode
    assert_same_outputs(model, copy, values)
    weights, copied = (
        {weight.name: numpy(weight) for weight in m.get_layer("d").weights}
        for m in (model, copy)
    )
    assert weights.keys() == copied.keys()
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, copied[name])


def test_a_stateful_rnn():
    x = keras.Input(batch_shape=(2, 6, 8))
    rnn = layers.GRU(8, stateful=True, return_sequences=True)
    model = keras.Model(x, layers.Conv1D(8, 1, name="c", **LAST)(rnn(x)))
    values = array((2, 6, 8))
    model(values)
    assert_same_outputs(model, with_attention(model), values)


@pytest.mark.training
def test_random_layers_go_on_where_the_original_is():
    x = image()
    # Without a seed, torch's global generator is used.
    y = layers.Dropout(0.5, seed=1)(conv("c")(x))
    model = keras.Model(x, layers.GaussianNoise(1.0, seed=2)(y))
    model(array(), training=True)
    assert_same_outputs(model, with_attention(model), training=True)


@pytest.mark.training
def test_one_training_step_of_both_is_the_same():
    x = image()
    y = layers.BatchNormalization()(conv("c", kernel_regularizer="l2")(x))
    model = keras.Model(x, conv("d", 4)(layers.Dropout(0.3, seed=1)(y)))
    copy = insert_attention(model, lambda layer: identity_attention(), ["c"])
    copy.layers[2].trainable = False
    targets = array((2, 6, 6, 4), seed=2)
    for one in (model, copy):
        one.compile(keras.optimizers.SGD(0.1), "mse")
    losses = [one.train_on_batch(array(), targets) for one in (model, copy)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for layer in model.layers:
        for weight, other in zip(
            layer.weights, copy.get_layer(layer.name).weights, strict=True
        ):
            np.testing.assert_allclose(
                numpy(weight), numpy(other), rtol=1e-4, atol=1e-5
            )


def test_flags_of_single_weights():
    x = image()
    model = keras.Model(x, conv("c")(x))
    model.get_layer("c").bias.trainable = False
    copy = with_attention(model).get_layer("c")
    assert not copy.bias.trainable
    assert copy.kernel.trainable


@pytest.mark.backend("tensorflow", "jax")
def test_rematerialization():
    x = image()
    with keras.RematScope(mode="full"):
        y = conv("c")(x)
    with keras.RematScope(mode="list_of_layers", layer_names=["d"]):
        model = keras.Model(x, conv("d")(y))
    copy = with_attention(model)
    for name in ("c", "d"):
        one, other = (m.get_layer(name)._remat_mode for m in (model, copy))
        assert one == other
    assert copy.get_layer("c_squeeze_excite")._remat_mode is None


# Layers that are tied.


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


# What a user draws at random afterwards.


class Drawing(layers.Layer):
    """Adds, and draws from all generators when it is made."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = layers.Dropout(0.5)

    def build(self, shapes):
        start = np.random.normal()
        self.scale = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(start)
        )
        self.kernel = self.add_weight(shape=(8, 8), initializer="normal")

    def call(self, inputs):
        return inputs[0] + self.scale * ops.matmul(inputs[1], self.kernel)

    def compute_output_shape(self, shapes):
        return shapes[0]


def drawing():
    x = image()
    y = layers.Dropout(0.5)(conv("c")(x))
    return keras.Model(x, Drawing()([x, y]))


def draws():
    return random.random(), float(np.random.normal())


@pytest.mark.parametrize(
    "surgery",
    [
        attention_sites,
        # The attention takes its part: a layer of SE has two initializers.
        lambda model: insert_attention(model, lambda layer: None),
    ],
    ids=["attention_sites", "insert_attention"],
)
def test_the_random_state_is_kept(surgery):
    model = drawing()
    keras.utils.set_random_seed(5)
    expected = draws()
    keras.utils.set_random_seed(5)
    surgery(model)
    assert draws() == expected


def test_new_attention_is_not_alike_at_each_insertion():
    x = image()
    model = keras.Model(x, conv("c")(x))
    kernels = [
        numpy(with_attention(model).get_layer("c_squeeze_excite").weights[0])
        for _ in range(2)
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3
