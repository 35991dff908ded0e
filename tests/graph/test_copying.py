"""A copy is made without writing to the original, and has no more calls."""

import functools
import threading

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.networks import layers_of, over_networks, randomize

from keras_channel_attn.graph import graph_of, rebuild
from keras_channel_attn.graph.operations import inner_layers


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def relu(x):
    """Not the function of Keras that has this name."""
    return ops.relu(x) * 9


def scale(x, by):
    return by * x


class Watched(layers.Layer):
    """Calls a function while its configuration is read."""

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


def held_objects(model):
    """All attributes of all layers, as they are."""
    return [
        (name, value)
        for layer in layers_of(model).values()
        for _, inner in inner_layers(layer)
        for name, value in vars(inner).items()
    ]


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
    copy = rebuild(graph_of(model))
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


def functional():
    x = keras.Input((4,))
    y = layers.Dense(4, activation=lambda x: 3 * x)(x)
    y = layers.Dense(4, activation=functools.partial(scale, by=2))(y)
    return keras.Model(x, layers.Activation(relu)(y))


def sequential():
    return keras.Sequential([functional(), layers.Activation(relu)])


class OwnGraph(keras.Model):
    def __init__(self, **kwargs):
        x = keras.Input((4,))
        y = layers.Dense(4, activation=lambda x: 3 * x)(x)
        super().__init__(x, y, **kwargs)

    def get_config(self):
        return {"name": self.name}


@pytest.mark.parametrize("build", [functional, sequential, OwnGraph])
def test_functions_in_a_model_inside_a_layer(build):
    """Their configuration is in that of the model, in that of the layer."""
    x = keras.Input((3, 4))
    model = randomize(keras.Model(x, layers.TimeDistributed(build())(x)))
    before = held_objects(model)
    copy = rebuild(graph_of(model))
    array = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(
        numpy(copy(array)), numpy(model(array)), rtol=1e-5
    )
    assert copy.layers[1].layer is not model.layers[1].layer
    assert all(
        old is new
        for (_, old), (_, new) in zip(before, held_objects(model), strict=True)
    )


@over_networks
def test_a_copy_has_as_many_calls(build):
    model = build()
    counts = [
        {path: len(layer._inbound_nodes) for path, layer in found.items()}
        for found in (layers_of(model), layers_of(rebuild(graph_of(model))))
    ]
    assert counts[1] == counts[0]


def test_an_attribute_is_a_tensor_of_a_sequential_copy():
    """A feature map and the output belong to one graph, as in Grad-CAM."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="late")])
    model.end = model.get_layer("late").output
    copy = rebuild(graph_of(model))
    assert copy.end is copy.get_layer("late").output
    assert keras.Model(copy.inputs, copy.end).layers[1] is copy.layers[0]
