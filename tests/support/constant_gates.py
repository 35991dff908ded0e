"""Networks whose gates are set to constants by their weights alone."""

import contextlib

import keras
import numpy as np

from keras_channel_attn import LinearSqueezeExcite

# The gate is 1 in single precision.
_OPEN = 40.0


class Attention(LinearSqueezeExcite):
    """Attention that a bias alone can set to any gates."""

    def __init__(self, **arguments):
        super().__init__(**{"use_bias": True, **arguments})

    def randomize(self, rng):
        """Let the gates depend on the sample, and differ by the channel."""
        for weight in self.weights:
            scale = 6 / len(weight.shape) if len(weight.shape) > 1 else 1
            weight.assign(rng.normal(0, scale, weight.shape))


@contextlib.contextmanager
def fixed_gates(gates):
    """Set the gates of layers, which are `Attention`.

    Args:
        gates: Dictionary from layers to arrays of gates, or to `None`: open.
    """
    weights = [weight for layer in gates for weight in layer.weights]
    values = [keras.ops.convert_to_numpy(weight).copy() for weight in weights]
    for layer, array in gates.items():
        kernel, bias = layer.weights
        kernel.assign(np.zeros(kernel.shape))
        logits = _OPEN if array is None else np.log(array / (1 - array))
        bias.assign(np.broadcast_to(logits, bias.shape))
    try:
        yield
    finally:
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)


def relative_change(outputs, others):
    """The formula of `attention_report`, over lists of arrays."""
    shares = []
    for array, other in zip(outputs, others, strict=True):
        array, other = array.astype("float64"), other.astype("float64")
        spread = ((array - array.mean(0)) ** 2).sum()
        shares.append(((other - array) ** 2).sum() / spread)
    return np.sqrt(np.mean(shares))
