"""Small networks, random numbers for any network, and what is compared."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_channel_attn.layers import AttentionLayer
from support.configurations import shape_of


def image(name="image"):
    """An input with eight channels, in the global data format."""
    data_format = keras.config.image_data_format()
    return keras.Input(shape_of(None, (6, 6), 8, data_format)[1:], name=name)


def convolution(name, size=3, **arguments):
    return layers.Conv2D(8, size, padding="same", name=name, **arguments)


def blocks(x, prefix=""):
    """A residual block with a projection shortcut, and one without.

    All kernels have one shape, and the two that meet in the first addition
    have one depth: with a layer between one of them and the addition,
    `model.layers` has another order.
    """
    axis = 1 if keras.config.image_data_format() == "channels_first" else -1
    shortcut = convolution(prefix + "shortcut")(x)
    y = convolution(prefix + "a_1")(x)
    y = layers.BatchNormalization(axis, name=prefix + "a_norm")(y)
    y = convolution(prefix + "a_2", activation="relu")(y)
    x = layers.Add(name=prefix + "a_add")([shortcut, y])
    y = convolution(prefix + "b_1", activation="relu")(x)
    y = convolution(prefix + "b_2")(y)
    return layers.Add(name=prefix + "b_add")([x, y])


def head(x, name="head"):
    x = layers.GlobalAveragePooling2D(name=name + "_pool")(x)
    return layers.Dense(3, name=name)(x)


def residual():
    x = image()
    return keras.Model(x, head(blocks(x)), name="residual")


def sequential():
    return keras.Sequential(
        [
            image(),
            convolution("first", activation="relu"),
            convolution("second"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, name="head"),
        ],
        name="sequential",
    )


def dictionaries():
    """Two inputs and two outputs, each in a dictionary."""
    left, right = image("left"), image("right")
    x = layers.Concatenate(name="concatenate")([left, right])
    x = blocks(convolution("stem")(x))
    return keras.Model(
        {"left": left, "right": right},
        {"classes": head(x), "map": convolution("map", 1)(x)},
        name="dictionaries",
    )


def shared():
    """One convolution called twice."""
    x = image()
    conv = convolution("conv", activation="tanh")
    return keras.Model(x, head(conv(conv(x))), name="shared")


def backbone(name="backbone"):
    x = image("backbone_image")
    return keras.Model(x, blocks(x), name=name)


def nested():
    x = image()
    return keras.Model(x, head(backbone()(x)), name="nested")


def nested_in_sequential():
    return keras.Sequential(
        [
            image(),
            keras.Sequential(
                [image("inner_image"), convolution("conv"), backbone()],
                name="inner",
            ),
            layers.GlobalAveragePooling2D(name="pool"),
        ],
        name="nested_in_sequential",
    )


def siamese():
    """One nested model called for two images."""
    left, right = image("left"), image("right")
    inner = backbone()
    difference = layers.Subtract(name="difference")([inner(left), inner(right)])
    return keras.Model([left, right], head(difference), name="siamese")


def operations():
    """Operators and operations of Keras in place of layers."""
    inputs = image()
    x = ops.relu(convolution("a")(inputs + 1))
    x = inputs + ops.multiply(convolution("b")(x), 0.5)
    return keras.Model(inputs, head(x), name="operations")


def function():
    """A function in a `Lambda`."""
    x = image()
    double = layers.Lambda(
        lambda x: 2 * x, output_shape=(6, 6, 8), name="double"
    )
    y = double(convolution("a")(x))
    y = layers.Add(name="add")([x, y])
    return keras.Model(x, head(y), name="function")


class Shift(layers.Layer):
    """A layer that nobody has registered."""

    def __init__(self, by, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), name="scale")

    def call(self, inputs):
        return self.scale * inputs + self.by

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "by": self.by}


def unregistered():
    x = image()
    return keras.Model(
        x, head(Shift(0.5, name="shift")(blocks(x))), name="unregistered"
    )


SAVED = [
    residual,
    sequential,
    dictionaries,
    shared,
    nested,
    nested_in_sequential,
    siamese,
    operations,
]
NETWORKS = [*SAVED, function, unregistered]

over_networks = pytest.mark.parametrize("build", NETWORKS)


def randomize(model, seed=1):
    """Give all weights numbers such that activations keep their size.

    No two weights are alike, batch normalizations have seen other data.
    """
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape = weight.shape
        if len(shape) < 2:
            positive = weight.name.rpartition("_")[2] in ("gamma", "variance")
            value = (
                rng.normal(1, 0.1, shape)
                if positive
                else (rng.normal(0, 0.1, shape))
            )
        else:
            # Depthwise kernels see one channel.
            seen = shape[:-2] if shape[-1] == 1 else shape[:-1]
            value = rng.normal(0, np.prod(seen) ** -0.5, shape)
        weight.assign(value.astype("float32"))
    for layer in layers_of(model).values():
        if isinstance(layer, layers.Normalization):
            # It computes with what it has derived from its weights.
            layer.finalize_state()
    return model


def inputs_of(model):
    """The inputs of a model in their structure."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model.input


def sample(model, batch=2, seed=2):
    """Random arrays in the structure of the inputs of a model."""
    rng = np.random.default_rng(seed)
    return keras.tree.map_structure(
        lambda x: rng.normal(size=(batch, *x.shape[1:])).astype("float32"),
        inputs_of(model),
    )


def predictions(model, x=None):
    outputs = model(sample(model) if x is None else x, training=False)
    return keras.tree.map_structure(
        lambda y: ops.convert_to_numpy(ops.cast(y, "float32")), outputs
    )


def distance(one, other):
    """Largest difference between two structures of arrays, as a share."""
    keras.tree.assert_same_structure(one, other)
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return max(np.max(np.abs(a - b)) / np.max(np.abs(a)) for a, b in pairs)


def assert_same(model, other, tolerance=1e-5):
    assert distance(predictions(model), predictions(other)) < tolerance


def layers_of(model, prefix=""):
    """Dictionary from path to layer, those of nested models included."""
    found = {}
    for layer in model.layers:
        found[prefix + layer.name] = layer
        if isinstance(layer, keras.Model):
            found.update(layers_of(layer, prefix + layer.name + "/"))
    return found


def attention_of(model):
    """Dictionary from path to layer of the attention in a model."""
    return {
        path: layer
        for path, layer in layers_of(model).items()
        if isinstance(layer, AttentionLayer)
    }


def is_convolution(layer):
    return isinstance(layer, layers.Conv2D)
