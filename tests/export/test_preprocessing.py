"""Image preprocessing in exported models, and in pipelines of `tf.data`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from export.files import ROWS, rows_of_this_backend
from keras import layers, ops
from support.networks import randomize
from support.prepared_images import image

from keras_channel_attn import SqueezeExcite, models
from keras_channel_attn.models import ImagePreprocessing

# The converters warn about much that is not ours.
ignore_warnings = pytest.mark.filterwarnings("ignore")
ROWS_HERE = rows_of_this_backend(ROWS)
# Converted by Keras for the one size of its example.
FIXED_SIZE = {("torch", "litert"), ("torch", "torch")}


def network(size):
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(8, 3, activation="relu")(inputs)
    x = layers.GlobalAveragePooling2D()(SqueezeExcite(4)(x))
    return keras.Model(inputs, layers.Dense(5)(x))


def assert_exported(prepare, image_shape, shapes, row, folder):
    """The exported model computes what Keras computes, for all `shapes`."""
    model = keras.Sequential(
        [keras.Input((*image_shape, 3)), prepare, network(prepare.size)]
    )
    randomize(model)
    batches = [
        np.stack([image(shape), image(shape)[::-1], image(shape)[:, ::-1]])
        for shape in shapes
    ]
    batches = [
        x[:batch].astype("float32")
        for x in batches
        for batch in row.batch_sizes()
    ]
    # Before the export: some formats refuse a model that was never called.
    outputs = [ops.convert_to_numpy(model(x)) for x in batches]
    run = row.read(row.write(model, folder))
    for x, expected in zip(batches, outputs, strict=True):
        np.testing.assert_allclose(
            run(x), expected, rtol=0, atol=1e-4 * expected.std()
        )


@ignore_warnings
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("row", ROWS_HERE, ids=str)
def test_export_for_one_image_size(row, interpolation, tmp_path):
    prepare = ImagePreprocessing(28, interpolation=interpolation)
    assert_exported(prepare, (60, 83), [(60, 83)], row, tmp_path)


@ignore_warnings
@pytest.mark.parametrize("row", ROWS_HERE, ids=str)
def test_export_of_a_published_preprocessing(row, tmp_path):
    prepare = models.preprocessing("legacy_seresnet18")
    assert_exported(prepare, (250, 300), [(250, 300)], row, tmp_path)


@ignore_warnings
@pytest.mark.parametrize(
    "row",
    [row for row in ROWS_HERE if row[:2] not in FIXED_SIZE],
    ids=str,
)
def test_export_for_every_image_size(row, tmp_path):
    shapes = [(60, 83), (83, 60), (20, 25)]
    assert_exported(ImagePreprocessing(28), (None, None), shapes, row, tmp_path)


def pipeline(data_format, *shapes):
    """A pipeline of batches of one image, whose size is unknown to it."""
    images = [image(shape)[None] for shape in shapes]
    known_shape = (1, None, None, 3)
    if data_format == "channels_first":
        images = [x.transpose(0, 3, 1, 2) for x in images]
        known_shape = (1, 3, None, None)
    return images, tf.data.Dataset.from_generator(
        lambda: iter(images),
        output_signature=tf.TensorSpec(known_shape, tf.uint8),
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_in_a_pipeline(data_format, interpolation):
    prepare = ImagePreprocessing(
        28, interpolation=interpolation, data_format=data_format
    )
    images, dataset = pipeline(data_format, (60, 83), (83, 60), (20, 25))
    dataset = dataset.map(prepare)
    output_shape = prepare.compute_output_shape(images[0].shape)
    assert dataset.element_spec == tf.TensorSpec(output_shape, tf.float32)
    for actual, x in zip(dataset, images, strict=True):
        expected = ops.convert_to_numpy(prepare(x))
        # On TensorFlow, weights for unknown sizes are computed in single
        # precision: of pixels that lie between two integers, a few may be
        # rounded to the other one.
        step = 1 / 255 / min(prepare.standard_deviation)
        np.testing.assert_allclose(actual, expected, atol=step + 1e-5)
        assert np.mean(np.abs(actual - expected) > 1e-5) <= 2e-3


def test_in_a_pipeline_of_batches_of_one_size():
    prepare = ImagePreprocessing(28)
    images = np.stack([image((60, 83)), image((60, 83))[::-1]])
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(2).map(prepare)
    np.testing.assert_allclose(
        next(iter(dataset)), ops.convert_to_numpy(prepare(images)), atol=1e-5
    )


def test_in_a_pipeline_under_a_smaller_policy():
    prepare = ImagePreprocessing(28, dtype="mixed_bfloat16")
    images, dataset = pipeline("channels_last", (60, 83))
    prepared = next(iter(dataset.map(prepare)))
    assert prepared.dtype == tf.bfloat16
    np.testing.assert_allclose(
        tf.cast(prepared, tf.float32),
        ops.convert_to_numpy(ops.cast(prepare(images[0]), "float32")),
        rtol=1e-2,
    )


# Keras': its own layers give it too.
@pytest.mark.filterwarnings("ignore:.build... was called on layer 'pipeline'")
def test_in_a_pipeline_of_layers():
    """After a layer of Keras, in the layer that Keras has for pipelines."""
    prepare = ImagePreprocessing(28)
    images, dataset = pipeline("channels_last", (60, 83))
    dataset = dataset.map(layers.Pipeline([layers.CenterCrop(50, 60), prepare]))
    cropped = images[0][:, 5:55, 11:71]
    np.testing.assert_allclose(
        next(iter(dataset)), ops.convert_to_numpy(prepare(cropped)), atol=1e-5
    )


def test_wrong_channels_in_a_pipeline():
    dataset = tf.data.Dataset.from_tensors(np.zeros((1, 8, 8, 4)))
    with pytest.raises(ValueError, match="a batch of images with 3 channels"):
        dataset.map(ImagePreprocessing(8))


def test_a_tensor_outside_a_graph_is_converted_to_the_backend():
    prepare, x = ImagePreprocessing(8), image((20, 25))[None]
    prepared = prepare(tf.constant(x))
    assert type(prepared) is type(prepare(x))
