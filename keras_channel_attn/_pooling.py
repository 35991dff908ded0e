"""Means, maxima and weights of means along axes, for `ops` and `layers`.

These functions are not part of the public API.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_channel_attn._tensors import Tensor


def average(
    inputs: Tensor, axes: tuple[int, ...], mask: Tensor | None = None
) -> Tensor:
    """The mean along axes, of the elements where the mask is `True`.

    The mask broadcasts against the inputs. Without such elements it is zero.
    """
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    # `ops.mean` is not used: on torch and JAX it computes float64 in float32.
    # Sums of 16-bit numbers can overflow, except inside torch's own mean.
    if mask is None and keras.config.backend() == "torch":
        return inputs.mean(axes)
    if mask is None and keras.config.backend() == "tensorflow":
        return _tensorflow_mean(inputs, axes)
    sum_dtype = "float64" if dtype == "float64" else "float32"
    if mask is None:
        count = _number_of_positions(inputs, axes, sum_dtype)
    else:
        inputs = fill_outside(mask, inputs, 0)
        count = ops.maximum(ops.sum(ops.cast(mask, "int32"), axis=axes), 1)
    total = ops.sum(ops.cast(inputs, sum_dtype), axis=axes)
    return ops.cast(total / ops.cast(count, sum_dtype), dtype)


def _tensorflow_mean(inputs: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Mean that is one operation in an exported graph.

    A sum that is divided overflows in float16 on the GPU delegate of LiteRT.
    TensorFlow's gradient of a mean divides a tensor of the input's size; this
    one divides a tensor of the output's size.
    """

    @ops.custom_gradient
    def mean(inputs: Tensor) -> Any:
        def gradient(upstream: Tensor) -> Tensor:
            # Not in 16 bits: the number of positions can overflow.
            dtype = "float64" if upstream.dtype == "float64" else "float32"
            count = _number_of_positions(inputs, axes, dtype)
            share = ops.cast(ops.cast(upstream, dtype) / count, upstream.dtype)
            return ops.broadcast_to(
                ops.expand_dims(share, axes), ops.shape(inputs)
            )

        return ops.mean(inputs, axis=axes), gradient

    return mean(inputs)


def _number_of_positions(
    inputs: Tensor, axes: tuple[int, ...], dtype: str
) -> Tensor:
    shape = ops.shape(inputs)
    return ops.cast(math.prod([shape[axis] for axis in axes]), dtype)


def maximum(
    inputs: Tensor, axes: tuple[int, ...], mask: Tensor | None = None
) -> Tensor:
    """The same with the maximum."""
    if mask is None:
        return _unmasked_maximum(inputs, axes)
    filled = fill_outside(mask, inputs, -math.inf)
    largest = _unmasked_maximum(filled, axes)
    return fill_outside(any_along(mask, axes), largest, 0)


def any_along(mask: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Whether the mask is `True` somewhere along axes, not negative ones."""
    # One by one: for several axes Keras 3.12 reduces others of them on torch.
    for axis in sorted(axes, reverse=True):
        mask = ops.any(mask, axis=axis)
    return mask


def _unmasked_maximum(inputs: Tensor, axes: tuple[int, ...]) -> Tensor:
    if keras.config.backend() == "torch":
        # Without the axes of size 1, the gradient would need a view of the
        # maximum, which `torch.compile` rejects for images of several sizes.
        largest = inputs.amax(axes, keepdim=True)
        # One by one: files of ONNX know no other squeeze of torch.
        for axis in sorted((axis % inputs.ndim for axis in axes), reverse=True):
            largest = largest.squeeze(axis)
        return largest
    # On some backends `ops.amax` raises an error for an empty batch. `initial`
    # avoids it, but is not in the graph of other batches: some converters do
    # not support it, and infinity makes the result of 8-bit quantization wrong.
    if 0 in tuple(inputs.shape):
        return ops.max(inputs, axis=axes, initial=-math.inf)
    return ops.amax(inputs, axis=axes)


def softmax(logits: Tensor) -> Tensor:
    """Positive weights `(batch, positions)` with a sum of one per sample."""
    if keras.config.backend() == "torch":
        # Autograd keeps one tensor, and for the two functions below two.
        return logits.softmax(1)
    # `ops.softmax` warns of a single position.
    return ops.exp(ops.log_softmax(logits, axis=1))


def larger(first: Tensor, second: Tensor) -> Tensor:
    """The larger one of two tensors, element by element."""
    # On torch `ops.maximum` would convert float64 to float32.
    if keras.config.backend() == "torch":
        return first.maximum(second)
    return ops.maximum(first, second)


def fill_outside(mask: Tensor, inputs: Tensor, value: float) -> Tensor:
    """`inputs` where the mask is `True`, `value` elsewhere."""
    # On torch `ops.where` would convert float64 to float32.
    if keras.config.backend() == "torch":
        return inputs.masked_fill(~mask, value)
    return ops.where(mask, inputs, value)
