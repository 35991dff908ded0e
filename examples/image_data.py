"""
Title: The images that the examples learn from
Date created: 2026/11/21
Description: Digits from scikit-learn, or Fashion-MNIST from Keras or a folder.

Not an example itself: `transfer_learning.py` and `ablation.py` import it. Both
data sets are a tuple `(train_images, train_labels, test_images, test_labels)`
of ten classes, with images `(samples, height, width, 1)` between 0 and 1.
"""

import gzip
import math
import zlib
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SMALLEST_CLASS = 10  # of a training or test set from a folder
DIGITS = [f"digit {digit}" for digit in range(10)]
FASHION = [
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
]
# In the order in which `keras.datasets` returns them.
IDX_FILES = (
    ("train-images-idx3-ubyte", 3),
    ("train-labels-idx1-ubyte", 1),
    ("t10k-images-idx3-ubyte", 3),
    ("t10k-labels-idx1-ubyte", 1),
)


def load_data(dataset, folder=None):
    """The four arrays of a data set, and the names of its classes."""
    if dataset == "digits":
        return scikit_digits(), DIGITS
    arrays = downloaded_fashion() if folder is None else fashion_from(folder)
    train_images, train_labels, test_images, test_labels = arrays
    return (
        scaled(train_images, 255),
        train_labels,
        scaled(test_images, 255),
        test_labels,
    ), FASHION


def subset(images, labels, classes, per_class, rng):
    """At most so many images of each of these classes, labeled 0, 1, 2 ..."""
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:per_class]
        for label in classes
    ]
    new_labels = np.repeat(range(len(classes)), [len(some) for some in chosen])
    return images[np.concatenate(chosen)], new_labels


def scikit_digits():
    digits = load_digits()
    # One split for all runs: the test images are never trained on.
    train_images, test_images, train_labels, test_labels = train_test_split(
        scaled(digits.images, 16),
        digits.target,
        test_size=0.5,
        stratify=digits.target,
        random_state=0,
    )
    return train_images, train_labels, test_images, test_labels


def scaled(images, largest):
    return (images[..., np.newaxis] / largest).astype("float32")


def downloaded_fashion():
    try:
        train, test = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare one.
        raise OSError(
            f"Fashion-MNIST could not be downloaded: {error}. If you have its "
            "four IDX files, pass their folder as --data-dir."
        ) from error
    return *train, *test


def fashion_from(folder):
    """The four arrays of Fashion-MNIST, from the IDX files in a folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"--data-dir {folder} is not a folder")
    train_images, train_labels, test_images, test_labels = arrays = [
        read_idx(find_idx(folder, name), rank) for name, rank in IDX_FILES
    ]
    for part, images, labels in (
        ("training", train_images, train_labels),
        ("test", test_images, test_labels),
    ):
        check_pair(f"the {part} files in {folder}", images, labels)
    return arrays


def find_idx(folder, name):
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ValueError(f"{folder} has neither {name} nor {name}.gz")


def read_idx(path, rank):
    """An array of bytes from an IDX file, gzipped or not.

    The header is two zeros, 8 for bytes, the rank, and then each dimension as
    four bytes, the highest first.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    magic, start = bytes([0, 0, 8, rank]), 4 + 4 * rank
    if content[:4] != magic:
        raise ValueError(
            f"{path} is not an IDX file of bytes of rank {rank}: it starts "
            f"with {content[:4].hex(' ') or 'nothing'}, not {magic.hex(' ')}"
        )
    shape = tuple(
        int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)
    )
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise ValueError(
            f"{path} is {'truncated' if len(content) < expected else 'wrong'}: "
            f"{len(content)} bytes, but its header says shape {shape}, which "
            f"makes {expected}"
        )
    return np.frombuffer(content, "uint8", offset=start).reshape(shape)


def check_pair(what, images, labels):
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{what}: images of {images.shape[1:]}, not (28, 28)")
    if len(images) != len(labels):
        raise ValueError(
            f"{what}: {len(images)} images, but {len(labels)} labels"
        )
    counts = np.bincount(labels, minlength=10)
    if len(counts) > 10:
        raise ValueError(f"{what}: label {labels.max()}, but 9 is the largest")
    if counts.min() < SMALLEST_CLASS:
        raise ValueError(
            f"{what}: {counts.min()} images of class {counts.argmin()}, but "
            f"each class needs {SMALLEST_CLASS}"
        )
