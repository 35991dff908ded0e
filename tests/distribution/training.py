"""Networks, batches and training steps that the tests of all engines share."""

import keras
import numpy as np
from keras import layers

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    insert_attention,
    models,
)

BATCH, STEPS = 8, 4


def chain(*attention):
    """A small network with several attention layers one after the other."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu", name="conv_1")(inputs)
    for layer in attention:
        x = layer(x)
    x = layers.Conv2D(16, 3, activation="relu", name="conv_2")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(4, name="head")(x))


def inserted():
    network = chain()
    attention = SqueezeExcite(reduction=4, identity_start=True)
    return insert_attention(network, attention, where=["conv_1", "conv_2"])


def masked():
    inputs = keras.Input((8, 3))
    x = layers.Masking()(inputs)
    x = layers.Dense(16, name="dense_1")(x)
    x = SqueezeExcite(reduction=4, name="se")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(4, name="head")(x))


def frozen_batch_norm(network):
    """Batch normalization without statistics of the batch.

    Those of several devices differ from those of one, unless the engine or the
    layer synchronizes them.
    """
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    return network


NETWORKS = {
    "se": lambda: chain(SqueezeExcite(reduction=4, name="se")),
    "eca": lambda: chain(EfficientChannelAttention(name="eca")),
    "linear": lambda: chain(LinearSqueezeExcite(name="linear")),
    "inserted": inserted,
    "masked": masked,
    "seresnet18": lambda: models.SEResNet18(input_shape=(32, 32, 3), classes=4),
}


def network_named(name):
    keras.utils.set_random_seed(0)
    return NETWORKS[name]()


def batches(network, steps=STEPS):
    rng = np.random.default_rng(0)
    shape = (steps, BATCH, *network.input_shape[1:])
    x = rng.normal(size=shape).astype("float32")
    if len(shape) == 4:
        x[:, :, 5:] = 0  # Outside the mask.
    return x, rng.normal(size=(steps, BATCH, 4)).astype("float32")


def compiled(network, accumulation=None, **arguments):
    optimizer = keras.optimizers.SGD(
        0.05, momentum=0.9, gradient_accumulation_steps=accumulation
    )
    network.compile(optimizer, "mse", **arguments)
    return network


def losses(network, steps=STEPS):
    """The loss of one epoch. `fit` divides each batch among the devices."""
    x, y = (np.concatenate(array) for array in batches(network, steps))
    history = network.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    return history.history["loss"]


def weights(network):
    return {
        weight.path: keras.ops.convert_to_numpy(
            keras.ops.cast(weight, "float32")
        )
        for weight in network.weights
    }


def assert_equal(network, other, rtol=0, atol=1e-6):
    found, expected = weights(network), weights(other)
    assert found.keys() == expected.keys()
    for path, value in found.items():
        np.testing.assert_allclose(
            value, expected[path], rtol=rtol, atol=atol, err_msg=path
        )


def greatest_difference(network, other):
    expected = weights(other)
    return max(
        np.abs(value - expected[path]).max()
        for path, value in weights(network).items()
    )
