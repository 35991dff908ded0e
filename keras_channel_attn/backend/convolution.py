"""The convolution of ECA with its gradient written by hand.

Differentiated automatically, each of the k shifted copies becomes a padded one
of its own, and XLA takes two to four times as long as it does forward. But the
gradient of the input is the same sum with the kernel reversed, and that of each
tap is one sum of a product.
"""

from keras import ops

from keras_channel_attn.ops import pad_channels, shifted_sum


def channel_convolution(descriptor, kernel, padding="zeros"):
    """What `keras_channel_attn.ops.channel_convolution` does."""
    shared = len(kernel.shape) == 3
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
                ops.sum(ops.cast(product, wide), axis=None if shared else 0)
                for product in products
            ]
            taps = ops.flip(kernel, axis=0)
            if not shared:
                # What came from a neighbour went through its own taps.
                around = pad_channels(taps, size // 2, padding)
                taps = ops.stack(
                    [around[tap, tap : tap + channels] for tap in range(size)]
                )
            return (
                shifted_sum(spread, taps, channels),
                ops.reshape(
                    ops.cast(ops.stack(sums), kernel.dtype), kernel.shape
                ),
            )

        return shifted_sum(padded, kernel, channels), gradient

    return convolve(descriptor, ops.cast(kernel, descriptor.dtype))
