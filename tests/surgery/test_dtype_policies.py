"""Networks with another dtype policy."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.networks import (
    convolution,
    distance,
    head,
    image,
    layers_of,
    nested,
    nested_in_sequential,
    operations,
    over_networks,
    predictions,
    randomize,
    residual,
    sample,
    sequential,
)

from keras_channel_attn import (
    SqueezeExcite,
    attention_layers,
    insert_attention,
    with_dtype_policy,
)

POLICIES = ["mixed_float16", "mixed_bfloat16", "float32", "bfloat16"]


def policies_of(model):
    """The names of the policies of all layers but inputs, and the model's."""
    found = {
        path: layer.dtype_policy.name
        for path, layer in layers_of(model).items()
        if not isinstance(layer, layers.InputLayer)
    }
    return {**found, "": model.dtype_policy.name}


def assert_weights_have(model, dtype):
    for weight in model.weights:
        assert weight.dtype == dtype, weight.path


@over_networks
@pytest.mark.parametrize("policy", POLICIES[:2])
def test_there_and_back(build, policy):
    model = randomize(build())
    mixed = with_dtype_policy(model, policy)
    assert set(policies_of(mixed).values()) == {policy}
    assert_weights_have(mixed, "float32")
    assert 0 < distance(predictions(model), predictions(mixed)) < 0.1
    back = with_dtype_policy(mixed, "float32")
    assert set(policies_of(back).values()) == {"float32"}
    assert distance(predictions(model), predictions(back)) < 1e-6
    assert [x.dtype for x in keras.tree.flatten(back.outputs)] == [
        x.dtype for x in keras.tree.flatten(model.outputs)
    ]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_nested_network_made_in_mixed_precision(policy):
    """What `clone_model` with a `clone_function` leaves as it is."""
    keras.config.set_dtype_policy("mixed_float16")
    model = randomize(insert_attention(nested(), SqueezeExcite(2)))
    copy = with_dtype_policy(model, policy)
    assert set(policies_of(copy).values()) == {policy}
    compute_dtype = keras.DTypePolicy(policy).compute_dtype
    for path, layer in attention_layers(copy).items():
        assert layer.output.dtype == compute_dtype, path
    assert copy.output.dtype == compute_dtype
    assert_weights_have(copy, "bfloat16" if policy == "bfloat16" else "float32")
    assert distance(predictions(model), predictions(copy)) < 0.1


def test_the_original_stays_as_it_is():
    model = randomize(nested())
    config, outputs = model.get_config(), predictions(model)
    with_dtype_policy(model, "mixed_float16")
    assert model.get_config() == config
    assert distance(outputs, predictions(model)) == 0


def test_a_policy_object():
    copy = with_dtype_policy(residual(), keras.DTypePolicy("mixed_bfloat16"))
    assert set(policies_of(copy).values()) == {"mixed_bfloat16"}


def test_a_callable_chooses_for_each_layer():
    asked = []

    def policy(layer):
        asked.append(layer)
        return "mixed_float16" if layer.name.startswith("a_") else None

    copy = with_dtype_policy(nested(), policy)
    assert len(asked) == len(set(asked))
    for path, name in policies_of(copy).items():
        is_chosen = path.startswith("backbone/a_")
        assert name == ("mixed_float16" if is_chosen else "float32"), path


def test_files_keep_the_policies(tmp_path):
    copy = with_dtype_policy(randomize(nested()), "mixed_float16")
    copy.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for path, layer in layers_of(loaded).items():
        if not isinstance(layer, (keras.Model, layers.InputLayer)):
            assert layer.compute_dtype == "float16", path
    assert distance(predictions(copy), predictions(loaded)) == 0


def test_a_sequential_model_without_an_input():
    """Keras makes an input in the dtype of the first layer."""
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([layers.Dense(4), layers.Dense(3)])
    model.build((None, 8))
    copy = with_dtype_policy(randomize(model), "float32")
    assert model.inputs[0].dtype == "float16"
    assert copy.inputs[0].dtype == "float32"
    assert distance(predictions(model), predictions(copy)) < 1e-2


def test_inputs_keep_their_dtypes():
    copy = with_dtype_policy(sequential(), "mixed_float16")
    assert copy.inputs[0].dtype == "float32"


# Layers in layers


def wrapped(layer):
    x = keras.Input((3, 6, 6, 8))
    return keras.Model(x, layers.TimeDistributed(layer, name="wrapper")(x))


WRAPPED = {
    "layer": lambda: convolution("inside"),
    "model": residual,
    "sequential model": sequential,
    "model in a model": nested,
}


@pytest.mark.parametrize("build", WRAPPED.values(), ids=WRAPPED)
def test_layers_in_wrappers(build):
    model = randomize(wrapped(build()))
    mixed = with_dtype_policy(model, "mixed_float16")
    inside = mixed.get_layer("wrapper").layer
    assert inside.compute_dtype == "float16"
    if isinstance(inside, keras.Model):
        assert set(policies_of(inside).values()) == {"mixed_float16"}
        assert inside.outputs[0].dtype == "float16"
    assert mixed.output.dtype == "float16"
    assert 0 < distance(predictions(model), predictions(mixed)) < 0.1
    back = with_dtype_policy(mixed, "float32")
    assert distance(predictions(model), predictions(back)) < 1e-5


def test_layers_that_a_layer_makes_itself():
    x = keras.Input((5, 8))
    y = layers.MultiHeadAttention(2, 4)(x, x)
    y = layers.Bidirectional(layers.GRU(4, return_sequences=True))(y)
    y = layers.RNN(layers.GRUCell(4))(y)
    model = randomize(keras.Model(x, layers.Dense(2)(y)))
    mixed = with_dtype_policy(model, "mixed_bfloat16")
    for layer in mixed._flatten_layers(include_self=False):
        if not isinstance(layer, layers.InputLayer):
            assert layer.compute_dtype == "bfloat16", layer.name
    assert distance(predictions(model), predictions(mixed)) < 0.1
    back = with_dtype_policy(mixed, "float32")
    assert distance(predictions(model), predictions(back)) < 1e-6


@keras.saving.register_keras_serializable("tests")
class RemembersDtype(layers.Layer):
    """Keeps the dtype that it computes in, and converts to it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.precision = self.compute_dtype

    def call(self, inputs):
        return ops.cast(inputs, self.precision)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, self.precision)


def test_attributes_that_follow_from_the_policy():
    x = image()
    layer = RemembersDtype(dtype="mixed_float16", name="own")
    copy = with_dtype_policy(keras.Model(x, layer(x)), "float32")
    assert copy.get_layer("own").precision == "float32"
    assert copy.output.dtype == "float32"


def test_integers_stay():
    pytest.importorskip("tensorflow", reason="Keras' lookups need it")
    x = keras.Input((4,), dtype="int64")
    y = layers.IntegerLookup(vocabulary=[3, 5, 7], name="lookup")(x)
    y = layers.Identity(dtype="int64", name="integers")(y)
    y = layers.Embedding(5, 6, name="embedding")(y)
    model = keras.Model(x, layers.Dense(2)(y))
    copy = with_dtype_policy(model, "mixed_float16")
    assert copy.get_layer("lookup").output.dtype == "int64"
    assert copy.get_layer("integers").dtype_policy.name == "int64"
    assert copy.get_layer("embedding").compute_dtype == "float16"


# Errors


# `quantize` fails on the others.
@pytest.mark.backend("tensorflow", "torch", "jax")
def test_quantized_layers_are_refused():
    x = image()
    model = keras.Model(x, head(convolution("conv")(x)))
    model.get_layer("head").quantize("int8")
    with pytest.raises(ValueError, match=r"'head' is quantized \(int8"):
        with_dtype_policy(model, "mixed_float16")
    copy = with_dtype_policy(
        model, lambda x: None if x.name == "head" else "mixed_float16"
    )
    assert copy.get_layer("conv").compute_dtype == "float16"
    assert copy.get_layer("head").dtype_policy.name == "int8_from_float32"
    assert distance(predictions(model), predictions(copy)) < 0.1


WRONG = {
    "type": (TypeError, "`policy` must be the name", 16),
    "class": (TypeError, "`policy` must be the name", keras.DTypePolicy),
    "map": (
        TypeError,
        "`policy` must be the name",
        keras.dtype_policies.DTypePolicyMap(),
    ),
    "unknown": (ValueError, "such as 'float32'", "mixed_float17"),
    "quantized": (ValueError, "`model.quantize`", "int8_from_float32"),
    "integers": (ValueError, "floating-point numbers", "int32"),
    "callable": (TypeError, "`policy` must be the name", lambda layer: 16),
}


@pytest.mark.parametrize(
    ("error", "message", "policy"), WRONG.values(), ids=WRONG
)
def test_a_wrong_policy(error, message, policy):
    with pytest.raises(error, match=message):
        with_dtype_policy(operations(), policy)


def test_no_model():
    with pytest.raises(TypeError, match="must be a Keras model"):
        with_dtype_policy(convolution("conv"), "float32")


def test_a_model_in_a_sequential_model():
    model = nested_in_sequential()
    copy = with_dtype_policy(model, "mixed_float16")
    assert type(copy) is keras.Sequential
    x = sample(model)
    assert np.isfinite(predictions(copy, x)).all()
