"""Every pipeline of data gives what arrays give to `fit` and scores."""

import grain
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from distribution.training import (
    BATCH,
    assert_equal,
    batches,
    compiled,
    network_named,
)

from keras_channel_attn import attention_scores, models

# The last batch is smaller.
SAMPLES = 3 * BATCH + 2


@pytest.fixture
def arrays():
    x, y = batches(network_named("se"))
    return np.concatenate(x)[:SAMPLES], np.concatenate(y)[:SAMPLES]


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y, **kwargs):
        super().__init__(**kwargs)
        self.arrays = x, y

    def __len__(self):
        return -(-len(self.arrays[0]) // BATCH)

    def __getitem__(self, index):
        part = slice(index * BATCH, (index + 1) * BATCH)
        return tuple(array[part] for array in self.arrays)


def tf_data(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).prefetch(2)


def py_dataset(x, y):
    return Batches(x, y, workers=2)


def data_loader(x, y):
    dataset = torch.utils.data.TensorDataset(
        torch.from_numpy(x), torch.from_numpy(y)
    )
    # A fork of a process with JAX or TensorFlow in it may hang.
    return torch.utils.data.DataLoader(
        dataset, BATCH, num_workers=2, multiprocessing_context="spawn"
    )


def grain_dataset(x, y):
    source = grain.MapDataset.source(list(zip(x, y, strict=True)))
    return source.batch(BATCH).to_iter_dataset()


PIPELINES = [tf_data, py_dataset, data_loader, grain_dataset]
# Keras takes the end of a Grain dataset, of which it knows no length, for an
# interruption; so it does with a network of one Dense layer.
ignore_end_of_grain = pytest.mark.filterwarnings(
    "ignore:Your input ran out of data:UserWarning"
)
over_pipelines = pytest.mark.parametrize(
    "pipeline", PIPELINES, ids=lambda pipeline: pipeline.__name__
)


@over_pipelines
@ignore_end_of_grain
def test_fit(arrays, pipeline):
    # All batches are equal: `fit` promises no order with several workers.
    arrays = [np.tile(a[:BATCH], (4, *[1] * (a.ndim - 1))) for a in arrays]
    expected = compiled(network_named("se"))
    expected.fit(*arrays, batch_size=BATCH, shuffle=False, verbose=0)
    network = compiled(network_named("se"))
    network.fit(pipeline(*arrays), shuffle=False, verbose=0)
    assert_equal(network, expected)


@over_pipelines
@ignore_end_of_grain
def test_attention_scores(arrays, pipeline):
    network = network_named("se")
    expected = attention_scores(network, arrays[0], verbose=0)["se"]
    scores = attention_scores(network, pipeline(*arrays), verbose=0)["se"]
    assert expected.shape == (SAMPLES, 16)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


# Photographs of several sizes in folders, as `image_dataset_from_directory`
# reads them, prepared in the pipeline and in the network.
@pytest.fixture
def photographs(tmp_path, rng):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(3):
            image = rng.uniform(0, 255, (40 + 4 * number, 48, 3))
            keras.utils.save_img(
                tmp_path / label / f"{number}.png", image, scale=False
            )
    return keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(48, 48), batch_size=4, shuffle=False, verbose=0
    )


def test_photographs_in_folders(photographs):
    prepare = models.ImagePreprocessing(size=32)
    network = models.SEResNet18(input_shape=(32, 32, 3), classes=2)
    classifier = keras.Sequential([prepare, network])
    expected = classifier.predict(photographs, verbose=0)
    prepared = photographs.map(lambda images, labels: (prepare(images), labels))
    predicted = network.predict(prepared, verbose=0)
    assert expected.shape == (6, 2)
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-4)

    scores = attention_scores(network, prepared, verbose=0)
    assert {len(value) for value in scores.values()} == {6}
    network.compile("sgd", "sparse_categorical_crossentropy")
    network.fit(prepared, shuffle=False, verbose=0)
