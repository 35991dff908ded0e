"""Resizing and cropping of images as products with two matrices.

A matrix has one row for each output pixel: the weights of the input pixels of
one axis. For a known image size NumPy computes the matrices, so the graph that
is exported contains constants, products and rounding.
"""

import functools
import types
from typing import Any

import keras
import numpy as np
from keras import ops

# Each backend is a module of functions, with the few that it names otherwise.


def _functions(module: Any, **others: Any) -> Any:
    return types.SimpleNamespace(**{**vars(module), **others})


# As in Pillow, the weights are computed in float64.
_NUMPY = _functions(np, cast=np.asarray, weight_dtype="float64")


def keras_functions() -> Any:
    """The functions of `keras.ops`, for the backend of Keras."""
    others: dict[str, Any] = {}
    if keras.config.backend() == "jax":
        import jax

        # jax2onnx cannot convert `arange` up to a size that is unknown.
        others["arange"] = functools.partial(jax.lax.iota, "float32")
        # On a GPU, JAX rounds the factors of a product to 11 bits by default,
        # so pixels would differ.
        others["matmul"] = functools.partial(
            jax.numpy.matmul, precision="highest"
        )
    # JAX has no float64 by default, and LiteRT does not compute `floor` in it.
    return _functions(ops, **others, weight_dtype="float32")


def tensorflow_functions() -> Any:
    """The functions of TensorFlow that do the same.

    They build a graph of TensorFlow when Keras has another backend.
    """
    import tensorflow as tf

    def shape(x: Any) -> list[Any]:
        return [
            tf.shape(x)[axis] if size is None else size
            for axis, size in enumerate(x.shape)
        ]

    return _functions(
        tf,
        arange=tf.range,
        clip=tf.clip_by_value,
        shape=shape,
        sum=tf.reduce_sum,
        weight_dtype="float64",
    )


def resize_and_crop(
    x: Any, size: int, shorter: int, interpolation: str, functions: Any
) -> Any:
    """Resized images, of which only the cropped pixels are computed.

    Args:
        x: Tensor of `float32`, `(batch, channels, height, width)`, with
            values from -128 to 127.
        size: Integer, height and width of the output.
        shorter: Integer, at least `size`, the pixels of the shorter side
            before the image is cropped.
        interpolation: `"bilinear"` or `"bicubic"`.
        functions: `keras_functions()` or `tensorflow_functions()`.
    """
    _, _, height, width = functions.shape(x)
    if isinstance(height, int) and isinstance(width, int):
        least, weight_functions = min(height, width), _NUMPY
    else:
        least, weight_functions = functions.minimum(height, width), functions

    def parts(side: Any) -> list[Any]:
        weights = _weights(
            side, shorter * side // least, size, interpolation, weight_functions
        )
        return [
            functions.convert_to_tensor(weight_functions.cast(part, "float32"))
            for part in _parts(weights, weight_functions)
        ]

    # As in Pillow: the width first, and integer pixels after each axis.
    coarse, fine, offset = (
        functions.transpose(part, (1, 0)) for part in parts(width)
    )
    x = _integers(
        functions.matmul(x, coarse),
        functions.matmul(x, fine) + offset,
        functions,
    )
    coarse, fine, offset = parts(height)
    return _integers(
        functions.matmul(coarse, x),
        functions.matmul(fine, x) + offset,
        functions,
    )


def _weights(
    side: Any, resized: Any, size: int, interpolation: str, functions: Any
) -> Any:
    """Matrix `(size, side)`: the weights of the input in each output pixel.

    The axis of `side` pixels is resized to `resized`, then cropped to `size`.
    """
    # The rules of torchvision for the crop.
    excess = resized - size
    half = excess // 2
    # The half of an odd number is rounded to the even neighbor.
    offset = half + (excess % 2) * (half % 2)
    inputs, outputs, side, resized, offset = (
        functions.cast(value, functions.weight_dtype)
        for value in (
            functions.arange(side),
            functions.arange(size),
            side,
            resized,
            offset,
        )
    )
    scale = side / resized
    centers = (outputs + offset + 0.5) * scale - 0.5
    # Antialiasing: in a smaller image each pixel averages more pixels.
    width = functions.maximum(scale, 1.0)
    distances = abs(centers[:, None] - inputs[None, :]) / width
    kernel = _bilinear if interpolation == "bilinear" else _bicubic
    weights = kernel(distances, functions.where)
    return weights / functions.sum(weights, axis=1, keepdims=True)


def _parts(weights: Any, functions: Any) -> tuple[Any, Any, Any]:
    """The weights as Pillow rounds them, to 22 bits, in two parts.

    The first part are multiples of 2**-16, and the second, multiples of 2**-22,
    is at most 2**-17. All products of a part with integers from -128 to 127,
    and all their sums, are exact in float32. So the order of summation has no
    effect, and every backend and every exported file gives the same pixels.

    The third array is what the shift of the pixels by 128 subtracts where the
    sum of the weights is not exactly 1.
    """
    weights = functions.floor(weights * 2**22 + 0.5) / 2**22
    coarse = functions.floor(weights * 2**16 + 0.5) / 2**16
    fine = weights - coarse
    sums = functions.sum(coarse, axis=1, keepdims=True) - 1
    sums = sums + functions.sum(fine, axis=1, keepdims=True)
    return coarse, fine, 128 * sums


def _bilinear(x: Any, where: Any) -> Any:
    return where(x < 1, 1 - x, 0 * x)


def _bicubic(x: Any, where: Any) -> Any:
    """The cubic convolution of Keys with a = -0.5, as in Pillow."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((2.5 - 0.5 * x) * x - 4) * x + 2
    return where(x < 1, near, where(x < 2, far, 0 * x))


def _integers(coarse: Any, fine: Any, functions: Any) -> Any:
    """The sum of both, rounded. Their plain sum would have too many bits."""
    # Pillow rounds a half up, `ops.round` to the even neighbor.
    coarse = coarse + 0.5
    pixels = functions.floor(coarse)
    pixels = pixels + functions.floor(coarse - pixels + fine)
    return functions.clip(pixels, -128.0, 127.0)
