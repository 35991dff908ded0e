"""Inputs of a model made again: all properties, one by one."""

import keras
import pytest

from keras_channel_attn.graph import graph_of, new_input, rebuild

PROPERTIES = ("shape", "dtype", "sparse", "name")
SPARSE = pytest.mark.backend("tensorflow", "jax")


def input_layer(model):
    return model.layers[0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"shape": (3, 4)},
        {"shape": (None, 4)},
        {"shape": (4,), "batch_size": 5},
        {"shape": (4,), "dtype": "int32"},
        {"shape": (4,), "dtype": "float16", "name": "half"},
        {"shape": (4,), "optional": True, "name": "depth"},
        pytest.param({"shape": (4,), "sparse": True}, marks=SPARSE),
    ],
    ids=str,
)
def test_all_properties(arguments):
    model = keras.Model(x := keras.Input(**arguments), keras.ops.abs(x))
    copies = [
        keras.Model(y := new_input(x), keras.ops.abs(y)),
        rebuild(graph_of(model)),
    ]
    for copy in copies:
        for name in PROPERTIES:
            assert getattr(copy.inputs[0], name) == getattr(x, name)
        layer, original = input_layer(copy), input_layer(model)
        assert layer is not original
        assert layer.get_config() == original.get_config()


def test_another_shape():
    x = keras.Input((3, 4), dtype="float16", name="x")
    new = new_input(x, (None, 3, 2))
    assert (new.shape, new.dtype, new.name) == ((None, 3, 2), "float16", "x")


@pytest.mark.backend("tensorflow")
def test_a_ragged_input_is_refused():
    x = keras.Input((None,), ragged=True, name="x")
    with pytest.raises(ValueError, match=r"'x' is ragged"):
        new_input(x)
