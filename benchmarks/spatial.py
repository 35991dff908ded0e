"""The layers that attend to positions, and the same formulas in Keras' layers.

All have `channels_last`, and a normalization over the batch where the peers of
timm have one, which uses the statistics of the batch in training.
"""

import functools
import inspect

import keras
from keras import layers, ops

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    GlobalContext,
)

NAMES = ("CBAM", "scSE", "coordinate", "context")


def in_training(layer):
    """The layer, called so that it uses the statistics of the batch."""
    call = getattr(layer, "call", layer)
    if "training" not in inspect.signature(call).parameters:
        return layer
    return functools.partial(layer, training=True)


def ours(channels, reduction):
    """Dictionary from a name to our layer."""
    arguments = {
        "bottleneck_units": channels // reduction,
        "data_format": "channels_last",
    }
    return {
        "ours CBAM": ConvolutionalBlockAttention(
            batch_normalization=True, **arguments
        ),
        "ours scSE": ConcurrentSqueezeExcite(use_bias=True, **arguments),
        "ours coordinate": CoordinateAttention(**arguments),
        "ours context": GlobalContext(fuse="scale", **arguments),
    }


def keras_layers(channels, reduction):
    """Dictionary from a name to a layer that consists of Keras' layers."""
    classes = dict(zip(NAMES, (CBAM, SCSE, Coordinate, Context), strict=True))
    return {
        f"Keras layers, {name}": layer_class(channels, channels // reduction)
        for name, layer_class in classes.items()
    }


class CBAM(layers.Layer):
    def __init__(self, channels, units):
        super().__init__()
        self.reduce = layers.Dense(units, activation="relu", use_bias=False)
        self.expand = layers.Dense(channels, use_bias=False)
        self.convolution = layers.Conv2D(
            1, 7, padding="same", use_bias=False, data_format="channels_last"
        )
        self.normalization = layers.BatchNormalization()

    def call(self, x, training=False):
        average, maximum = (
            self.expand(self.reduce(pool(x, (1, 2), keepdims=True)))
            for pool in (ops.mean, ops.amax)
        )
        x = x * ops.sigmoid(average + maximum)
        maps = [pool(x, -1, keepdims=True) for pool in (ops.mean, ops.amax)]
        logits = self.convolution(ops.concatenate(maps, -1))
        return x * ops.sigmoid(self.normalization(logits, training=training))


class SCSE(layers.Layer):
    def __init__(self, channels, units):
        super().__init__()
        self.reduce = layers.Dense(units, activation="relu")
        self.expand = layers.Dense(channels, activation="sigmoid")
        self.position = layers.Dense(1, activation="sigmoid")

    def call(self, x, training=False):
        pooled = ops.mean(x, (1, 2), keepdims=True)
        gates = self.expand(self.reduce(pooled))
        return x * gates + x * self.position(x)


class Coordinate(layers.Layer):
    def __init__(self, channels, units):
        super().__init__()
        self.reduce = layers.Dense(units, use_bias=False)
        self.normalization = layers.BatchNormalization()
        self.height, self.width = (
            layers.Dense(channels, activation="sigmoid", use_bias=False)
            for _ in range(2)
        )

    def call(self, x, training=False):
        means = ops.concatenate([ops.mean(x, 2), ops.mean(x, 1)], axis=1)
        hidden = self.normalization(self.reduce(means), training=training)
        hidden = keras.activations.hard_silu(hidden)
        rows, columns = hidden[:, : x.shape[1]], hidden[:, x.shape[1] :]
        return x * self.height(rows)[:, :, None] * self.width(columns)[:, None]


class Context(layers.Layer):
    def __init__(self, channels, units):
        super().__init__()
        self.position = layers.Dense(1)
        self.reduce = layers.Dense(units)
        self.normalization = layers.LayerNormalization(epsilon=1e-6)
        self.expand = layers.Dense(channels, activation="sigmoid")

    def call(self, x, training=False):
        positions = ops.reshape(x, (x.shape[0], -1, x.shape[-1]))
        weights = ops.softmax(self.position(positions), axis=1)
        pooled = ops.matmul(ops.transpose(weights, (0, 2, 1)), positions)
        hidden = ops.relu(self.normalization(self.reduce(pooled)))
        return x * self.expand(hidden)[:, None]
