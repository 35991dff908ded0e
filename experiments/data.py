"""The images of the studies: scikit-learn's digits, or Fashion-MNIST.

A data set is four arrays: training images, training labels, test images, test
labels. Images are `(samples, height, width, 1)` with values from 0 to 1, in ten
classes.
"""

import gzip
import math
import zlib
from functools import cache
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

CLASSES = 10
SMALLEST_CLASS = 10  # images, in a training or test set from a folder


@cache
def load_data(dataset):
    """The four arrays of a data set.

    Args:
        dataset: `"digits"`, `"fashion_mnist"` (downloaded by Keras), or the
            path of a folder with the four IDX files of Fashion-MNIST.
    """
    if dataset == "digits":
        return digits()
    if dataset == "fashion_mnist":
        arrays = downloaded_fashion_mnist()
    else:
        arrays = fashion_mnist_from(Path(dataset))
    train_images, train_labels, test_images, test_labels = arrays
    return (
        scaled(train_images, 255),
        train_labels,
        scaled(test_images, 255),
        test_labels,
    )


@cache
def description(dataset):
    """How many images a data set has, and a checksum of all four arrays."""
    arrays = load_data(dataset)
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return {
        "images": f"{len(arrays[0])}+{len(arrays[2])}",
        "data_crc32": f"{checksum:08x}",
    }


def subset(images, labels, classes, per_class, rng):
    """At most `per_class` images of each class, labeled 0, 1, 2 ..."""
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:per_class]
        for label in classes
    ]
    new_labels = np.repeat(range(len(classes)), [len(part) for part in chosen])
    return images[np.concatenate(chosen)], new_labels


def digits():
    bunch = load_digits()
    # One split for all runs: no test image is ever trained on.
    train_images, test_images, train_labels, test_labels = train_test_split(
        scaled(bunch.images, 16),
        bunch.target,
        test_size=0.5,
        stratify=bunch.target,
        random_state=0,
    )
    return train_images, train_labels, test_images, test_labels


def scaled(images, largest):
    return (images[..., np.newaxis] / largest).astype("float32")


def downloaded_fashion_mnist():
    try:
        train, test = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare `Exception`.
        raise OSError(
            f"Fashion-MNIST could not be downloaded: {error}. If you have its "
            "four IDX files, pass their folder as --data-dir."
        ) from error
    return *train, *test


def fashion_mnist_from(folder):
    """The four arrays of the IDX files in a folder, gzipped or not."""
    if not folder.is_dir():
        raise ValueError(f"--data-dir {folder} is not a folder")
    arrays = []
    for part in ("train", "t10k"):
        images = read_idx(folder, f"{part}-images-idx3-ubyte", 3)
        labels = read_idx(folder, f"{part}-labels-idx1-ubyte", 1)
        check_pair(f"the {part} files in {folder}", images, labels)
        arrays += [images, labels]
    return arrays


def read_idx(folder, name, rank):
    """An array of bytes.

    The header is two zeros, 8 for bytes, the rank, and then each dimension as
    four bytes, the highest first.
    """
    path = folder / name
    try:
        if path.is_file():
            content = path.read_bytes()
        else:
            content = gzip.decompress((folder / f"{name}.gz").read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{folder} needs a readable {name} or {name}.gz: {error}"
        ) from error
    start = 4 + 4 * rank
    header = content[:start].ljust(start, b"\0")
    shape = tuple(np.frombuffer(header[4:], ">u4").tolist())
    whole = len(content) == start + math.prod(shape)
    if header[:4] != bytes([0, 0, 8, rank]) or not whole:
        raise ValueError(
            f"{path} is not an IDX file of bytes of rank {rank}, or is not "
            f"complete: {len(content)} bytes, shape {shape} in its header"
        )
    return np.frombuffer(content, "uint8", offset=start).reshape(shape)


def check_pair(files, images, labels):
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{files}: images of {images.shape[1:]}, not (28, 28)")
    if len(images) != len(labels):
        raise ValueError(
            f"{files}: {len(images)} images, but {len(labels)} labels"
        )
    counts = np.bincount(labels, minlength=CLASSES)
    if len(counts) > CLASSES:
        raise ValueError(f"{files}: label {labels.max()}, but 9 is the largest")
    if counts.min() < SMALLEST_CLASS:
        raise ValueError(
            f"{files}: {counts.min()} images of class {counts.argmin()}, but "
            f"each class needs {SMALLEST_CLASS}"
        )
