"""The maths of channel attention, as pure functions on tensors.

    y = rescale(x, gate(excite(squeeze(x))))

Everything here is written with `keras.ops` and has no state. The functions
take arguments that the layers have checked already, and check nothing again.

Arithmetic is written with operators, on tensors that have been brought to one
dtype: on torch `ops.matmul` and its like compute float64 in float32, and on
TensorFlow `ops.add` takes an empty batch for a bias and fails.
"""

import math

import keras
from keras import ops


def bottleneck_width(channels, reduction=16, divisor=1):
    """Number of units between the two maps of Squeeze-and-Excitation.

    `channels // reduction`, at least 1. With `divisor > 1` it is
    `channels / reduction` rounded to the nearest multiple of `divisor` (ties
    go up), at least `divisor`: the rule of timm's SE module. Libraries that
    round up what would lose a tenth have other widths here and there.

    Args:
        channels: Integer, number of channels of the input.
        reduction: Integer, the factor by which the bottleneck is narrower.
            Defaults to `16`.
        divisor: Integer of which the width is to be a multiple. Defaults
            to `1`.

    Returns:
        Integer, the width of the bottleneck.

    Examples:

    >>> bottleneck_width(64, reduction=16), bottleneck_width(64, 16, divisor=8)
    (4, 8)
    """
    if divisor == 1:
        return max(1, channels // reduction)
    # In integers, so that no width depends on how a division was rounded.
    step = reduction * divisor
    return max(1, (2 * channels + step) // (2 * step)) * divisor


def adaptive_kernel_size(channels, gamma=2, b=1):
    """Kernel size of Efficient Channel Attention for a number of channels.

    `t = int(abs((log2(channels) + b) / gamma))`, then `t` if it is odd, else
    `t + 1` (fig. 3 of [ECA-Net](https://arxiv.org/abs/1910.03151)). Nothing
    clamps it: up to 7 channels the size is 1.

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


def squeeze(inputs, data_format, pooling="avg", mask=None):
    """Descriptor of each channel: one number over all spatial positions.

    Args:
        inputs: Floating-point tensor, `(batch, *spatial, channels)` or
            `(batch, channels, *spatial)`, with one or more spatial axes.
        data_format: `"channels_last"` or `"channels_first"`.
        pooling: `"avg"`, `"max"`, or `"avg_max"`, half the sum of both.
            Defaults to `"avg"`.
        mask: Boolean tensor `(batch, *spatial)`: only positions that are
            `True` enter, whatever the others hold. Where a sample has none,
            its descriptor is zero. Defaults to `None`, all positions.

    Returns:
        Tensor `(batch, channels)` of the dtype of `inputs`.

    Examples:

    >>> x = np.array([[[1, 5], [3, 7]]], "float32")
    >>> keras.ops.convert_to_numpy(squeeze(x, "channels_last")).tolist()
    [[2.0, 6.0]]
    """
    if keras.config.backend() == "openvino" and inputs.dtype != "float64":
        # It adds up 16 bits in 16 bits, and knows no infinite bfloat16.
        wide = ops.cast(inputs, "float32")
        descriptor = _squeeze(wide, data_format, pooling, mask)
        return ops.cast(descriptor, inputs.dtype)
    return _squeeze(inputs, data_format, pooling, mask)


def _squeeze(inputs, data_format, pooling, mask):
    axes = spatial_axes(inputs, data_format)
    if mask is not None:
        mask = ops.expand_dims(mask, _channel_axis(data_format))
    if pooling == "avg":
        return _average(inputs, axes, mask)
    if pooling == "max":
        return _maximum(inputs, axes, mask)
    # Halved before they are added: the sum of two float16 can overflow.
    average = _average(inputs, axes, mask)
    return 0.5 * average + 0.5 * _maximum(inputs, axes, mask)


def _average(inputs, axes, mask):
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    # Not `ops.mean`: it takes float64 through float32 on torch and JAX, and its
    # gradient on TensorFlow divides a tensor of full size. Sums of 16 bits
    # overflow, but for torch's own mean.
    if mask is None and keras.config.backend() == "torch":
        return inputs.mean(axes)
    wide = "float64" if dtype == "float64" else "float32"
    if mask is None:
        shape = ops.shape(inputs)
        count = ops.cast(math.prod([shape[axis] for axis in axes]), wide)
    else:
        inputs = _where(mask, inputs, 0)
        count = ops.maximum(ops.sum(ops.cast(mask, "int32"), axis=axes), 1)
    total = ops.sum(ops.cast(inputs, wide), axis=axes)
    return ops.cast(total / ops.cast(count, wide), dtype)


def _maximum(inputs, axes, mask):
    if mask is None:
        return _largest(inputs, axes)
    largest = _largest(_where(mask, inputs, -math.inf), axes)
    return _where(ops.any(mask, axis=axes), largest, 0)


def _largest(inputs, axes):
    # Keras refuses the maximum of an empty batch, each backend in its own way:
    # torch has a maximum that does not refuse, the others want a first value.
    if keras.config.backend() == "torch":
        return ops.amax(inputs, axis=axes)
    return ops.max(inputs, axis=axes, initial=-math.inf)


def _where(mask, inputs, otherwise):
    # `ops.where` on torch would turn float64 into float32.
    if keras.config.backend() == "torch":
        return inputs.masked_fill(~mask, otherwise)
    return ops.where(mask, inputs, otherwise)


def bottleneck(
    descriptor,
    reduce_kernel,
    reduce_bias,
    expand_kernel,
    expand_bias,
    activation,
):
    """Excitation of SENet: `activation(z W1 + b1) W2 + b2`.

    Args:
        descriptor: Tensor `(batch, channels)`.
        reduce_kernel: Tensor `(channels, units)`.
        reduce_bias: Tensor `(units,)` or `None`.
        expand_kernel: Tensor `(units, channels)`.
        expand_bias: Tensor `(channels,)` or `None`.
        activation: Callable, between the two maps.

    Returns:
        Tensor `(batch, channels)`.
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


def grouped_linear(descriptor, kernel, bias=None):
    """Excitation by one linear map: `z W + b`, `W` block-diagonal in groups.

    The number of groups is `channels / kernel.shape[0]`. Group g of size n
    multiplies channels `g * n` to `(g + 1) * n` of the descriptor by the same
    columns of the kernel, as a grouped convolution does. One group is a full
    matrix, as many groups as channels are one weight for each channel.

    Args:
        descriptor: Tensor `(batch, channels)`.
        kernel: Tensor `(channels / groups, channels)`.
        bias: Tensor `(channels,)`. Defaults to `None`.

    Returns:
        Tensor `(batch, channels)`.

    Examples:

    >>> z = keras.ops.convert_to_tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> outputs = grouped_linear(z, keras.ops.ones((2, 4)))
    >>> keras.ops.convert_to_numpy(outputs).tolist()
    [[3.0, 3.0, 7.0, 7.0]]
    """
    kernel = ops.cast(kernel, descriptor.dtype)
    size, channels = kernel.shape
    if size == channels:
        logits = descriptor @ kernel
    elif size == 1:
        logits = descriptor * kernel
    else:
        # Only the kernel is transposed: where the product of a batch has both
        # sides transposed, OpenVINO computes other numbers after some layers.
        groups = channels // size
        blocks = ops.transpose(
            ops.reshape(kernel, (size, groups, size)), (1, 0, 2)
        )
        parts = ops.reshape(descriptor, (-1, groups, 1, size))
        logits = ops.reshape(parts @ blocks, (-1, channels))
    if bias is not None:
        logits = logits + ops.cast(bias, logits.dtype)
    return logits


def activate(activation, tensor):
    """`activation(tensor)`, in the dtype of `tensor`.

    An activation may return another dtype than it was given.
    """
    return ops.cast(activation(tensor), tensor.dtype)


def channel_convolution(descriptor, kernel, padding="zeros"):
    """Excitation of ECA-Net: a 1-D convolution along the channel axis.

    `out[c] = sum(kernel[j] * z[c + j - (k - 1) / 2] for j in range(k))`, a
    correlation like every convolution of Keras and torch; with taps of its own
    for each channel, ECA-NS, `kernel[j, c]` in place of `kernel[j]`.

    Written as k shifted copies, added up, it depends on no data format.

    Args:
        descriptor: Tensor `(batch, channels)`.
        kernel: Tensor `(k, 1, 1)`, shared by all channels, or `(k, channels)`;
            `k` odd.
        padding: `"zeros"`, or `"circular"`: the channels form a ring. Defaults
            to `"zeros"`.

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


def shifted_sum(padded, kernel, channels):
    """The sum of `channels` columns of `padded`, shifted by each tap.

    A tap is one number, or one for each column.
    """
    total = padded[:, :channels] * kernel[0]
    for tap in range(1, kernel.shape[0]):
        total = total + padded[:, tap : tap + channels] * kernel[tap]
    return total


def pad_channels(descriptor, before, padding):
    """`before` more columns on both sides: zeros, or those of the ring."""
    if padding == "zeros":
        return ops.pad(descriptor, ((0, 0), (before, before)))
    # A kernel may reach around the ring more than once.
    channels = descriptor.shape[1]
    turns = -(-before // channels)
    start = turns * channels - before
    ring = ops.concatenate([descriptor] * (2 * turns + 1), axis=1)
    return ring[:, start : start + channels + 2 * before]


def rescale(inputs, scores, data_format):
    """Multiply each channel of each sample by its own gate.

    Args:
        inputs: Tensor, `(batch, *spatial, channels)` or
            `(batch, channels, *spatial)`.
        scores: Tensor `(batch, channels)` of the dtype of `inputs`.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        Tensor of the shape and dtype of `inputs`.
    """
    axes = spatial_axes(inputs, data_format)
    return inputs * ops.expand_dims(scores, axes)


def attend(inputs, gates, data_format, pooling="avg", mask=None):
    """Channel attention as a whole: `x * gates(squeeze(x))`.

    Args:
        inputs: Floating-point tensor, `(batch, *spatial, channels)` or
            `(batch, channels, *spatial)`.
        gates: Callable from a descriptor `(batch, channels)` to as many gates
            of the same dtype; from two of them with `pooling="avg+max"`.
        data_format: `"channels_last"` or `"channels_first"`.
        pooling: `"avg"`, `"max"` or `"avg_max"`; or `"avg+max"`, which hands
            the average and the maximum to `gates`. Defaults to `"avg"`.
        mask: Boolean tensor `(batch, *spatial)`. Defaults to `None`.

    Returns:
        A pair: a tensor of the shape and dtype of `inputs`, and the gates.
    """
    descriptors = [
        squeeze(inputs, data_format, one, mask) for one in pooling.split("+")
    ]
    scores = gates(*descriptors)
    # On NumPy arithmetic of bfloat16 ends in float32.
    scores = ops.cast(scores, inputs.dtype)
    return rescale(inputs, scores, data_format), scores


def _channel_axis(data_format):
    return -1 if data_format == "channels_last" else 1


def spatial_axes(inputs, data_format):
    """The axes of `inputs` that are neither batch nor channels."""
    rank = len(inputs.shape)
    if data_format == "channels_last":
        return tuple(range(1, rank - 1))
    return tuple(range(2, rank))
