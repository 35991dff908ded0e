"""Dense prediction: each pixel of an object has the class of the object.

The label of all other pixels is `IGNORED`: they count neither in the loss nor
in the accuracy.
"""

from functools import cache

import numpy as np

from experiments.data import CLASSES, load_data, subset

IGNORED = -1
OBJECT = 0.3  # Pixels that are brighter belong to the object.
TASKS = ("classes", "pixels", "mosaic")


@cache
def load_task(task, dataset, images_per_class=None, enlargement=1):
    """Training images, training labels, test images, test labels.

    Args:
        task: `"classes"`, one label for each image; `"pixels"`, one for each
            pixel of an object; or `"mosaic"`, the same with four objects in
            one image.
        dataset: See `load_data`.
        images_per_class: Integer, how many images of each class are used at
            most, in training and in the test. `None` uses all.
        enlargement: Integer, how often each pixel is repeated in both
            directions, for labels of pixels.
    """
    arrays = load_data(dataset)
    parts = [arrays[:2], arrays[2:]]
    if images_per_class is not None:
        parts = [at_most(images_per_class, *part) for part in parts]
    if task != "classes":
        parts = [labeled_pixels(*part, enlargement) for part in parts]
    if task == "mosaic":
        parts = [map(mosaics, part) for part in parts]
    return tuple(array for part in parts for array in part)


def at_most(images_per_class, images, labels):
    """The same images of each class for all runs, in random order."""
    rng = np.random.default_rng(0)
    images, labels = subset(
        images, labels, range(CLASSES), images_per_class, rng
    )
    order = rng.permutation(len(images))
    return images[order], labels[order]


def labeled_pixels(images, labels, enlargement=1):
    """Images with a label for each pixel. Those of 28x28 are halved first."""
    if images.shape[1] == 28:
        rows = (images[:, ::2] + images[:, 1::2]) / 2
        images = (rows[:, :, ::2] + rows[:, :, 1::2]) / 2
    images = images.repeat(enlargement, axis=1).repeat(enlargement, axis=2)
    objects = images[..., 0] > OBJECT
    return images, np.where(objects, labels[:, None, None], IGNORED)


def mosaics(array):
    """Four in one: two above, two below. What is left over is dropped."""
    whole = len(array) // 4 * 4
    corners = [array[corner:whole:4] for corner in range(4)]
    rows = [np.concatenate(pair, axis=2) for pair in (corners[:2], corners[2:])]
    return np.concatenate(rows, axis=1)
