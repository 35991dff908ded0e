"""The convolutions of ECA with their gradient written by hand.

Differentiated automatically, each of the k shifted copies becomes a padded one
of its own, and XLA takes two to four times as long as it does forward. But the
gradient of the input is the same sum with the kernel reversed, and that of each
tap is one sum of a product.
"""

from keras import ops

from keras_channel_attn.ops import pad_channels, shifted_sum


def channel_convolution(descriptor, kernel, padding="zeros"):
    """What `keras_channel_attn.ops.channel_convolution` does."""
    return _convolution(
        descriptor,
        kernel,
        padding,
        lambda kernel: ops.flip(kernel, axis=0),
        summed_axes=(0, 1),
    )


def unshared_channel_convolution(descriptor, kernel, padding="zeros"):
    """What `keras_channel_attn.ops.unshared_channel_convolution` does."""

    def taps_backwards(kernel):
        # What came from a neighbour went through that neighbour's own taps.
        size, channels = kernel.shape
        padded = pad_channels(ops.flip(kernel, axis=0), size // 2, padding)
        return ops.stack(
            [padded[tap, tap : tap + channels] for tap in range(size)]
        )

    return _convolution(
        descriptor, kernel, padding, taps_backwards, summed_axes=0
    )


def _convolution(descriptor, kernel, padding, taps_backwards, summed_axes):
    # In 16 bits the sums over samples and channels could overflow.
    wide = "float64" if descriptor.dtype == "float64" else "float32"

    @ops.custom_gradient
    def convolve(descriptor, kernel):
        size, channels = kernel.shape[0], descriptor.shape[1]
        padded = pad_channels(descriptor, size // 2, padding)

        def gradient(upstream):
            spread = pad_channels(upstream, size // 2, padding)
            products = [
                upstream * padded[:, tap : tap + channels]
                for tap in range(size)
            ]
            sums = [
                ops.sum(ops.cast(product, wide), axis=summed_axes)
                for product in products
            ]
            return (
                shifted_sum(spread, taps_backwards(kernel), channels),
                ops.reshape(
                    ops.cast(ops.stack(sums), kernel.dtype), kernel.shape
                ),
            )

        return shifted_sum(padded, kernel, channels), gradient

    return convolve(descriptor, ops.cast(kernel, descriptor.dtype))
