"""A copy with changes: calls that are removed, layers that are replaced."""

import keras
import numpy as np
from support.networks import (
    convolution,
    distance,
    layers_of,
    predictions,
    randomize,
    residual,
)

from keras_channel_attn.graph import Changes, graph_of, rebuild


def call_of(graph, path):
    (call,) = [call for call in graph.all_calls() if call.path == path]
    return call


def test_a_call_that_is_removed_passes_its_input_on():
    model = randomize(residual())
    graph, changes = graph_of(model), Changes()
    changes.remove(call_of(graph, "b_2"))
    copy = rebuild(graph, changes)
    assert "b_2" not in layers_of(copy)
    b_add = keras.Model(copy.input, copy.get_layer("b_add").output)
    parts = keras.Model(
        model.input,
        [model.get_layer("a_add").output, model.get_layer("b_1").output],
    )
    assert distance(sum(predictions(parts)), predictions(b_add)) < 1e-5


def test_a_replaced_layer_is_prepared_once_it_is_built():
    model = randomize(residual())
    graph, changes = graph_of(model), Changes()
    weights = model.get_layer("b_2").get_weights()
    weights[0] = 2 * weights[0]

    def prepare(layer):
        layer.set_weights(weights)
        layer.trainable = False

    other = convolution("other")
    changes.replace(call_of(graph, "b_2"), other, prepare=prepare)
    layer = rebuild(graph, changes).get_layer("other")
    assert not layer.trainable
    for expected, weight in zip(weights, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
