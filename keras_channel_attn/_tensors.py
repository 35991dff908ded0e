"""Axes of tensors and shifts along the channels, for `ops` and `backend`.

These functions are not part of the public API.
"""

import math
from typing import Any

import keras
from keras import ops

# A tensor of any backend, a Keras tensor or a Keras variable. Each backend has
# its own class, and Keras ships no types, so that a type checker sees `Any`.
Tensor = Any


def channel_axis(data_format: str) -> int:
    """Index of the channel axis."""
    return -1 if data_format == "channels_last" else 1


def spatial_axes(inputs: Tensor, data_format: str) -> tuple[int, ...]:
    """Indices of all axes except the batch axis and the channel axis."""
    rank = len(inputs.shape)
    if data_format == "channels_last":
        return tuple(range(1, rank - 1))
    return tuple(range(2, rank))


def pad_channels(descriptor: Tensor, width: int, padding: str) -> Tensor:
    """Pad `(batch, channels)` on both sides of the channel axis.

    Args:
        descriptor: Tensor `(batch, channels)`.
        width: Integer, number of columns to add on each side.
        padding: `"zeros"`, or `"circular"`, which continues with the channels
            of the other end.

    Returns:
        Tensor `(batch, channels + 2 * width)`.
    """
    if padding == "zeros":
        return ops.pad(descriptor, ((0, 0), (width, width)))
    # A kernel can be wider than the number of channels, so that the padding
    # repeats all channels more than once. Without a rest no piece is cut off:
    # converters do not support pieces of size zero. `torch.jit.trace` records
    # sizes as tensors, which some converters divide wrongly.
    repeats, rest = divmod(int(width), int(descriptor.shape[1]))
    left = [descriptor[:, -rest:]] if rest else []
    right = [descriptor[:, :rest]] if rest else []
    whole = [descriptor] * (2 * repeats + 1)
    return ops.concatenate([*left, *whole, *right], axis=1)


def shifted_sum(padded: Tensor, kernel: Tensor, channels: int) -> Tensor:
    """Weighted sum of `len(kernel)` windows of `padded`.

    Window `j` starts at column `j` and is `channels` columns wide.

    Args:
        padded: Tensor `(batch, channels + len(kernel) - 1)`.
        kernel: Tensor `(k, 1, 1)`, or `(k, channels)` for weights that differ
            between the channels.
        channels: Integer, number of channels of the result.

    Returns:
        Tensor `(batch, channels)`.
    """
    total = padded[:, :channels] * kernel[0]
    for tap in range(1, kernel.shape[0]):
        total = total + padded[:, tap : tap + channels] * kernel[tap]
    return total


def flat_positions(inputs: Tensor, data_format: str) -> Tensor:
    """`(batch, positions, channels)` or `(batch, channels, positions)`."""
    # Not `-1`, which is ambiguous in an empty batch.
    shape = ops.shape(inputs)
    # Not `math.prod` of a generator: `torch.compile` fails where the sizes are
    # not constants.
    positions = math.prod(
        [shape[axis] for axis in spatial_axes(inputs, data_format)]
    )
    if data_format == "channels_last":
        return ops.reshape(inputs, (shape[0], positions, shape[-1]))
    return ops.reshape(inputs, (*shape[:2], positions))


def linear(inputs: Tensor, kernel: Tensor) -> Tensor:
    """The product of the last axis with a matrix, for any rank."""
    if keras.config.backend() == "tensorflow":
        # There `@` is a product for each sample, and its gradient a matrix for
        # each. Both passes take up to twice as long as those of one product.
        return ops.tensordot(inputs, kernel, 1)
    return inputs @ kernel


def position_products(
    inputs: Tensor, kernel: Tensor, data_format: str
) -> Tensor:
    """The product of each position with a kernel `(channels, 1)`.

    Args:
        inputs: Tensor, `(batch, *spatial, channels)` or
            `(batch, channels, *spatial)`.
        kernel: Tensor `(channels, 1)`.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        Tensor `(batch, *spatial)`.
    """
    if data_format == "channels_last":
        return (inputs @ kernel)[..., 0]
    shape = ops.shape(inputs)
    flat = ops.transpose(kernel) @ flat_positions(inputs, data_format)
    return ops.reshape(flat, (shape[0], *shape[2:]))
