"""Arrays of torch: from Keras' order of axes back to torch's."""

import keras
import numpy as np
import pytest
from support.configurations import built, over_those_with_weights

from keras_channel_attn.layers.torch_arrays import (
    array_for_torch,
    depthwise_kernel_from_torch,
    gain_from_torch,
    kernel_from_torch,
    linear_from_torch,
    matrix_from_torch,
    vector_from_torch,
)


@over_those_with_weights
def test_every_weight_of_a_layer_has_a_way_back(layer_class, arguments):
    layer = built(layer_class, arguments)
    weights = layer.torch_weights().values()
    for weight, arrange in weights:
        if weight is None:
            continue
        value = keras.ops.convert_to_numpy(weight)
        array = array_for_torch(value, arrange)
        np.testing.assert_array_equal(arrange(array), value, strict=True)


# The shapes that modules of torch have.
@pytest.mark.parametrize(
    ("shape", "arrange", "expected"),
    [
        ((4,), vector_from_torch, (4,)),
        ((4,), gain_from_torch, (4, 1, 1, 1)),
        ((2, 3), linear_from_torch, (3, 2)),
        ((2, 3), matrix_from_torch, (3, 2, 1, 1)),
        ((5, 2, 3), kernel_from_torch, (3, 2, 5)),
        ((3, 3, 4, 8), kernel_from_torch, (8, 4, 3, 3)),
        ((3, 3, 8, 1), depthwise_kernel_from_torch, (8, 1, 3, 3)),
        ((1, 1, 1, 1), kernel_from_torch, (1, 1, 1, 1)),
        ((2, 3, 4, 5, 6), kernel_from_torch, (6, 5, 2, 3, 4)),
    ],
)
def test_shapes(shape, arrange, expected):
    value = np.arange(np.prod(shape)).reshape(shape)
    array = array_for_torch(value, arrange)
    assert array.shape == expected
    np.testing.assert_array_equal(arrange(array), value)


@pytest.mark.parametrize(
    "arrange", [kernel_from_torch, lambda array: array.T.copy()]
)
def test_no_way_back(arrange):
    """No shape fits, or what is written does not arrive."""
    with pytest.raises(ValueError, match=r"weight of shape \(2, 3\)"):
        array_for_torch(np.zeros((2, 3)), arrange)
