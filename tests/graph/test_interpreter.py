"""The interpreter: it runs over the calls of a model with any kind of value."""

import keras
import numpy as np
import pytest
from support.networks import nested, over_networks, sample, siamese

from keras_channel_attn.graph import (
    arguments_of_model,
    graph_of,
    inputs_of_nested,
    interpret,
)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def computed(model, arrays):
    """The outputs of a model for arrays, call by call."""

    def apply(call, values):
        args, kwargs = call.arguments(values)
        return call.operation(*args, **kwargs)

    return interpret(graph_of(model), arrays, apply)


@over_networks
def test_arrays_give_what_the_model_computes(build):
    model = build()
    x = sample(model)
    arrays = [keras.ops.convert_to_tensor(a) for a in keras.tree.flatten(x)]
    expected = keras.tree.flatten(model(x, training=False))
    outputs = computed(model, arrays)
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(numpy(output), numpy(value), rtol=1e-4)


def test_any_kind_of_value():
    """How many calls lie between a tensor and the inputs."""

    def apply(call, depths):
        depth = 1 + max(depths[tensor] for tensor in call.inputs)
        return [depth] * len(call.outputs)

    # The backbone has seven calls in a row, behind it are two more.
    assert interpret(graph_of(nested()), [0], apply) == [9]


def test_a_model_that_is_called_twice_is_run_twice():
    paths = []

    def apply(call, values):
        paths.append(call.path)
        return values[call.inputs[0]]

    graph = graph_of(siamese())
    assert interpret(graph, ["left", "right"], apply) == ["left"]
    assert paths.count("backbone/a_1") == 2
    assert "backbone" not in paths


def inner_model(names=("a", "b")):
    a = keras.Input((4,), name=names[0])
    b = keras.Input((4,), name=names[1])
    inputs = {names[0]: a, names[1]: b}
    return keras.Model(inputs, 3 * a - b, name="inner")


def on_a_dictionary(inner, x):
    return inner({"a": x, "b": x + 1})


def by_keyword(inner, x):
    return inner(inputs={"b": x + 1, "a": x})


@pytest.mark.parametrize("call", [on_a_dictionary, by_keyword])
def test_a_nested_model_on_tensors_of_another(call):
    inner = inner_model()
    x = keras.Input((4,))
    # A call of the same model on other tensors comes first.
    model = keras.Model(x, call(inner, on_a_dictionary(inner, x)))
    array = np.arange(8, dtype="float32").reshape(2, 4)
    (output,) = computed(model, [keras.ops.convert_to_tensor(array)])
    np.testing.assert_allclose(numpy(output), numpy(model(array)))


def test_inputs_in_a_dictionary_come_in_the_order_of_the_model():
    inner = inner_model(names=("z", "y"))
    x = keras.Input((4,))
    model = keras.Model(x, inner({"z": x, "y": x + 1}))
    seen = []

    def apply(call, values):
        args, kwargs = call.arguments(values)
        return call.operation(*args, **kwargs)

    def enter(call, values):
        seen.extend(inputs_of_nested(call, values))
        return seen

    array = np.zeros((1, 4), "float32")
    interpret(
        graph_of(model), [keras.ops.convert_to_tensor(array)], apply, enter
    )
    assert [tensor.name for tensor in inner.inputs] == ["y", "z"]
    assert [float(numpy(value)[0, 0]) for value in seen] == [1, 0]


def test_values_may_be_none():
    """As channels: most tensors have none that can be followed."""
    entered = []

    def enter(call, values):
        given = arguments_of_model(call, *call.arguments(values))
        entered.append((call.path, given))
        return given

    def apply(call, values):
        return [values[call.inputs[0]]] * len(call.outputs)

    graph = graph_of(siamese())
    assert interpret(graph, [None, None], apply, enter) == [None]
    assert entered == [("backbone", [None])] * 2


class SumOfPresent(keras.layers.Layer):
    def call(self, first, second=None):
        return first if second is None else first + second

    def compute_output_shape(self, first_shape, second_shape=None):
        return first_shape


def test_an_optional_input_may_be_none():
    first = keras.Input((2,), name="first")
    second = keras.Input((2,), name="second", optional=True)
    model = keras.Model([first, second], SumOfPresent()(first, second))
    ones = keras.ops.ones((1, 2))
    (output,) = computed(model, [ones, None])
    np.testing.assert_array_equal(numpy(output), numpy(ones))


def test_each_output_must_have_a_value():
    with pytest.raises(ValueError, match="shorter"):
        interpret(graph_of(nested()), [0], lambda call, values: [])
