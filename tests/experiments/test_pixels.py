"""Labels of pixels, and four images in one."""

import numpy as np
import pytest

from experiments.data import load_data
from experiments.pixels import IGNORED, labeled_pixels, load_task, mosaics


def test_label_of_a_pixel_is_that_of_its_digit():
    images, labels, _, _ = load_data("digits")
    large, pixels = labeled_pixels(images, labels, enlargement=2)
    assert large.shape == (len(images), 16, 16, 1)
    np.testing.assert_array_equal(large[:, ::2, 1::2], images)
    strokes = large[..., 0] > 0.3
    assert strokes.any(axis=(1, 2)).all()
    for image in range(len(images)):
        assert set(pixels[image][strokes[image]]) == {labels[image]}
    assert set(pixels[~strokes]) == {IGNORED}


def test_larger_images_are_halved(rng):
    images = rng.random((3, 28, 28, 1))
    small, pixels = labeled_pixels(images, np.array([4, 5, 6]))
    assert small.shape == (3, 14, 14, 1)
    assert pixels.shape == (3, 14, 14)
    np.testing.assert_allclose(small[1, 2, 3], images[1, 4:6, 6:8].mean())


def test_mosaic_of_four():
    images = np.arange(9 * 4).reshape(9, 2, 2)
    joined = mosaics(images)
    assert joined.shape == (2, 4, 4)  # The ninth is left over.
    np.testing.assert_array_equal(joined[1, :2, :2], images[4])
    np.testing.assert_array_equal(joined[1, :2, 2:], images[5])
    np.testing.assert_array_equal(joined[1, 2:, :2], images[6])
    np.testing.assert_array_equal(joined[1, 2:, 2:], images[7])


def test_mosaics_have_the_pixels_of_the_digits():
    images, labels, _, _ = load_task("pixels", "digits")
    large, large_labels, _, _ = load_task("mosaic", "digits")
    assert large.shape == (224, 16, 16, 1)
    assert large_labels.shape == (224, 16, 16)
    np.testing.assert_array_equal(large[1, :8, :8], images[4])
    np.testing.assert_array_equal(large_labels[1, :8, 8:], labels[5])


@pytest.mark.parametrize("per_class", [7, 1000])
def test_images_per_class(per_class):
    _, labels, _, test_labels = load_task("classes", "digits", per_class)
    _, all_labels, _, all_test_labels = load_data("digits")
    for ours, everything in (
        (labels, all_labels),
        (test_labels, all_test_labels),
    ):
        counts = np.minimum(np.bincount(everything), per_class)
        np.testing.assert_array_equal(np.bincount(ours), counts)
        assert np.any(np.diff(ours) < 0)  # Not sorted by class.
