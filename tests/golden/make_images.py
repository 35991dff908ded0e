"""Write what timm makes of an image: `pillow.npz`.

python tests/golden/make_images.py     # where timm is installed
"""

import pathlib
import sys

import numpy as np
from PIL import Image
from timm.data import create_transform

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from support.prepared_images import CASES, image, key


def prepared(shape, size, crop, interpolation):
    """As timm evaluates, before the normalization: whole numbers."""
    transform = create_transform(
        input_size=(3, size, size),
        crop_pct=crop,
        interpolation=interpolation,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    pixels = 255 * transform(Image.fromarray(image(shape))).numpy()
    return np.round(pixels).astype("uint8").transpose(1, 2, 0)


def main():
    np.savez_compressed(
        HERE / "pillow.npz", **{key(case): prepared(*case) for case in CASES}
    )


if __name__ == "__main__":
    main()
