"""What of Keras is not public, and that one file alone reads it."""

import ast
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.networks import nested, nested_in_sequential, residual

import keras_channel_attn
from keras_channel_attn import (
    SqueezeExcite,
    attention_scores,
    attention_sites,
    insert_attention,
    model_costs,
)
from keras_channel_attn.graph import graph_of, is_operation
from keras_channel_attn.graph.keras_internals import (
    argument,
    has_been_called,
    input_layer_of,
    keep_names,
    mask_of,
    sequential_model,
)
from keras_channel_attn.pruning import channel_groups

FOLDER = pathlib.Path(keras_channel_attn.__file__).parent
FILES = [
    path
    for path in sorted(FOLDER.rglob("*.py"))
    if path.name != "keras_internals.py"
    # Code for one backend reads what that backend has.
    and path.parent.name != "backend"
]
# Without an underscore, and in no documentation.
UNDOCUMENTED = {
    *("jax_state_sync", "parent_nodes", "indices_or_sections", "newshape"),
    *("pad_width", "subscripts", "x_min", "x_max"),
}
ACCESS = {"getattr", "hasattr", "setattr", "get", "pop"}


def own_names():
    """Private names that the package defines, and one of Python."""
    names = {"_fields"}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(
                node.ctx, ast.Store
            ):
                names.add(node.attr)
            elif isinstance(node, ast.AnnAssign):
                names.add(getattr(node.target, "id", ""))
            elif isinstance(node, ast.arg):
                names.add(node.arg)
    return names - {"_functional"}


OWN_NAMES = own_names()


def names_read(tree):
    """Attributes, and what `getattr` and the like are asked for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call):
            function = getattr(node.func, "attr", getattr(node.func, "id", ""))
            for value in node.args:
                if function in ACCESS and isinstance(value, ast.Constant):
                    yield value.value


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: str(path.relative_to(FOLDER))
)
def test_no_other_file_reads_what_is_not_public(path):
    for name in names_read(ast.parse(path.read_text())):
        if isinstance(name, str) and name not in OWN_NAMES:
            private = re.fullmatch(r"_[a-z]\w*", name)
            assert not private, name
            assert name not in UNDOCUMENTED, name


def test_such_a_file_is_found():
    text = "layer._inbound_nodes, getattr(x, '_keras_mask'), call.x_min"
    assert {"_inbound_nodes", "_keras_mask", "x_min"} <= {
        *names_read(ast.parse(text))
    }
    assert not {"_inbound_nodes", "_keras_mask", "_functional"} & OWN_NAMES


OPERATIONS = {
    "add": lambda x: x + x,
    "dot_product_attention": lambda x: ops.dot_product_attention(x, x, x),
    "einsum": lambda x: ops.einsum("...a,...a->...", x, x),
    "matmul": lambda x: ops.matmul(x, x),
    "moveaxis": lambda x: ops.moveaxis(x, 1, 2),
    "multiply": lambda x: x * x,
    "rot90": lambda x: ops.rot90(x, axes=(1, 2)),
    "stop_gradient": ops.stop_gradient,
    "swapaxes": lambda x: ops.swapaxes(x, 1, 2),
    "transpose": ops.transpose,
}


def operation_of(function):
    x = keras.Input(batch_shape=(2, 4, 4, 4))
    return keras.Model(x, function(x)).operations[1]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_the_name_of_its_function(name):
    assert hasattr(ops, name)
    operation = operation_of(OPERATIONS[name])
    assert [
        other for other in OPERATIONS if is_operation(operation, other)
    ] == [name]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda x: ops.split(x, [1], 3), {"indices_or_sections": [1]}),
        (lambda x: ops.reshape(x, (2, 64)), {"newshape": (2, 64)}),
        (lambda x: ops.pad(x, 1), {"pad_width": ((1, 1),) * 4}),
        (
            lambda x: ops.einsum("abcd,abcd->ab", x, x),
            {"subscripts": "abcd,abcd->ab"},
        ),
        (lambda x: ops.clip(x, 0, 6), {"x_min": 0, "x_max": 6}),
    ],
)
def test_arguments_of_operations(function, arguments):
    operation = operation_of(function)
    for name, value in arguments.items():
        received = argument(operation, name)
        np.testing.assert_array_equal(
            np.broadcast_to(received, np.shape(value)), value
        )


def test_a_layer_that_has_been_called():
    layer = layers.ReLU()
    assert not has_been_called(layer)
    layer(keras.Input((4,)))
    assert has_been_called(layer)


def test_input_layer_and_mask_of_a_tensor():
    x = keras.Input((4, 3), name="x")
    y = layers.Masking()(x)
    assert input_layer_of(x).name == "x"
    assert input_layer_of(y) is None
    assert mask_of(x) is None
    assert mask_of(y).shape == (None, 4)


def test_a_sequential_model_has_the_calls_of_the_functional_one():
    x = keras.Input((4,))
    y = layers.Dense(3, name="late")(layers.Dense(4, name="early")(x))
    functional = keras.Model(x, y)
    model = sequential_model(keras.Sequential, functional, "made")
    assert [layer.name for layer in model.layers] == ["early", "late"]
    # An error for a layer that was called twice.
    assert model.get_layer("late").output is model.outputs[0]
    array = np.ones((2, 4), "float32")
    expected = ops.convert_to_numpy(functional(array))
    np.testing.assert_array_equal(ops.convert_to_numpy(model(array)), expected)
    revived = keras.Sequential.from_config(model.get_config())
    assert revived.input_shape == model.input_shape
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)


def test_names_kept():
    first = layers.ReLU().name
    with keep_names():
        layers.ReLU(), keras.Input((1,))
    following = layers.ReLU().name, keras.KerasTensor((1,)).name
    assert (first, *following) == ("re_lu", "re_lu_1", "keras_tensor")


def names_that_follow():
    """Names that Keras would give now."""
    with keep_names():
        made = [keras.Input((1,)), layers.Dense(1), layers.Conv2D(1, 1)]
        return [one.name for one in made]


READING = {
    "attention_sites": attention_sites,
    "model_costs": model_costs,
    "channel_groups": channel_groups,
    "graph_of": graph_of,
}


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("build", [residual, nested, nested_in_sequential])
def test_reading_moves_no_counter_of_names(name, build):
    model = build()
    before = names_that_follow()
    READING[name](model)
    assert names_that_follow() == before


@pytest.mark.backend("tensorflow", "torch", "jax", "numpy")
def test_attention_scores_move_no_counter_of_names():
    model = insert_attention(residual(), SqueezeExcite(2))
    x = np.ones((1, *model.inputs[0].shape[1:]), "float32")
    before = names_that_follow()
    attention_scores(model, x, verbose=0)
    assert names_that_follow() == before
