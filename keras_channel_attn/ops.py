"""The maths of channel attention as pure functions on tensors.

    y = rescale(x, gate(excite(squeeze(x))))

All functions use `keras.ops` and run on every backend. They have no state. They
do not validate their arguments: the layers do that.

Sums and products are written with Python operators, on tensors of the same
dtype. The functions of `keras.ops` have two defects here: on torch `ops.matmul`
and others compute float64 in float32, and on TensorFlow `ops.add` mistakes an
empty batch for a bias and fails.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_channel_attn._pooling import average, maximum
from keras_channel_attn._tensors import (
    Tensor,
    channel_axis,
    pad_channels,
    shifted_sum,
    spatial_axes,
)

__all__ = [
    "activate",
    "adaptive_kernel_size",
    "add_spatial_axes",
    "attend",
    "bottleneck",
    "bottleneck_width",
    "channel_convolution",
    "grouped_linear",
    "rescale",
    "spatial_convolution",
    "squeeze",
]


def __dir__() -> list[str]:
    return __all__


def bottleneck_width(
    channels: int, reduction: int = 16, divisor: int = 1
) -> int:
    """Number of units in the bottleneck of Squeeze-and-Excitation.

    The width is `channels // reduction`, at least 1. With `divisor > 1` it is
    `channels / reduction` rounded to the nearest multiple of `divisor` (ties
    are rounded up), at least `divisor`. The second rule is that of timm's SE
    module. Some libraries also round up where rounding down would remove more
    than a tenth of the width; this function does not.

    Args:
        channels: Integer, number of channels of the input.
        reduction: Integer, the factor by which the bottleneck is narrower
            than the input. Defaults to `16`.
        divisor: Integer. The width is a multiple of it. Defaults to `1`.

    Returns:
        Integer, the width of the bottleneck.

    Examples:

    >>> bottleneck_width(64, reduction=16), bottleneck_width(64, 16, divisor=8)
    (4, 8)
    """
    if divisor == 1:
        return max(1, channels // reduction)
    # Integer arithmetic: a floating-point division could round a tie down.
    step = reduction * divisor
    return max(1, (2 * channels + step) // (2 * step)) * divisor


def adaptive_kernel_size(channels: int, gamma: float = 2, b: float = 1) -> int:
    """Kernel size of Efficient Channel Attention for a number of channels.

    `t = int(abs((log2(channels) + b) / gamma))`; the kernel size is `t` if `t`
    is odd, else `t + 1` (fig. 3 of
    [ECA-Net](https://arxiv.org/abs/1910.03151)). There is no lower limit: with
    the default arguments the kernel size is 1 for up to 7 channels.

    Args:
        channels: Integer, number of channels of the input.
        gamma: Positive number, slope of the rule. Defaults to `2`.
        b: Number, offset of the rule. Defaults to `1`.

    Returns:
        Integer, an odd kernel size.

    Examples:

    >>> adaptive_kernel_size(64), adaptive_kernel_size(2048)
    (3, 7)
    """
    size = int(abs((math.log2(channels) + b) / gamma))
    return size if size % 2 else size + 1


def squeeze(
    inputs: Tensor,
    data_format: str,
    pooling: str = "avg",
    mask: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Pool each channel over all spatial positions.

    Other statistics are means of functions of the input: that of the squared
    differences to the mean is the variance.

    Args:
        inputs: Floating-point tensor, `(batch, *spatial, channels)` or
            `(batch, channels, *spatial)`, with one or more spatial axes.
        data_format: `"channels_last"` or `"channels_first"`.
        pooling: `"avg"`, `"max"`, `"avg_max_mean"`, which is the mean of both,
            or `"avg_max_separate"`, which returns both. Defaults to `"avg"`.
        mask: Boolean tensor `(batch, *spatial)`. Only positions that are
            `True` are pooled; NaN and infinity at other positions have no
            effect. If a sample has no such position, its descriptor is zero.
            Defaults to `None`: all positions are pooled.

    Returns:
        Tensor `(batch, channels)` with the dtype of `inputs`: the descriptor.
        With `"avg_max_separate"`, a tuple of two descriptors.

    Examples:

    >>> x = np.array([[[1, 5], [3, 7]]], "float32")
    >>> keras.ops.convert_to_numpy(squeeze(x, "channels_last")).tolist()
    [[2.0, 6.0]]
    """
    if pooling == "avg_max_separate":
        return (
            squeeze(inputs, data_format, "avg", mask),
            squeeze(inputs, data_format, "max", mask),
        )
    if keras.config.backend() == "openvino" and inputs.dtype != "float64":
        # OpenVINO accumulates 16-bit sums in 16 bits, and does not support
        # infinity in bfloat16.
        inputs_float32 = ops.cast(inputs, "float32")
        descriptor = _pool(inputs_float32, data_format, pooling, mask)
        return ops.cast(descriptor, inputs.dtype)
    return _pool(inputs, data_format, pooling, mask)


def _pool(
    inputs: Tensor, data_format: str, pooling: str, mask: Tensor | None
) -> Tensor:
    axes = spatial_axes(inputs, data_format)
    if mask is not None:
        mask = ops.expand_dims(mask, channel_axis(data_format))
    if pooling == "avg":
        return average(inputs, axes, mask)
    if pooling == "max":
        return maximum(inputs, axes, mask)
    # Both are halved before the addition: the sum of two float16 numbers can
    # overflow.
    halves = 0.5 * average(inputs, axes, mask)
    return halves + 0.5 * maximum(inputs, axes, mask)


def bottleneck(
    descriptor: Tensor,
    reduce_kernel: Tensor,
    reduce_bias: Tensor | None,
    expand_kernel: Tensor,
    expand_bias: Tensor | None,
    activation: Callable[[Tensor], Tensor],
) -> Tensor:
    """Excitation of SENet: `activation(z W1 + b1) W2 + b2`.

    Args:
        descriptor: Tensor `(batch, channels)`.
        reduce_kernel: Tensor `(channels, units)`.
        reduce_bias: Tensor `(units,)` or `None`.
        expand_kernel: Tensor `(units, channels)`.
        expand_bias: Tensor `(channels,)` or `None`.
        activation: Callable, applied between the two linear maps.

    Returns:
        Tensor `(batch, channels)`.

    Examples:

    >>> z = keras.ops.convert_to_tensor([[1.0, 2.0]])
    >>> w1, w2 = keras.ops.ones((2, 1)), keras.ops.ones((1, 2))
    >>> outputs = bottleneck(z, w1, None, w2, None, keras.ops.relu)
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[3.0, 3.0]]
    """
    dtype = descriptor.dtype
    hidden = descriptor @ ops.cast(reduce_kernel, dtype)
    if reduce_bias is not None:
        hidden = hidden + ops.cast(reduce_bias, dtype)
    hidden = activate(activation, hidden)
    logits = hidden @ ops.cast(expand_kernel, dtype)
    if expand_bias is not None:
        logits = logits + ops.cast(expand_bias, dtype)
    return logits


def grouped_linear(
    descriptor: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    kernel_shape: tuple[int, int] | None = None,
) -> Tensor:
    """Excitation by one linear map, `z W + b`, with a block-diagonal `W`.

    The number of groups is `channels / kernel.shape[0]`. Group g of size n
    multiplies channels `g * n` to `(g + 1) * n` of the descriptor by the same
    columns of the kernel, as a grouped convolution does. With one group `W` is
    a full matrix; with as many groups as channels, each channel has one weight.

    Args:
        descriptor: Tensor `(batch, channels)`.
        kernel: Tensor `(channels / groups, channels)`.
        bias: Tensor `(channels,)`. Defaults to `None`.
        kernel_shape: Tuple of two integers, for a kernel that is computed:
            while torch traces, its sizes are tensors. Defaults to `None`: the
            shape of `kernel`.

    Returns:
        Tensor `(batch, channels)`.

    Examples:

    >>> z = keras.ops.convert_to_tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> outputs = grouped_linear(z, keras.ops.ones((2, 4)))
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[3.0, 3.0, 7.0, 7.0]]
    """
    size, channels = kernel_shape or kernel.shape
    kernel = ops.cast(kernel, descriptor.dtype)
    if size == channels:
        logits = descriptor @ kernel
    elif size == 1:
        logits = descriptor * kernel
    else:
        # Only the kernel is transposed. If both factors of a batched product
        # are transposed, OpenVINO returns wrong numbers after some layers.
        groups = channels // size
        blocks = ops.transpose(
            ops.reshape(kernel, (size, groups, size)), (1, 0, 2)
        )
        parts = ops.reshape(descriptor, (-1, groups, 1, size))
        logits = ops.reshape(parts @ blocks, (-1, channels))
    if bias is not None:
        logits = logits + ops.cast(bias, logits.dtype)
    return logits


def activate(activation: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """Apply an activation and cast the result to the dtype of its input.

    Args:
        activation: Callable from a tensor to a tensor. It may return another
            dtype than that of its input.
        tensor: Floating-point tensor.

    Returns:
        Tensor `activation(tensor)` with the dtype of `tensor`.

    Examples:

    >>> z = keras.ops.convert_to_tensor([[-1.0, 2.0]])
    >>> outputs = activate(keras.ops.relu, z)
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[0.0, 2.0]]
    """
    return ops.cast(activation(tensor), tensor.dtype)


def channel_convolution(
    descriptor: Tensor, kernel: Tensor, padding: str = "zeros"
) -> Tensor:
    """Excitation of ECA-Net: a 1-D convolution along the channel axis.

    `out[c] = sum(kernel[j] * z[c + j - (k - 1) / 2] for j in range(k))`. This
    is a cross-correlation, like every convolution of Keras and torch. A kernel
    of shape `(k, channels)` has its own weights for each channel (ECA-NS):
    `kernel[j, c]` replaces `kernel[j]`.

    The function adds `k` shifted copies of the descriptor. It does not call
    `keras.ops.conv`, whose support of data formats differs between backends.

    Args:
        descriptor: Tensor `(batch, channels)`.
        kernel: Tensor `(k, 1, 1)`, shared by all channels, or `(k, channels)`.
            `k` is odd.
        padding: `"zeros"`, or `"circular"`: the first and the last channel are
            neighbors. Defaults to `"zeros"`.

    Returns:
        Tensor `(batch, channels)`.

    Examples:

    >>> z = keras.ops.convert_to_tensor([[1.0, 2.0, 3.0]])
    >>> outputs = channel_convolution(z, keras.ops.ones((3, 1, 1)))
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[3.0, 6.0, 5.0]]
    """
    kernel = ops.cast(kernel, descriptor.dtype)
    padded = pad_channels(descriptor, kernel.shape[0] // 2, padding)
    return shifted_sum(padded, kernel, descriptor.shape[1])


def spatial_convolution(maps: list[Tensor], kernel: Tensor) -> Tensor:
    """A convolution of maps of positions to one map, as in CBAM.

    There are zeros around the maps, as many as the kernel needs to keep their
    size.

    Args:
        maps: List of tensors `(batch, *spatial)`, with one to three spatial
            axes.
        kernel: Tensor `(*sizes, len(maps), 1)` of odd sizes.

    Returns:
        Tensor `(batch, *spatial)`.

    Examples:

    >>> x = keras.ops.convert_to_tensor([[1.0, 2.0, 3.0]])
    >>> outputs = spatial_convolution([x, 10 * x], keras.ops.ones((3, 2, 1)))
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[33.0, 66.0, 55.0]]
    """
    dtype = maps[0].dtype
    outputs = ops.conv(
        ops.stack(maps, axis=-1),
        ops.cast(kernel, dtype),
        padding="same",
        data_format="channels_last",
    )
    return ops.cast(outputs[..., 0], dtype)


def rescale(inputs: Tensor, scores: Tensor, data_format: str) -> Tensor:
    """Multiply each channel of each sample by its gate.

    Args:
        inputs: Tensor, `(batch, *spatial, channels)` or
            `(batch, channels, *spatial)`.
        scores: Tensor `(batch, channels)` with the dtype of `inputs`: one gate
            for each channel of each sample.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        Tensor with the shape and dtype of `inputs`.

    Examples:

    >>> x = keras.ops.ones((1, 2, 2))
    >>> scores = keras.ops.convert_to_tensor([[0.5, 2.0]])
    >>> outputs = rescale(x, scores, "channels_last")
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[[0.5, 2.0], [0.5, 2.0]]]
    """
    return inputs * add_spatial_axes(scores, inputs, data_format)


def add_spatial_axes(
    descriptor: Tensor, inputs: Tensor, data_format: str
) -> Tensor:
    """Add spatial axes of size one, so that it broadcasts against the inputs.

    Args:
        descriptor: Tensor `(batch, channels)`.
        inputs: Tensor, `(batch, *spatial, channels)` or
            `(batch, channels, *spatial)`, whose rank the result has.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        Tensor `(batch, 1, ..., 1, channels)` or `(batch, channels, 1, ..., 1)`.

    Examples:

    >>> x, z = keras.ops.ones((2, 3, 5, 6)), keras.ops.ones((2, 3))
    >>> tuple(add_spatial_axes(z, x, "channels_first").shape)
    (2, 3, 1, 1)
    """
    # One reshape: the GPU delegate of LiteRT does not support `expand_dims`.
    shape = [1] * len(inputs.shape)
    shape[0], shape[channel_axis(data_format)] = -1, descriptor.shape[1]
    return ops.reshape(descriptor, shape)


def attend(
    inputs: Tensor,
    gates: Callable[..., Tensor],
    data_format: str,
    pooling: str | Callable[..., Any] = "avg",
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Squeeze, compute the gates, and rescale: `x * gates(squeeze(x))`.

    Args:
        inputs: Floating-point tensor, `(batch, *spatial, channels)` or
            `(batch, channels, *spatial)`.
        gates: Callable from a descriptor `(batch, channels)` to the gates, a
            tensor of the same shape and dtype. With
            `pooling="avg_max_separate"` it is called with two descriptors.
        data_format: `"channels_last"` or `"channels_first"`.
        pooling: As in `squeeze`, or a callable from the inputs and the mask to
            a descriptor or a tuple of descriptors. Defaults to `"avg"`.
        mask: Boolean tensor `(batch, *spatial)`, as in `squeeze`. Defaults to
            `None`.

    Returns:
        Tuple of two tensors: the outputs, with the shape and dtype of `inputs`,
        and the gates `(batch, channels)`.

    Examples:

    >>> x = keras.ops.convert_to_tensor([[[1.0, -1.0], [3.0, -3.0]]])
    >>> outputs, scores = attend(x, keras.ops.relu, "channels_last")
    >>> keras.ops.convert_to_numpy(scores).tolist()
    [[2.0, 0.0]]
    """
    if callable(pooling):
        descriptors = pooling(inputs, mask)
    else:
        descriptors = squeeze(inputs, data_format, pooling, mask)
    if not isinstance(descriptors, (tuple, list)):
        descriptors = (descriptors,)
    # On the NumPy backend, arithmetic on bfloat16 returns float32.
    scores = ops.cast(gates(*descriptors), inputs.dtype)
    return rescale(inputs, scores, data_format), scores
