"""`model.quantize("int8")` of Keras passes the attention over."""

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import distance, predictions, randomize

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite


def network():
    inputs = keras.Input((4, 4, 8))
    x = layers.Dense(8, activation="relu", name="dense")(inputs)
    x = SqueezeExcite(2, data_format="channels_last", name="se")(x)
    x = EfficientChannelAttention(3, data_format="channels_last", name="eca")(x)
    return randomize(keras.Model(inputs, x))


def quantized(model):
    # Keras says which layers it skips, in words that change.
    with pytest.warns(UserWarning, match="quantiz"):
        model.quantize("int8")
    return model


@pytest.mark.backend("tensorflow", "torch", "jax")
def test_only_the_dense_layer_is_quantized():
    model = network()
    expected = predictions(model)
    weights = model.get_layer("se").get_weights()
    quantized(model)
    assert model.get_layer("dense").quantization_mode == "int8"
    for name in ("se", "eca"):
        assert model.get_layer(name).dtype_policy.name == "float32"
    for weight, other in zip(
        weights, model.get_layer("se").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weight, other)
    # Two matrices of 8 bits: a step is 1/127 of the largest number.
    assert distance(expected, predictions(model)) < 3 / 127


@pytest.mark.backend("tensorflow", "torch", "jax")
def test_quantized_network_is_saved_and_loaded(tmp_path):
    model = quantized(network())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("dense").quantization_mode == "int8"
    assert distance(predictions(model), predictions(loaded)) < 1e-6
