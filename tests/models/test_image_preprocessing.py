"""Image preprocessing, compared with timm's, which uses Pillow."""

import pathlib

import keras
import numpy as np
import pytest
from support.prepared_images import CASES, image, key

from keras_channel_attn import models
from keras_channel_attn.models import ImagePreprocessing

PILLOW = np.load(pathlib.Path(__file__).parents[1] / "golden" / "pillow.npz")
PLAIN = {"mean": (0, 0, 0), "standard_deviation": (1, 1, 1)}


def pixels(outputs):
    """The outputs as integers from 0 to 255."""
    return np.round(255 * keras.ops.convert_to_numpy(outputs)).astype(int)


def assert_same_pixels(actual, expected):
    """A few may differ by one, where the exact value is a half."""
    differences = np.abs(actual - expected.astype(int))
    assert differences.max() <= 1
    assert differences.mean() < 0.02


@pytest.mark.parametrize("case", CASES, ids=key)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_pixels(case, data_format):
    shape, size, crop, interpolation = case
    layer = ImagePreprocessing(
        size, crop, interpolation, **PLAIN, data_format=data_format
    )
    x = image(shape)[None]
    if data_format == "channels_first":
        y = pixels(layer(x.transpose(0, 3, 1, 2))).transpose(0, 2, 3, 1)
    else:
        y = pixels(layer(x))
    assert_same_pixels(y[0], PILLOW[key(case)])


def test_normalization():
    layer = ImagePreprocessing(
        8,
        1.0,
        mean=(0.1, 0.2, 0.3),
        standard_deviation=(1, 2, 4),
        data_format="channels_last",
    )
    y = layer(np.full((1, 8, 8, 3), 51))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(y)[0, 3, 4], [0.1, 0, -0.025], atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_any_number_is_a_pixel(dtype):
    layer = ImagePreprocessing(16, data_format="channels_last")
    x = image((30, 30))[None]
    expected = keras.ops.convert_to_numpy(layer(x.astype("float32")))
    actual = keras.ops.convert_to_numpy(layer(x.astype(dtype)))
    np.testing.assert_array_equal(actual, expected)


def test_computes_in_float32_under_a_smaller_policy():
    exact = ImagePreprocessing(16, data_format="channels_last")
    mixed = ImagePreprocessing(
        16, data_format="channels_last", dtype="mixed_bfloat16"
    )
    x = image((30, 30))[None]
    y = mixed(x.astype("float32"))
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(keras.ops.cast(y, "float32")),
        keras.ops.convert_to_numpy(
            keras.ops.cast(keras.ops.cast(exact(x), "bfloat16"), "float32")
        ),
    )


def test_in_front_of_a_network_and_in_a_file(tmp_path):
    """For images of unknown size."""
    inputs = keras.Input((None, None, 3), dtype="uint8")
    prepare = ImagePreprocessing(32, **PLAIN, data_format="channels_last")
    prepared = prepare(inputs)
    x = keras.layers.Conv2D(4, 3, data_format="channels_last")(prepared)
    x = keras.layers.GlobalAveragePooling2D("channels_last")(x)
    model = keras.Model(inputs, [prepared, x])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for shape in ((40, 50), (64, 33)):
        x = image(shape)[None]
        compiled, outputs = model.predict_on_batch(x)
        assert outputs.shape == (1, 4)
        for actual, expected in zip(
            loaded.predict_on_batch(x), (compiled, outputs), strict=True
        ):
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
        # Compiled, for an unknown size, or neither.
        compiled, eager = pixels(compiled), pixels(prepare(x))
        if keras.config.backend() == "openvino":
            # It compiles for bfloat16 where the CPU has that.
            assert np.abs(compiled - eager).max() <= 2
        else:
            assert_same_pixels(compiled, eager)


@pytest.mark.backend("tensorflow")
def test_inside_a_pipeline_of_tensorflow():
    import tensorflow as tf

    layer = ImagePreprocessing(16, data_format="channels_last")
    arrays = [image((40, 50)), image((33, 30))]
    pipeline = tf.data.Dataset.from_generator(
        lambda: iter(arrays), output_signature=tf.TensorSpec((None, None, 3))
    ).map(lambda x: layer(x[None])[0])
    for actual, x in zip(pipeline, arrays, strict=True):
        np.testing.assert_allclose(
            actual, layer(x[None])[0], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "`size`"),
        ({"size": 2.5}, TypeError, "`size`"),
        ({"crop": 1.2}, ValueError, "`crop`"),
        ({"crop": 0}, ValueError, "`crop`"),
        ({"interpolation": "nearest"}, ValueError, "`interpolation`"),
        ({"mean": 0.5}, TypeError, "`mean`"),
        ({"mean": "0.5"}, TypeError, "`mean`"),
        ({"mean": ("0.5", 0, 0)}, TypeError, r"`mean\[0\]`"),
        ({"standard_deviation": (1, 0, 1)}, ValueError, r"deviation\[1\]`"),
        ({"mean": (0.5, 0.5)}, ValueError, "for each channel"),
        ({"data_format": "NHWC"}, ValueError, "`data_format`"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ImagePreprocessing(**arguments)


def test_numbers_of_numpy_are_stored_as_those_of_python():
    layer = ImagePreprocessing(
        np.int64(8), np.float64(0.5), mean=np.zeros(1), standard_deviation=[1]
    )
    config = layer.get_config()
    assert (config["size"], config["crop"], config["mean"]) == (8, 0.5, (0.0,))
    assert type(config["size"]) is int
    assert {type(config["crop"]), type(config["mean"][0])} == {float}


@pytest.mark.parametrize("shape", [(8, 8, 3), (1, 8, 8, 4), (1, 3, 8, 8)])
def test_what_is_no_batch_of_images(shape):
    layer = ImagePreprocessing(8, data_format="channels_last")
    with pytest.raises(ValueError, match="a batch of images with 3 channels"):
        layer(np.zeros(shape))


def test_an_image_without_a_pixel():
    layer = ImagePreprocessing(8, data_format="channels_last")
    with pytest.raises(ValueError, match="at least one pixel"):
        layer(np.zeros((1, 8, 0, 3)))


# timm 1.0.31's `default_cfgs`, the test settings where there are any.
KNOWN = {
    "seresnet50": (288, 1.0, "bicubic", 0.485),
    "seresnet50.ra2_in1k": (288, 0.95, "bicubic", 0.485),
    "legacy_seresnet50": (224, 0.875, "bilinear", 0.485),
    "resnetrs50": (224, 0.91, "bicubic", 0.485),
    "resnet18d.ra4_e3600_r224_in1k": (288, 1.0, "bicubic", 0.5),
}


@pytest.mark.parametrize(("name", "expected"), KNOWN.items(), ids=KNOWN)
def test_of_a_published_checkpoint(name, expected):
    layer = models.preprocessing(name)
    assert (layer.size, layer.crop, layer.interpolation, layer.mean[0]) == (
        expected
    )


def test_of_a_published_checkpoint_in_another_size():
    layer = models.preprocessing("timm/seresnet50.ra2_in1k", size=96)
    assert (layer.size, layer.crop, layer.mean[0]) == (96, 0.95, 0.485)
    with pytest.raises(ValueError, match=r"`size` must be .*Received: size=0"):
        models.preprocessing("seresnet50", size=0)


@pytest.mark.parametrize("name", ["seresnet18", "seresnet50.ra9", None])
def test_of_no_published_checkpoint(name):
    with pytest.raises(ValueError, match="No checkpoint is published"):
        models.preprocessing(name)
