"""Random weights for torch networks, derived from the names of the weights.

The same names give the same weights in every process. So the golden file stores
the outputs of a network, but not its weights.
"""

import zlib

import numpy as np


def few_blocks(name):
    """Depths of the networks in the golden file."""
    # timm's depthwise blocks cannot have shortcuts.
    return (1, 1, 1, 1) if name.endswith("_dw") else (1, 2, 1, 1)


def filled(shapes):
    """Dictionary from torch's names to arrays.

    Args:
        shapes: Mapping from the names to the shapes.
    """
    return {name: _numbers(name, shape) for name, shape in shapes.items()}


def projections(shapes):
    """Random arrays: the golden file stores each gradient as its product with
    one of them."""
    return {
        name: _generator("projection of " + name)
        .normal(size=shape)
        .astype("float32")
        for name, shape in shapes.items()
    }


def _numbers(name, shape):
    rng = _generator(name)
    if name.endswith("num_batches_tracked"):
        return np.array(1)
    noise = rng.random(shape, dtype="float32")
    if name.endswith("running_var"):
        return 0.5 + noise
    if name.endswith(("bias", "running_mean")):
        return noise - 0.5
    if len(shape) == 1:
        # Scales below one keep branches smaller than their shortcuts. Otherwise
        # rounding errors grow to one percent in a deep network.
        return 0.2 + 0.4 * noise
    seen = np.prod(shape[1:])
    return (noise - 0.5) * np.float32(np.sqrt(12 / seen))


def _generator(name):
    # Python's `hash` differs between processes.
    return np.random.default_rng(zlib.crc32(name.encode()))


def images(size, batch=2):
    """Random images, `(batch, 3, size, size)`."""
    rng = np.random.default_rng(size)
    return rng.normal(size=(batch, 3, size, size)).astype("float32")
