"""What layers hold besides their configuration, in a copy."""

import keras
import numpy as np
import pytest
from keras import layers
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

from keras_channel_attn import insert_attention


@pytest.mark.parametrize("wrapped", [False, True])
def test_statistics_of_a_normalization(wrapped):
    normalization = layers.Normalization()
    data = np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32")
    normalization.adapt(data)
    if wrapped:
        normalization = layers.TimeDistributed(normalization)
    x = keras.Input((6, 4))
    y = layers.Conv1D(4, 1, name="c", **LAST)(normalization(x))
    model = keras.Model(x, y)
    assert_same_outputs(model, with_attention(model), array((2, 6, 4)))


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


def test_new_attention_is_not_alike_at_each_insertion():
    x = image()
    model = keras.Model(x, conv("c")(x))
    kernels = [
        numpy(with_attention(model).get_layer("c_squeeze_excite").weights[0])
        for _ in range(2)
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3
