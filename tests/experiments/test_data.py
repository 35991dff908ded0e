"""Fashion-MNIST from a folder, whole and damaged. The IDX files are ours."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from experiments.data import load_data, subset

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"


def idx(array):
    """The bytes of an IDX file."""
    header = bytes([0, 0, 8, array.ndim])
    header += b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype("uint8").tobytes()


@pytest.fixture
def folder(tmp_path, rng):
    """Noise as images, twelve of each class."""
    labels = np.repeat(np.arange(10), 12)
    for part in ("train", "t10k"):
        images = rng.integers(0, 256, (len(labels), 28, 28))
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(folder, zipped):
    content = (folder / TEST_IMAGES).read_bytes()
    if zipped:
        zip_as(folder / TEST_IMAGES, gzip.compress(content))
    train_images, train_labels, test_images, _ = load_data(str(folder))
    assert train_images.shape == (120, 28, 28, 1)
    assert list(np.bincount(train_labels)) == [12] * 10
    # What follows the header of 16 bytes.
    pixels = np.frombuffer(content[16:], "uint8") / 255
    np.testing.assert_allclose(test_images.ravel(), pixels, rtol=1e-6)


def zip_as(path, content):
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(content)


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def zeros(path, *shape):
    path.write_bytes(idx(np.zeros(shape)))


NOT_WHOLE = (
    "is not an IDX file of bytes of rank {}, or is not complete: {} bytes"
)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (TEST_IMAGES, Path.unlink, f"readable {TEST_IMAGES} or"),
        (TRAIN_IMAGES, lambda path: cut(path, 0), NOT_WHOLE.format(3, 0)),
        (TRAIN_IMAGES, lambda path: cut(path, 10), NOT_WHOLE.format(3, 10)),
        (TRAIN_IMAGES, lambda path: cut(path, -1), NOT_WHOLE.format(3, 94095)),
        (
            TRAIN_LABELS,
            lambda path: path.write_bytes(path.read_bytes() + b"\0"),
            NOT_WHOLE.format(1, 129),
        ),
        (TRAIN_LABELS, lambda path: zeros(path, 3, 28, 28), "of rank 1"),
        (
            TRAIN_LABELS,
            lambda path: path.write_bytes(b"<!DOCTYPE html>"),
            NOT_WHOLE.format(1, 15),
        ),
        (
            TRAIN_IMAGES,
            lambda path: zeros(path, 120, 8, 8),
            r"images of \(8, 8\), not \(28, 28\)",
        ),
        (TRAIN_LABELS, lambda path: zeros(path, 60), "120 images, but 60"),
        (
            TRAIN_LABELS,
            lambda path: zeros(path, 120),
            "0 images of class 1, but each class needs 10",
        ),
        (
            TRAIN_LABELS,
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x0a"),
            "label 10, but 9 is the largest",
        ),
        (
            TEST_IMAGES,
            lambda path: zip_as(path, b"no gzip"),
            f"{TEST_IMAGES}.gz: Not a gzipped file",
        ),
        (
            TEST_IMAGES,
            lambda path: zip_as(path, gzip.compress(b"x" * 99)[:-9]),
            f"{TEST_IMAGES}.gz: Compressed file ended",
        ),
        (
            TEST_IMAGES,
            lambda path: zip_as(path, gzip.compress(b"")[:10] + b"\xff" * 20),
            f"{TEST_IMAGES}.gz: Error",
        ),
    ],
)
def test_damaged_files(folder, name, damage, message):
    damage(folder / name)
    with pytest.raises(ValueError, match=message):
        load_data(str(folder))


def test_no_folder():
    with pytest.raises(ValueError, match="--data-dir absent is not a folder"):
        load_data("absent")


def test_no_download(monkeypatch):
    def load():
        raise Exception("URL fetch failure")  # As Keras does.

    monkeypatch.setattr("keras.datasets.fashion_mnist.load_data", load)
    with pytest.raises(OSError, match=r"failure\. If you have .* --data-dir"):
        load_data("fashion_mnist")


def test_subset_labels_classes_anew():
    labels = np.repeat(np.arange(4), 5)
    images = np.arange(20)
    chosen, new = subset(images, labels, [3, 1], 2, np.random.default_rng(0))
    assert list(new) == [0, 0, 1, 1]
    assert list(labels[chosen]) == [3, 3, 1, 1]
    assert len(set(chosen)) == 4
