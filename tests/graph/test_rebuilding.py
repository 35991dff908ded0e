"""A model rebuilt: all that its copy keeps, and all that it does not share."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.networks import (
    Shift,
    assert_same,
    backbone,
    blocks,
    convolution,
    distance,
    head,
    image,
    inputs_of,
    layers_of,
    nested,
    over_networks,
    predictions,
    randomize,
    residual,
    sample,
    sequential,
    siamese,
)

from keras_channel_attn.graph import Changes, graph_of, rebuild


def unchanged(x):
    return x


def copy_of(model):
    return rebuild(graph_of(model))


@over_networks
def test_computes_the_same(build):
    model = randomize(build())
    assert_same(model, copy_of(model))


@over_networks
def test_layers_keep_all_but_their_identity(build):
    model = randomize(build())
    for number, layer in enumerate(layers_of(model).values()):
        if not isinstance(layer, (keras.Model, layers.InputLayer)):
            layer.trainable = number % 3 > 0
    copied = layers_of(copy_of(model))
    assert list(copied) == list(layers_of(model))
    for path, layer in layers_of(model).items():
        copy = copied[path]
        assert copy is not layer
        assert type(copy) is type(layer)
        assert copy.trainable == layer.trainable
        assert copy.dtype_policy == layer.dtype_policy
        if isinstance(layer, keras.Model):
            continue
        assert copy.get_config() == layer.get_config()
        for one, other in zip(layer.weights, copy.weights, strict=True):
            assert one.path.split("/")[-2:] == other.path.split("/")[-2:]
            np.testing.assert_array_equal(
                ops.convert_to_numpy(one), ops.convert_to_numpy(other)
            )


@over_networks
def test_the_model_keeps_name_class_and_structure(build):
    model = build()
    copy = copy_of(model)
    assert type(copy) is type(model)
    assert copy.name == model.name
    keras.tree.assert_same_structure(inputs_of(model), inputs_of(copy))
    keras.tree.assert_same_structure(model.outputs, copy.outputs)
    names = [x.name for x in model.inputs]
    assert [x.name for x in copy.inputs] == names


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


def test_operations_keep_their_names():
    x = image()
    model = keras.Model(x, ops.relu(x + 1))
    copy = copy_of(model)
    assert [one.name for one in copy.operations] == [
        one.name for one in model.operations
    ]


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


def test_a_compiled_model_gives_one_that_is_not():
    model = residual()
    model.compile("sgd", "mse")
    assert not copy_of(model).compiled


def test_a_shared_layer_is_copied_once():
    x = image()
    conv = convolution("conv")
    model = randomize(keras.Model(x, conv(conv(x))))
    copy = copy_of(model)
    assert len(copy.weights) == 2
    assert_same(model, copy)


def test_a_model_called_twice_is_copied_once():
    model = siamese()
    assert len(copy_of(model).weights) == len(model.weights)


@pytest.mark.parametrize("frozen", ["outer", "inner"])
def test_a_frozen_model_is_frozen_in_the_copy(frozen):
    model = nested()
    inner = model.get_layer("backbone")
    (model if frozen == "outer" else inner).trainable = False
    # Thawed again: the flag of a model says nothing about its layers.
    inner.get_layer("b_2").trainable = True
    copy = copy_of(model)
    for path, layer in layers_of(model).items():
        assert layers_of(copy)[path].trainable == layer.trainable
    assert copy.trainable == model.trainable
    assert len(copy.trainable_weights) == len(model.trainable_weights)


def wrapped():
    """A partly frozen model inside a layer."""
    x = keras.Input((2, 4))
    inputs = keras.Input((4,))
    inner = keras.Model(
        inputs,
        layers.Dense(3, name="thawed")(layers.Dense(4, name="frozen")(inputs)),
    )
    inner.get_layer("frozen").trainable = False
    return keras.Model(x, layers.TimeDistributed(inner)(x))


def adapted_low_rank():
    x = keras.Input((4,))
    dense = layers.Dense(3)
    model = keras.Model(x, dense(x))
    dense.enable_lora(2)
    return model


@pytest.mark.parametrize("build", [wrapped, adapted_low_rank])
def test_what_is_frozen_inside_a_layer_stays_frozen(build):
    model = randomize(build())
    copy = copy_of(model)
    assert_same(model, copy)
    assert [w.path for w in copy.trainable_weights] == [
        w.path for w in model.trainable_weights
    ]


def test_arguments_of_calls_are_kept():
    """Transfer learning calls its backbone with `training=False`."""
    x = image()
    model = keras.Model(x, backbone()(x, training=False))
    first, second = (
        one.get_config()["layers"][1]["inbound_nodes"]
        for one in (model, copy_of(model))
    )
    assert first[0]["kwargs"]["training"] is False
    assert second == first


def test_tensors_in_keyword_arguments():
    x = keras.Input((5, 4))
    attention = layers.MultiHeadAttention(2, 3)
    model = randomize(keras.Model(x, attention(x, value=x, key=x)))
    assert_same(model, copy_of(model))


def test_masks_reach_the_layers_that_use_them():
    x = keras.Input((4,), dtype="int32")
    y = layers.Embedding(5, 3, mask_zero=True)(x)
    model = randomize(keras.Model(x, layers.GlobalAveragePooling1D()(y)))
    tokens = np.array([[1, 2, 0, 0], [3, 4, 1, 0]])
    copy = copy_of(model)
    assert copy.input.dtype == "int32"
    assert distance(predictions(model, tokens), predictions(copy, tokens)) == 0


def test_statistics_of_a_preprocessing_layer():
    """`Normalization` keeps what it divides by outside its weights too."""
    rng = np.random.default_rng(0)
    normalization = layers.Normalization()
    normalization.adapt(rng.normal(3, 2, size=(50, 4)).astype("float32"))
    x = keras.Input((4,))
    model = keras.Model(x, normalization(x))
    assert_same(model, copy_of(model))


class Either(layers.Layer):
    def call(self, first, second=None):
        return first if second is None else first + second

    def compute_output_shape(self, first_shape, second_shape=None):
        return first_shape


def test_an_optional_input_stays_optional():
    first = keras.Input((4,), name="first")
    second = keras.Input((4,), name="second", optional=True)
    model = keras.Model(
        {"first": first, "second": second}, Either()(first, second)
    )
    x = {"first": np.ones((2, 4), "float32"), "second": None}
    assert distance(predictions(model, x), predictions(copy_of(model), x)) == 0


def test_a_fixed_batch_size_and_a_free_spatial_size():
    x = keras.Input(batch_shape=(2, None, None, 8))
    model = keras.Model(x, convolution("conv")(x))
    assert copy_of(model).input_shape == (2, None, None, 8)


def test_a_model_that_begins_at_an_inner_tensor():
    whole = randomize(residual())
    model = keras.Model(whole.get_layer("a_add").output, whole.output)
    assert_same(model, copy_of(model))


def test_an_input_that_is_an_output():
    x = image()
    model = randomize(keras.Model(x, [x, convolution("conv")(x)]))
    assert_same(model, copy_of(model))


def test_mixed_precision_stays():
    x = image()
    model = keras.Model(x, convolution("conv", dtype="mixed_float16")(x))
    copied = copy_of(model).get_layer("conv")
    assert copied.compute_dtype == "float16"
    assert copied.kernel.dtype == "float32"


class Trainer(keras.Model):
    """A functional model with a training step of its own."""

    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


class Stack(keras.Sequential):
    """Likewise."""


class Configured(keras.Model):
    """A model that makes its own inputs and outputs."""

    def __init__(self, units=3, **kwargs):
        x = image()
        outputs = layers.Dense(units)(convolution("conv")(x))
        super().__init__(x, outputs, **kwargs)
        self.units = units

    def get_config(self):
        return {"units": self.units, "name": self.name}


def trainer():
    x = image()
    return Trainer(x, head(blocks(x)), name="trainer")


def stack():
    return Stack([image(), convolution("conv")], name="stack")


def with_inner_trainer():
    x = image()
    return keras.Model(x, trainer()(x))


@pytest.mark.parametrize("build", [trainer, stack])
def test_keeps_a_class_that_takes_inputs_and_outputs(build):
    model = randomize(build())
    copy = copy_of(model)
    assert type(copy) is type(model)
    assert copy.name == model.name
    assert_same(model, copy)


def test_keeps_such_a_class_inside_another_model():
    model = randomize(with_inner_trainer())
    copy = copy_of(model)
    assert type(copy.get_layer("trainer")) is type(model.get_layer("trainer"))
    assert_same(model, copy)


def test_a_class_with_arguments_of_its_own_becomes_a_plain_model():
    model = randomize(Configured())
    copy = copy_of(model)
    assert not isinstance(copy, Configured)
    assert_same(model, copy)


def test_such_a_class_stays_inside_a_model_if_nothing_changes_in_it():
    x = image()
    inner = Configured(name="inner")
    model = randomize(keras.Model(x, inner(x)))
    inner.get_layer("conv").trainable = False
    copy = copy_of(model)
    assert isinstance(copy.get_layer("inner"), Configured)
    assert not copy.get_layer("inner").get_layer("conv").trainable
    assert_same(model, copy)


def test_layers_of_an_unregistered_class_are_copied():
    x = image()
    model = randomize(keras.Model(x, Shift(2.0, name="shift")(x)))
    copy = copy_of(model)
    assert copy.get_layer("shift").by == 2.0
    assert_same(model, copy)


def test_an_activation_that_nobody_has_registered():
    def doubled(x):
        return 2 * x

    x = image()
    conv = convolution("conv", activation=doubled)
    model = randomize(keras.Model(x, layers.Activation(doubled)(conv(x))))
    assert_same(model, copy_of(model))


def test_all_functions_of_a_lambda_are_at_hand():
    """Revived from its string, a function has lost what it refers to."""
    x = image()
    layer = layers.Lambda(
        lambda x: unchanged(x), output_shape=lambda s: unchanged(s)
    )
    model = keras.Model(x, layer(x))
    assert_same(model, copy_of(model))


def test_calls_are_listed_in_the_order_of_computation():
    paths = [call.path for call in graph_of(nested()).all_calls()]
    inner = (
        *("shortcut", "a_1", "a_norm", "a_2", "a_add"),
        *("b_1", "b_2", "b_add"),
    )
    outer = ("backbone", "head_pool", "head")
    assert sorted(paths) == sorted([*outer, *(f"backbone/{n}" for n in inner)])
    for before, after in (
        ("backbone/a_1", "backbone/a_norm"),
        ("backbone/shortcut", "backbone/a_add"),
        ("backbone/a_2", "backbone/a_add"),
        ("backbone/a_add", "backbone/b_1"),
        ("backbone/b_add", "backbone"),
        ("backbone", "head_pool"),
        ("head_pool", "head"),
    ):
        assert paths.index(before) < paths.index(after)


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


def test_a_replaced_layer_has_the_weights_that_were_passed():
    model = randomize(residual())
    graph, changes = graph_of(model), Changes()
    weights = model.get_layer("b_2").get_weights()
    weights[0] = 2 * weights[0]
    changes.replace(
        call_of(graph, "b_2"),
        convolution("other"),
        weights=weights,
        trainable=False,
    )
    layer = rebuild(graph, changes).get_layer("other")
    assert not layer.trainable
    for expected, weight in zip(weights, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_reading_a_graph_calls_no_layer():
    model = residual()
    nodes = {layer: len(layer._inbound_nodes) for layer in model.layers}
    list(graph_of(model).all_calls())
    assert nodes == {layer: len(layer._inbound_nodes) for layer in model.layers}
