"""The convolution of networks without normalization."""

import keras
import numpy as np
import pytest
from support import reference
from support.networks import predictions, randomize

from keras_channel_attn.models import ScaledStandardizedConv2D

# TensorFlow convolves no channels_first images on a CPU.
DATA_FORMATS = ["channels_last"]
if keras.config.backend() in ("torch", "jax"):
    DATA_FORMATS.append("channels_first")


def weights(rng, groups=1):
    kernel = rng.normal(0.3, 0.2, (3, 3, 6 // groups, 4)).astype("float32")
    return [kernel, *rng.normal(size=(2, 4)).astype("float32")]


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("groups", [1, 2])
def test_formula(rng, groups, data_format):
    x = rng.normal(size=(2, 5, 7, 6)).astype("float32")
    layer = ScaledStandardizedConv2D(
        4, 3, groups=groups, activation_gain=1.7, data_format=data_format
    )
    is_last = data_format == "channels_last"
    inputs = x if is_last else np.moveaxis(x, -1, 1)
    layer.build(inputs.shape)
    kernel, bias, gain = weights(rng, groups)
    layer.set_weights([kernel, bias, gain])
    kernel = reference.standardized_kernel(kernel, gain, 1.7)
    expected = reference.convolution(x, kernel, bias, groups)
    actual = keras.ops.convert_to_numpy(layer(inputs))
    np.testing.assert_allclose(
        actual if is_last else np.moveaxis(actual, 1, -1), expected, atol=1e-5
    )


def test_outputs_do_not_depend_on_the_mean_and_scale_of_kernels(rng):
    x = rng.normal(size=(2, 5, 7, 6)).astype("float32")
    layer = ScaledStandardizedConv2D(4, 3)
    layer.build(x.shape)
    kernel, bias, gain = weights(rng)
    layer.set_weights([kernel, bias, gain])
    expected = keras.ops.convert_to_numpy(layer(x))
    layer.set_weights([10 * kernel - 3, bias, gain])
    actual = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(actual, expected, atol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_policy(rng, policy):
    """The kernel is standardized in 32 bits."""
    x = rng.normal(size=(2, 5, 7, 6)).astype("float32")
    layers = [
        ScaledStandardizedConv2D(4, 3, dtype=dtype)
        for dtype in ("float32", policy)
    ]
    kernel, bias, gain = weights(rng)
    outputs = []
    for layer in layers:
        layer.build(x.shape)
        # Squares of these are zero in float16.
        layer.set_weights([1e-2 * kernel, bias, gain])
        outputs.append(layer(x))
    assert keras.backend.standardize_dtype(outputs[1].dtype) == policy[6:]
    expected, actual = (
        keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))
        for y in outputs
    )
    assert np.abs(actual - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("use_bias", [True, False])
def test_files(tmp_path, use_bias):
    """A convolution of Keras would save no gain."""
    inputs = keras.Input((5, 7, 6))
    layer = ScaledStandardizedConv2D(
        4,
        3,
        use_bias=use_bias,
        activation_gain=1.5,
        epsilon=1e-3,
        gain_initializer="zeros",
        data_format="channels_last",
    )
    model = randomize(keras.Model(inputs, layer(inputs)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[1].get_config() == layer.get_config()
    np.testing.assert_array_equal(predictions(loaded), predictions(model))


def test_file_of_a_model_that_is_not_built(tmp_path):
    """As Keras' own convolution, which such a file has no weights of."""
    model = keras.Sequential([ScaledStandardizedConv2D(4, 3)])
    with pytest.warns(UserWarning, match="not yet been built"):
        model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.layers[0].built


@pytest.mark.parametrize("initializer", [None, "onse"])
def test_wrong_initializers(initializer):
    with pytest.raises(ValueError, match="`gain_initializer`"):
        ScaledStandardizedConv2D(4, 3, gain_initializer=initializer)


@pytest.mark.training
def test_trains():
    """All three weights, and the kernel stays standardized."""
    inputs = keras.Input((5, 7, 6))
    layer = ScaledStandardizedConv2D(4, 3, data_format="channels_last")
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    before = layer.get_weights()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 7, 6)), rng.normal(size=(2, 3, 5, 4))
    model.train_on_batch(x, y)
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert not np.array_equal(old, new)


@pytest.mark.parametrize("argument", ["activation_gain", "epsilon"])
@pytest.mark.parametrize("value", [0, -1, "1", None])
def test_wrong_arguments(argument, value):
    with pytest.raises((TypeError, ValueError), match=f"`{argument}`"):
        ScaledStandardizedConv2D(4, 3, **{argument: value})
