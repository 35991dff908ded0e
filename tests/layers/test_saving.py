"""Files and copies compute the same as the layers they were made from."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from support.configurations import (
    CONFIGURATIONS,
    over_configurations,
    over_configurations_and_formats,
    randomize,
)

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

# Eight channels in either data format.
SHAPE = (8, 5, 8)


def one_layer(layer_class, arguments, data_format="channels_last"):
    inputs = keras.Input(SHAPE)
    layer = layer_class(data_format=data_format, **arguments)
    model = keras.Model(inputs, layer(inputs, return_attention_scores=True))
    randomize(layer)
    return model


def nested():
    """A model in a model, with the same layer used twice."""
    shared = SqueezeExcite(2, data_format="channels_last", name="shared")
    inner_inputs = keras.Input(SHAPE)
    inner = keras.Model(
        inner_inputs,
        shared(EfficientChannelAttention()(shared(inner_inputs))),
        name="inner",
    )
    inputs = keras.Input(SHAPE)
    x = inner(SqueezeExcite(4, use_bias=True)(inputs))
    model = keras.Model(inputs, inner(EfficientChannelAttention(5)(x)))
    for seed, layer in enumerate([*model.layers, *inner.layers]):
        if layer is not inner:
            randomize(layer, seed)
    return model


def sequential():
    model = keras.Sequential(
        [keras.Input(SHAPE), SqueezeExcite(2), EfficientChannelAttention()]
    )
    for layer in model.layers:
        randomize(layer)
    return model


def sample():
    return np.random.default_rng(7).normal(size=(3, *SHAPE)).astype("float32")


def predictions(model):
    outputs = model(sample())
    return [ops.convert_to_numpy(y) for y in keras.tree.flatten(outputs)]


def assert_same(first, second):
    for expected, actual in zip(
        predictions(first), predictions(second), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@over_configurations_and_formats
def test_keras_file(tmp_path, layer_class, arguments, data_format):
    model = one_layer(layer_class, arguments, data_format)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert_same(model, loaded)
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()


@pytest.mark.parametrize("build", [nested, sequential])
def test_keras_file_of_larger_models(tmp_path, build):
    model = build()
    model.save(tmp_path / "model.keras")
    assert_same(model, keras.models.load_model(tmp_path / "model.keras"))


@over_configurations
def test_hdf5_file(tmp_path, layer_class, arguments):
    """Keras reads some strings of these files as functions of that name."""
    model = one_layer(layer_class, arguments)
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    assert_same(model, loaded)
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()


@pytest.mark.parametrize("build", [nested, sequential])
def test_weights_file(tmp_path, build):
    model, other = build(), build()
    for weight in other.weights:
        weight.assign(np.zeros(weight.shape))
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(model, other)


@over_configurations
def test_model_from_json(layer_class, arguments):
    model = one_layer(layer_class, arguments)
    copy = keras.models.model_from_json(model.to_json())
    copy.set_weights(model.get_weights())
    assert_same(model, copy)


@over_configurations
def test_config_is_plain_json(layer_class, arguments):
    layer = layer_class(**arguments)
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize("build", [nested, sequential])
def test_clone_model(build):
    model = build()
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    assert_same(model, copy)


def test_shared_layer_is_still_shared(tmp_path):
    model = nested()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == len(model.weights)
    inner = loaded.get_layer("inner")
    assert len(inner.get_layer("shared")._inbound_nodes) == 2


def test_inside_a_subclassed_model(tmp_path):
    @keras.saving.register_keras_serializable("tests")
    class Subclassed(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.attention = SqueezeExcite(2)
            self.blocks = [EfficientChannelAttention(), SqueezeExcite(4)]

        def build(self, input_shape):
            for layer in (self.attention, *self.blocks):
                layer.build(input_shape)

        def call(self, inputs):
            x = self.attention(inputs)
            for block in self.blocks:
                x = block(x)
            return x

    model = Subclassed()
    assert len(predictions(model)) == 1
    for layer in (model.attention, *model.blocks):
        randomize(layer)
    model.save(tmp_path / "model.keras")
    assert_same(model, keras.models.load_model(tmp_path / "model.keras"))


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "name", ["se_bias", "eca", "eca_ns", "linear_groups_bias_identity"]
)
def test_keras_file_of_other_precisions(tmp_path, policy, name):
    layer_class, arguments = CONFIGURATIONS[name]
    model = one_layer(layer_class, {**arguments, "dtype": policy})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].dtype_policy.name == policy
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        assert weight.dtype == other.dtype
        np.testing.assert_array_equal(
            ops.convert_to_numpy(ops.cast(weight, "float32")),
            ops.convert_to_numpy(ops.cast(other, "float32")),
        )


def test_a_file_keeps_its_data_format(tmp_path):
    keras.config.set_image_data_format("channels_first")
    inputs = keras.Input((8, 4, 5))
    model = keras.Model(inputs, SqueezeExcite(reduction=4)(inputs))
    model.save(tmp_path / "model.keras")
    keras.config.set_image_data_format("channels_last")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].data_format == "channels_first"


@pytest.mark.training
def test_training_goes_on_after_loading(tmp_path):
    x = sample()
    model = sequential()
    model.compile("sgd", "mse")
    model.fit(x, 2 * x, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    before = loaded.evaluate(x, 2 * x, verbose=0)
    np.testing.assert_allclose(
        before, model.evaluate(x, 2 * x, verbose=0), rtol=1e-5
    )
    loaded.fit(x, 2 * x, epochs=5, verbose=0)
    assert loaded.evaluate(x, 2 * x, verbose=0) < before
