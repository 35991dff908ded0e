"""Arrays of torch, with their axes in the order of Keras' weights.

Each function returns `None` for an array that has other axes, else a view of
the array. So it is the way back too: what is written into the view arrives in
torch's order.
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


def linear_from_torch(array: np.ndarray) -> np.ndarray | None:
    """From `(outputs, inputs)`, the kernel of a linear layer."""
    return array.T if array.ndim == 2 else None


def matrix_from_torch(array: np.ndarray) -> np.ndarray | None:
    """From a 1x1 convolution, `(outputs, inputs, 1, 1)`, or a linear layer."""
    if any(size != 1 for size in array.shape[2:]) or array.ndim < 2:
        return None
    return array.reshape(array.shape[:2]).T


def array_for_torch(value: np.ndarray, arrange: Arrange) -> np.ndarray:
    """The array of torch that a function arranges into a value.

    Args:
        value: Array of the shape of a weight.
        arrange: Function that returns a view of torch's array.
    """
    for shape in _torch_shapes(value.shape):
        array = np.empty(shape, value.dtype)
        view = arrange(array)
        if view is None or view.shape != value.shape:
            continue
        if np.may_share_memory(array, view):
            view[...] = value
            return array
    raise ValueError(
        f"No array of torch is known for a weight of shape {value.shape}."
    )


def _torch_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes that torch may have for a weight of Keras."""
    if len(shape) < 2:
        # A number for each kernel, or a vector.
        return [(*shape, 1, 1, 1), shape]
    *sizes, inputs, outputs = shape
    return [
        # A matrix as a 1x1 convolution.
        (outputs, inputs, *sizes, 1, 1),
        (outputs, inputs, *sizes),
        # A depthwise convolution.
        (inputs, outputs, *sizes),
        # A kernel for each channel.
        (outputs, 1, inputs),
    ]
