"""Attention layers on TensorFlow.

Ours, SE written in TensorFlow, and SE as in KerasCV.
"""

import keras
import tensorflow as tf

from benchmarks import spatial
from benchmarks.variants import variants
from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

REDUCTION = 16
MODES = ("function", "XLA")
BASELINES = {
    "SE": ("TensorFlow SE", "KerasCV SE"),
    "ECA": (),
    **{name: (f"Keras layers, {name}",) for name in spatial.NAMES},
}


class PlainSqueezeExcite(tf.Module):
    """Squeeze-and-Excitation written in TensorFlow."""

    def __init__(self, channels):
        super().__init__()
        units = channels // REDUCTION
        self.w1 = tf.Variable(tf.random.normal((channels, units)))
        self.b1 = tf.Variable(tf.zeros(units))
        self.w2 = tf.Variable(tf.random.normal((units, channels)))
        self.b2 = tf.Variable(tf.zeros(channels))

    def __call__(self, x):
        z = tf.reduce_mean(x, (1, 2))
        hidden = tf.nn.relu(z @ self.w1 + self.b1)
        return x * tf.sigmoid(hidden @ self.w2 + self.b2)[:, None, None]


class KerasCVSqueezeExcite(keras.layers.Layer):
    """Pooling with `keepdims`, two 1x1 convolutions, and a product."""

    def __init__(self, channels):
        super().__init__()
        self.pool = keras.layers.GlobalAveragePooling2D(keepdims=True)
        self.reduce = keras.layers.Conv2D(
            channels // REDUCTION, 1, activation="relu"
        )
        self.expand = keras.layers.Conv2D(channels, 1, activation="sigmoid")

    def call(self, inputs):
        return inputs * self.expand(self.reduce(self.pool(inputs)))


def floor(x):
    return x * tf.reduce_mean(x, (1, 2), keepdims=True)


def layers(shape):
    """Dictionary from a name to (callable, data format)."""
    channels = shape[-1]
    bias = {"reduction": REDUCTION, "use_bias": True}
    last = {"data_format": "channels_last"}
    first = {"data_format": "channels_first"}
    return {
        **{
            name: (layer, "channels_last")
            for name, layer in {
                **variants(channels, REDUCTION),
                **spatial.ours(channels, REDUCTION),
                **spatial.keras_layers(channels, REDUCTION),
            }.items()
        },
        "ours SE": (SqueezeExcite(**bias, **last), "channels_last"),
        "ours ECA": (EfficientChannelAttention(**last), "channels_last"),
        "ours SE, first": (SqueezeExcite(**bias, **first), "channels_first"),
        "ours ECA, first": (
            EfficientChannelAttention(**first),
            "channels_first",
        ),
        "TensorFlow SE": (PlainSqueezeExcite(channels), "channels_last"),
        "KerasCV SE": (KerasCVSqueezeExcite(channels), "channels_last"),
        "floor": (floor, "channels_last"),
    }


def tensor(shape, data_format):
    if data_format == "channels_first":
        shape = (shape[0], shape[-1], *shape[1:-1])
    return tf.random.normal(shape)


def forward(contestant, shape, mode):
    layer, data_format = contestant
    x = tensor(shape, data_format)
    layer(x)
    compiled = tf.function(lambda x: layer(x), jit_compile=mode == "XLA")
    return lambda: compiled(x)


def training(contestant, shape, mode):
    layer, data_format = contestant
    x, upstream = tensor(shape, data_format), tensor(shape, data_format)
    layer(x)
    weights = list(getattr(layer, "trainable_variables", ()))
    if isinstance(layer, keras.layers.Layer):
        weights = [weight.value for weight in weights]
    trained = spatial.in_training(layer)

    @tf.function(jit_compile=mode == "XLA")
    def step(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = trained(x)
        return y, tape.gradient(y, [x, *weights], upstream)

    return lambda: step(x, upstream)
