"""Our layer equals the SE blocks inside Keras' own models.

Models and channels come from the rows of docs/equivalents.md that name this
file. A block is cut out of the model by the names of its layers: from the
squeeze's input to the output of the multiplication.
"""

import functools

import keras
import numpy as np
import pytest
from support.equivalents import equivalents
from support.initial_weights import zero_weights

# How the layers of a block are called: squeeze, two maps, multiplication.
MOBILENET = tuple(
    f"squeeze_excite_{name}" for name in ("avg_pool", "conv", "conv_1", "mul")
)
EFFICIENTNET = tuple(
    f"se_{name}" for name in ("squeeze", "reduce", "expand", "excite")
)
LAYER_NAMES = {
    "MobileNetV3Small": MOBILENET,
    "MobileNetV3Large": MOBILENET,
    "EfficientNetB0": EFFICIENTNET,
}
CASES = [
    pytest.param(row, channels, id=f"{row.peer}-{channels}")
    for row in equivalents("layers/test_keras_applications.py")
    for channels in row.tested_channels
]


@functools.cache
def built(name):
    build = getattr(keras.applications, name)
    # The test sets each weight that it uses.
    with zero_weights():
        return build(weights=None, include_top=False, input_shape=(64, 64, 3))


def block_layers(name, channels):
    """The four layers of the first block with that many channels."""
    model, suffixes = built(name), LAYER_NAMES[name]
    prefix = next(
        layer.name.removesuffix(suffixes[0])
        for layer in model.layers
        if layer.name.endswith(suffixes[0])
        and layer.input.shape[-1] == channels
    )
    return [model.get_layer(prefix + suffix) for suffix in suffixes]


@pytest.mark.parametrize(("row", "channels"), CASES)
def test_equals_the_block_of_the_model(row, channels, rng):
    # The models' convolutions have no channels_first on every CPU.
    keras.config.set_image_data_format("channels_last")
    name = row.peer.removesuffix("()")
    squeeze, reduce, expand, multiply = block_layers(name, channels)
    for convolution in (reduce, expand):
        convolution.set_weights(
            [rng.normal(0, 0.3, w.shape) for w in convolution.get_weights()]
        )
    block = keras.Model(squeeze.input, multiply.output)
    x = rng.normal(size=(2, *squeeze.input.shape[1:])).astype("float32")

    layer = row.build_layer()
    layer.build(x.shape)
    layer.set_weights(row.carry([*reduce.get_weights(), *expand.get_weights()]))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(x)),
        keras.ops.convert_to_numpy(block(x)),
        rtol=1e-5,
        atol=1e-5,
    )
