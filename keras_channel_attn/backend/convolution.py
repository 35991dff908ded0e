"""The convolution of ECA with a custom gradient, for TensorFlow and JAX.

Automatic differentiation pads each of the k shifted copies again, and XLA then
takes two to four times as long as for the forward pass. The custom gradient
is cheaper: the gradient of the input is the same sum with the kernel reversed,
and the gradient of each tap is the sum of one product.
"""

from typing import Any

from keras import ops

from keras_channel_attn._tensors import Tensor, pad_channels, shifted_sum


def channel_convolution(
    descriptor: Tensor, kernel: Tensor, padding: str = "zeros"
) -> Tensor:
    """Same as `keras_channel_attn.ops.channel_convolution`."""
    shared = len(kernel.shape) == 3
    # Sums over samples and channels could overflow in 16 bits.
    sum_dtype = "float64" if descriptor.dtype == "float64" else "float32"

    @ops.custom_gradient
    def convolve(descriptor: Tensor, kernel: Tensor) -> Any:
        size, channels = kernel.shape[0], descriptor.shape[1]
        padded = pad_channels(descriptor, size // 2, padding)

        def gradient(upstream: Tensor) -> Any:
            padded_upstream = pad_channels(upstream, size // 2, padding)
            products = [
                upstream * padded[:, tap : tap + channels]
                for tap in range(size)
            ]
            sums = [
                ops.sum(
                    ops.cast(product, sum_dtype), axis=None if shared else 0
                )
                for product in products
            ]
            taps = ops.flip(kernel, axis=0)
            if not shared:
                # Each output channel was computed with its own taps, so the
                # taps of the neighbors are collected.
                padded_taps = pad_channels(taps, size // 2, padding)
                taps = ops.stack(
                    [
                        padded_taps[tap, tap : tap + channels]
                        for tap in range(size)
                    ]
                )
            return (
                shifted_sum(padded_upstream, taps, channels),
                ops.reshape(
                    ops.cast(ops.stack(sums), kernel.dtype), kernel.shape
                ),
            )

        return shifted_sum(padded, kernel, channels), gradient

    return convolve(descriptor, ops.cast(kernel, descriptor.dtype))
