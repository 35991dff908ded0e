"""Images, and how they are to be resized and cropped."""

import numpy as np

# Height and width, size, crop, interpolation: both orientations, odd and even
# margins, the crop of halves that are rounded down and up, enlarged, square.
CASES = (
    ((60, 83), 28, 0.875, "bicubic"),
    ((83, 60), 28, 0.875, "bilinear"),
    ((61, 100), 29, 0.95, "bicubic"),
    ((100, 61), 29, 1.0, "bilinear"),
    ((20, 25), 28, 0.9, "bicubic"),
    ((48, 48), 24, 0.8, "bilinear"),
    # Many pixels between two whole numbers.
    ((64, 64), 28, 0.875, "bilinear"),
)


def key(case):
    return " ".join(map(str, case))


def image(shape):
    """Waves and noise, `(height, width, 3)`, whole numbers."""
    height, width = shape
    y, x = np.mgrid[:height, :width, :1][:2]
    waves = np.sin(x / 5) * [1, 0.5, -1] + np.cos(y / 7) * [0.5, 1, 1]
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    return np.clip(127 + 60 * waves + noise, 0, 255).astype("uint8")
