"""Arrays of torch, with their axes in the order of Keras' weights.

Each function returns `None` for an array that has other axes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

# From torch's array to the array of a weight.
Arrange = Callable[[np.ndarray], np.ndarray | None]
# From torch's name of each weight to the weight, which is `None` if the layer
# does not have it, and the function that arranges torch's array for it.
TorchWeights = dict[str, tuple[Any, Arrange]]


def vector_from_torch(array: np.ndarray) -> np.ndarray:
    """From `(channels,)`, which Keras has as well."""
    return array


def gain_from_torch(array: np.ndarray) -> np.ndarray | None:
    """From `(channels, 1, 1, 1)`, a number for each kernel."""
    if array.ndim < 1 or array.size != len(array):
        return None
    return array.reshape(-1)


def kernel_from_torch(array: np.ndarray) -> np.ndarray | None:
    """From `(outputs, inputs, *sizes)`, the kernel of a convolution."""
    if array.ndim < 3:
        return None
    return array.transpose(*range(2, array.ndim), 1, 0)


def depthwise_kernel_from_torch(array: np.ndarray) -> np.ndarray | None:
    """From `(channels, 1, *sizes)`, the kernel of a depthwise convolution."""
    if array.ndim < 3:
        return None
    return array.transpose(*range(2, array.ndim), 0, 1)


def matrix_from_torch(array: np.ndarray) -> np.ndarray | None:
    """From `(outputs, inputs)`, or a 1x1 convolution of these."""
    if any(size != 1 for size in array.shape[2:]) or array.ndim < 2:
        return None
    return array.reshape(array.shape[:2]).T
