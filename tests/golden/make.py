"""Write the golden files: a saved model, an input, and its outputs.

    python tests/golden/make.py     # with the oldest supported Keras

Run it once per release that adds a layer, never to make a failing test pass:
the files stand for those that users have on their disks (see CONTRIBUTING).
It refuses to write over a file that is there. The outputs are those of the
NumPy reference, not of the package.
"""

import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "numpy")

import keras
import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import reference

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite


def model():
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
        pooling="avg_max",
        identity_start=True,
        data_format="channels_last",
        name="third",
    )(x)
    x = EfficientChannelAttention(
        5, padding="circular", pooling="max", data_format="channels_last"
    )(x)
    return keras.Model(inputs, x, name="golden")


def outputs(x, weights):
    """The same in NumPy, from the papers' formulas."""
    z = reference.squeeze(x)
    gates = reference.sigmoid(reference.bottleneck(z, weights[:4], True))
    x = reference.rescale(x, gates)
    z = reference.squeeze(x)
    gates = reference.sigmoid(reference.channel_convolution(z, weights[4]))
    x = reference.rescale(x, gates)
    z = reference.squeeze(x, pooling="avg_max")
    logits = reference.bottleneck(z, weights[5:7], activation=reference.swish)
    x = reference.rescale(x, 2 * reference.hard_sigmoid(logits))
    z = reference.squeeze(x, pooling="max")
    logits = reference.channel_convolution(z, weights[7], "circular")
    return reference.rescale(x, reference.sigmoid(logits))


def main():
    keras_file, arrays_file = HERE / "golden.keras", HERE / "golden.npz"
    for path in (keras_file, arrays_file):
        if path.exists():
            sys.exit(f"{path} is there already, and stays as it is.")
    rng = np.random.default_rng(0)
    golden = model()
    golden.set_weights(
        [rng.normal(0, 0.5, w.shape) for w in golden.get_weights()]
    )
    x = rng.normal(size=(2, 4, 5, 32)).astype("float32")
    y = outputs(x, golden.get_weights()).astype("float32")
    golden.save(keras_file)
    np.savez_compressed(arrays_file, x=x, y=y)


if __name__ == "__main__":
    main()
