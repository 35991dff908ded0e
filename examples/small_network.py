"""
Title: The small residual network that the examples train
Date created: 2026/11/22
Description: An ordinary functional model, without any attention.

Not an example itself: `transfer_learning.py` and `ablation.py` import it.
"""

import keras
from keras import layers


def small_network(shape, widths):
    """From images to features.

    Args:
        shape: Tuple of integers, of an image.
        widths: Channels of each residual block. One that is wider than the
            block before halves the size of the image.
    """
    inputs = keras.Input(shape, name="image")
    x = convolution(inputs, widths[0], "stem")
    for block, width in enumerate(widths, start=1):
        x = residual_block(x, width, f"block_{block}")
    x = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(inputs, x, name="backbone")


def residual_block(x, width, name):
    wider = x.shape[-1] != width
    shortcut = x
    if wider:
        shortcut = convolution(x, width, f"{name}_shortcut", size=1, strides=2)
    x = convolution(x, width, f"{name}_1", strides=2 if wider else 1)
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = convolution(x, width, f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def convolution(x, width, name, size=3, strides=1):
    x = layers.Conv2D(
        width, size, strides, padding="same", use_bias=False, name=name
    )(x)
    # The default momentum, 0.99, is for far more steps than we take.
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
