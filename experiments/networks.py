"""The small networks that the studies train, without attention."""

import keras
from keras import layers


def classifier(shape, widths, classes):
    """From images to class probabilities.

    Args:
        shape: Tuple of integers, the shape of an image.
        widths: Channels of each residual block. A block that is wider than the
            one before halves the height and width.
        classes: Integer, the number of classes.
    """
    inputs = keras.Input(shape, name="image")
    x = convolution(inputs, widths[0], "stem")
    for block, width in enumerate(widths, start=1):
        x = residual_block(x, width, f"block_{block}")
    x = layers.GlobalAveragePooling2D(name="features")(x)
    return with_head(inputs, x, classes)


def with_head(inputs, features, classes):
    """A model with a new output layer on these features."""
    head = layers.Dense(classes, activation="softmax", name="head")
    return keras.Model(inputs, head(features))


def pixel_labeler(shape, width, dilations, classes):
    """From images to class probabilities of each pixel.

    Args:
        shape: Tuple of integers, the shape of an image.
        width: Integer, the channels of each 3x3 convolution.
        dilations: Tuple of integers, one for each 3x3 convolution.
        classes: Integer, the number of classes.
    """
    x = inputs = keras.Input(shape, name="image")
    for number, dilation in enumerate(dilations, start=1):
        x = convolution(x, width, f"layer_{number}", dilation=dilation)
        x = layers.ReLU(name=f"layer_{number}_relu")(x)
    # On each pixel: the same as a 1x1 convolution.
    return with_head(inputs, x, classes)


def receptive_field(dilations):
    """Height and width in pixels, for 3x3 convolutions without strides."""
    return 1 + 2 * sum(dilations)


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


def convolution(x, width, name, size=3, strides=1, dilation=1):
    x = layers.Conv2D(
        width,
        size,
        strides,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        name=name,
    )(x)
    # The default momentum, 0.99, needs more steps than these studies take.
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
