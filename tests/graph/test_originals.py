"""A copy changes neither the original model nor the random state of a user."""

import random
import threading

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import conv, copy_of, held_objects, image, numpy
from support.networks import (
    distance,
    layers_of,
    nested,
    over_networks,
    predictions,
    randomize,
    residual,
    sample,
    sequential,
)

from keras_channel_attn import attention_sites, insert_attention


@over_networks
def test_the_original_stays_as_it_is(build):
    model = randomize(build())
    config, weights = model.get_config(), model.get_weights()
    flags = [layer.trainable for layer in layers_of(model).values()]
    outputs = predictions(model)
    copy_of(model)
    assert model.get_config() == config
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert flags == [layer.trainable for layer in layers_of(model).values()]
    assert distance(outputs, predictions(model)) == 0


def test_tensors_of_the_original_can_still_be_used():
    model = randomize(residual())
    copy_of(model)
    inner = model.get_layer("a_add").output
    end = keras.Model(model.input, [inner, model.output])
    assert distance(predictions(end)[1], predictions(model)) == 0


@pytest.mark.parametrize("build", [residual, sequential, nested])
def test_arrays_are_not_shared(build):
    model = randomize(build())
    before = [np.array(weight) for weight in model.get_weights()]
    for weight in copy_of(model).weights:
        weight.assign(np.full(weight.shape, 7.0))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.training
@pytest.mark.parametrize("build", [residual, sequential, nested])
def test_training_the_copy_leaves_the_original_alone(build):
    model = randomize(build())
    x, outputs = sample(model), predictions(model)
    copy = copy_of(model)
    copy.compile("sgd", "mse")
    copy.fit(x, outputs + 1, verbose=0)
    assert distance(outputs, predictions(copy, x)) > 1e-3
    # JAX gives the arrays of a training step away: reading would raise.
    assert distance(outputs, predictions(model, x)) == 0


# Another thread.


def relu(x):
    """Not the function of Keras that has this name."""
    return ops.relu(x) * 9


class Watched(layers.Layer):
    """Calls `watch` while its configuration is read."""

    def __init__(self, activation, watch=None, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.dense = layers.Dense(3, activation=relu)
        self.watch = watch

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.activation(self.dense(x))

    def compute_output_shape(self, shape):
        return (*shape[:-1], 3)

    def get_config(self):
        self.watch()
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation}


@pytest.mark.backend("tensorflow", "torch", "jax")
def test_another_thread_predicts_while_a_model_is_copied():
    seen = []

    def activation(x):
        return ops.tanh(x) + 1

    def predict():
        layer = model.get_layer("watched")
        seen.append((layer.activation, layer.dense.activation))
        seen.append(numpy(model(array)))

    def watch():
        other = threading.Thread(target=predict)
        other.start()
        other.join()

    x = keras.Input((4,))
    model = keras.Model(x, Watched(activation, watch, name="watched")(x))
    array = np.ones((2, 4), "float32")
    expected = numpy(model(array))
    before = held_objects(model)
    copy = copy_of(model)
    functions, outputs = seen
    assert functions == (activation, relu)
    np.testing.assert_array_equal(outputs, expected)
    after = held_objects(model)
    assert [name for name, _ in before] == [name for name, _ in after]
    for (name, old), (_, new) in zip(before, after, strict=True):
        assert old is new, name
    np.testing.assert_allclose(numpy(copy(array)), expected, rtol=1e-6)
    copied = copy.get_layer("watched")
    assert (copied.activation, copied.dense.activation) == functions


# The random state.


class Drawing(layers.Layer):
    """Adds, and uses all random generators when it is built."""

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
        # A new layer of SE draws two seeds.
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
