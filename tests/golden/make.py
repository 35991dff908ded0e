"""Write the golden files: saved models, inputs, and their outputs.

    python tests/golden/make.py     # with the oldest supported Keras

Run it once per release that adds a layer, never to make a failing test pass:
the files stand for those that users have on their disks (see CONTRIBUTING).
It leaves alone what is there: a new layer gets a new model. The outputs are
those of the NumPy reference, not of the package.
"""

import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "numpy")

import keras
import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from support import reference
from support.formulas import outputs_and_scores
from support.prepared_images import CASES, image, key

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)
from keras_channel_attn.models import (
    ImagePreprocessing,
    ScaledStandardizedConv2D,
)


def golden():
    """One layer after the other, every kind of weight and argument in use."""
    inputs = keras.Input((4, 5, 32), name="inputs")
    x = SqueezeExcite(
        4, use_bias=True, data_format="channels_last", name="first"
    )(inputs)
    x = EfficientChannelAttention(data_format="channels_last", name="second")(x)
    x = SqueezeExcite(
        bottleneck_units=3,
        activation="swish",
        gate_activation="hard_sigmoid",
        pooling="avg_max_mean",
        identity_start=True,
        data_format="channels_last",
        name="third",
    )(x)
    x = EfficientChannelAttention(
        5, padding="circular", pooling="max", data_format="channels_last"
    )(x)
    return keras.Model(inputs, x, name="golden")


def golden_outputs(x, weights):
    """The same in NumPy, from the papers' formulas."""
    z = reference.squeeze(x)
    gates = reference.sigmoid(reference.bottleneck(z, weights[:4], True))
    x = reference.rescale(x, gates)
    z = reference.squeeze(x)
    gates = reference.sigmoid(reference.channel_convolution(z, weights[4]))
    x = reference.rescale(x, gates)
    z = reference.squeeze(x, pooling="avg_max_mean")
    logits = reference.bottleneck(z, weights[5:7], activation=reference.swish)
    x = reference.rescale(x, 2 * reference.hard_sigmoid(logits))
    z = reference.squeeze(x, pooling="max")
    logits = reference.channel_convolution(z, weights[7], "circular")
    return reference.rescale(x, reference.sigmoid(logits))


def variants():
    """The mechanisms between the two, and CBAM's pooling."""
    inputs = keras.Input((4, 5, 32), name="inputs")
    last = {"data_format": "channels_last"}
    x = LinearSqueezeExcite(
        use_bias=True, gate_activation="hard_sigmoid", name="first", **last
    )(inputs)
    x = LinearSqueezeExcite(
        groups=4,
        pooling="avg_max_separate",
        identity_start=True,
        name="second",
        **last,
    )(x)
    x = LinearSqueezeExcite(groups=32, name="third", **last)(x)
    x = SqueezeGate(pooling="max", name="fourth", **last)(x)
    x = EfficientChannelAttention(shared_kernel=False, name="fifth", **last)(x)
    x = EfficientChannelAttention(
        5,
        padding="circular",
        pooling="avg_max_separate",
        shared_kernel=False,
        name="sixth",
        **last,
    )(x)
    x = SqueezeExcite(4, pooling="avg_max_separate", name="seventh", **last)(x)
    return keras.Model(inputs, SqueezeGate(**last)(x), name="variants")


def variants_outputs(x, weights):
    """The same in NumPy, from the papers' formulas."""

    def attended(x, gate, excite, pooling="avg"):
        logits = reference.excited(excite, x, pooling=pooling)
        return reference.rescale(x, gate(logits))

    def linear(weights, groups):
        return lambda z: reference.grouped_linear(z, weights, groups)

    def unshared(kernel, padding):
        return lambda z: reference.unshared_channel_convolution(
            z, kernel, padding
        )

    def bottleneck(z):
        return reference.bottleneck(z, weights[6:8])

    def doubled(logits):
        return 2 * reference.sigmoid(logits)

    def itself(z):
        return z

    sigmoid = reference.sigmoid
    x = attended(x, reference.hard_sigmoid, linear(weights[:2], 1))
    x = attended(x, doubled, linear(weights[2:3], 4), "avg_max_separate")
    x = attended(x, sigmoid, linear(weights[3:4], 32))
    x = attended(x, sigmoid, itself, "max")
    x = attended(x, sigmoid, unshared(weights[4], "zeros"))
    x = attended(
        x, sigmoid, unshared(weights[5], "circular"), "avg_max_separate"
    )
    x = attended(x, sigmoid, bottleneck, "avg_max_separate")
    return attended(x, sigmoid, itself)


def positions():
    """The layers that attend to positions, two of each kind."""
    inputs = keras.Input((4, 5, 32), name="inputs")
    x, last = inputs, {"data_format": "channels_last"}
    for layer in (
        ConvolutionalBlockAttention(4, kernel_size=3, **last),
        ConvolutionalBlockAttention(
            bottleneck_units=3,
            use_bias=True,
            batch_normalization=True,
            identity_start=True,
            **last,
        ),
        ConcurrentSqueezeExcite(8, use_bias=True, **last),
        ConcurrentSqueezeExcite(8, combination="max", **last),
        ConcurrentSqueezeExcite(combination="spatial", **last),
        CoordinateAttention(8, divisor=1, **last),
        CoordinateAttention(
            use_bias=True,
            batch_normalization=False,
            gate_activation="hard_sigmoid",
            **last,
        ),
        GlobalContext(8, **last),
        GlobalContext(8, use_bias=False, fuse="scale", **last),
    ):
        x = layer(x)
    return keras.Model(inputs, x, name="positions")


def positions_outputs(x, weights):
    """The same in NumPy, from the papers' formulas."""
    model = positions()
    model.set_weights(weights)
    for layer in model.layers[1:]:
        x, _ = outputs_and_scores(layer, x)
    return x


def convolutions():
    """The convolutions of NFNets."""
    inputs = keras.Input((4, 5, 32), name="inputs")
    last = {"data_format": "channels_last"}
    x = ScaledStandardizedConv2D(
        8, 3, groups=2, activation_gain=1.5, name="first", **last
    )(inputs)
    x = ScaledStandardizedConv2D(
        6,
        1,
        use_bias=False,
        epsilon=1e-3,
        gain_initializer="zeros",
        name="second",
        **last,
    )(x)
    return keras.Model(inputs, x, name="convolutions")


def convolutions_outputs(x, weights):
    """The same in NumPy, from the paper's formula."""
    kernel, bias, gain, second_kernel, second_gain = weights
    kernel = reference.standardized_kernel(kernel, gain, 1.5)
    x = reference.convolution(x, kernel, bias, groups=2)
    kernel = reference.standardized_kernel(
        second_kernel, second_gain, epsilon=1e-3
    )
    return reference.convolution(x, kernel)


def features(rng):
    return rng.normal(size=(2, 4, 5, 32)).astype("float32")


def photographs():
    """A photograph on its way into a network."""
    inputs = keras.Input((*CASES[0][0], 3), dtype="uint8", name="inputs")
    prepare = ImagePreprocessing(*CASES[0][1:], data_format="channels_last")
    return keras.Model(inputs, prepare(inputs), name="photographs")


def photographs_outputs(x, weights):
    """What Pillow makes of it (`make_images.py`), normalized in NumPy."""
    pixels = np.load(HERE / "pillow.npz")[key(CASES[0])][None]
    mean = np.array([0.485, 0.456, 0.406])
    return (pixels / 255 - mean) / np.array([0.229, 0.224, 0.225])


MODELS = {
    "golden": (golden, golden_outputs, features),
    "variants": (variants, variants_outputs, features),
    "positions": (positions, positions_outputs, features),
    "convolutions": (convolutions, convolutions_outputs, features),
    "photographs": (
        photographs,
        photographs_outputs,
        lambda rng: image(CASES[0][0])[None],
    ),
}


def main():
    for name, (build, outputs, inputs) in MODELS.items():
        files = HERE / f"{name}.keras", HERE / f"{name}.npz"
        if any(path.exists() for path in files):
            print(f"{name} is there already, and stays as it is.")
            continue
        rng = np.random.default_rng(0)
        model = build()
        for weight in model.weights:
            values = rng.normal(0, 0.5, weight.shape)
            is_variance = weight.name == "moving_variance"
            weight.assign(np.abs(values) if is_variance else values)
        x = inputs(rng)
        y = outputs(x, model.get_weights()).astype("float32")
        model.save(files[0])
        np.savez_compressed(files[1], x=x, y=y)


if __name__ == "__main__":
    main()
