"""What the squeeze promises on TensorFlow beyond equal outputs."""

import keras
import numpy as np
import pytest
from support.configurations import built, over_data_formats, shape_of

from keras_channel_attn import CoordinateAttention
from keras_channel_attn import ops as attention_ops

pytestmark = pytest.mark.backend("tensorflow")


@over_data_formats
def test_the_mean_is_one_operation(data_format):
    """A sum can overflow where a runtime computes in float16."""
    operations = operations_of(
        lambda x: attention_ops.squeeze(x, data_format),
        shape_of(2, (4, 5), 8, data_format),
    )
    names = [operation.type for operation in operations]
    assert "Mean" in names
    assert "Sum" not in names


@over_data_formats
def test_the_gradient_of_the_mean_divides_the_small_tensor(data_format):
    """TensorFlow's own gradient divides a tensor of the input's size."""
    import tensorflow as tf

    shape = shape_of(2, (4, 5), 8, data_format)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = attention_ops.squeeze(x, data_format)
        return tape.gradient(y, x)

    sizes = [
        np.prod(operation.outputs[0].shape)
        for operation in operations_of(gradient, shape)
        if operation.type in ("RealDiv", "Mul")
    ]
    assert sizes == [2 * 8]


def test_products_of_coordinate_attention_are_of_two_matrices():
    """Not one product for each sample, of which `@` would consist."""
    layer = built(CoordinateAttention, {"divisor": 4})
    types = [operation.type for operation in operations_of(layer, (2, 4, 5, 8))]
    assert types.count("MatMul") == 3
    assert not [name for name in types if name.startswith("BatchMatMul")]


def test_the_gradient_in_float16_of_many_positions():
    """Their number is larger than the largest float16."""
    import tensorflow as tf

    x = tf.ones((1, 300, 300, 1), "float16")
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = attention_ops.squeeze(x, "channels_last")
    gradient = keras.ops.convert_to_numpy(tape.gradient(y, x))
    np.testing.assert_allclose(gradient, 1 / 90000, rtol=1e-2)


def operations_of(function, shape):
    """The operations of the graph of a function of one float32 tensor."""
    import tensorflow as tf

    graph = tf.function(function).get_concrete_function(
        tf.TensorSpec(shape, "float32")
    )
    return graph.graph.get_operations()
