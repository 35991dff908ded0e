"""Does attention do anything in my network? An answer for a small one.

    python docs/analysis/digits.py

trains a network that labels each stroke pixel of handwritten digits, prints
what its attention layers do, and draws their scores beside this file. It needs
scikit-learn and matplotlib, and runs for less than a minute on two cores.
"""

import pathlib

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from keras_channel_attn import (
    SqueezeExcite,
    attention_report,
    attention_scores,
    model_costs,
    plot_attention_scores,
    replace_attention,
)

PICTURE = pathlib.Path(__file__).with_name("digits.png")


class FixedGates(layers.Layer):
    """Multiplies each channel by a constant, whatever the sample."""

    def __init__(self, gates, **options):
        super().__init__(**options)
        self.gates = keras.ops.convert_to_tensor(gates)

    def call(self, inputs):
        return inputs * self.gates


def load_pixels():
    """Images of 24x24 pixels, and the digit of each stroke pixel, else -1."""
    data = load_digits()
    images = np.kron(data.images / 16, np.ones((1, 3, 3)))[..., None]
    pixels = np.where(images[..., 0] > 0.3, data.target[:, None, None], -1)
    return images.astype("float32"), pixels, data.target


def build_network():
    """Five convolutions, attention after the second, fourth and fifth."""
    inputs = x = keras.Input((24, 24, 1))
    for number in range(1, 6):
        x = layers.Conv2D(32, 3, padding="same", use_bias=False)(x)
        # The default momentum, 0.99, is too slow for so few steps.
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        if number in (2, 4, 5):
            x = SqueezeExcite(reduction=4, name=f"block{number}_se")(x)
    return keras.Model(inputs, layers.Conv2D(10, 1, name="logits")(x))


def train(network, images, pixels, epochs):
    batches = -(-len(images) // 50)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * batches)
    network.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(True, ignore_class=-1),
    )
    network.fit(images, pixels, batch_size=50, epochs=epochs, verbose=0)


def accuracy(network, images, pixels):
    """Share of the stroke pixels that get their digit."""
    predicted = network.predict(images, verbose=0).argmax(-1)
    return np.mean(predicted[pixels >= 0] == pixels[pixels >= 0])


def with_fixed_gates(network, gates):
    """A copy of the network with constants in the place of some layers.

    Args:
        network: Functional model.
        gates: Dictionary from names of attention layers to arrays of gates.
    """

    def fixed(layer):
        if layer.name in gates:
            return FixedGates(gates[layer.name], name=f"{layer.name}_fixed")
        return None  # This layer stays.

    return replace_attention(network, fixed)


def report(epochs=15):
    keras.utils.set_random_seed(0)
    images, pixels, digits = load_pixels()
    half = len(images) // 2
    network = build_network()
    train(network, images[:half], pixels[:half], epochs)
    images, pixels, digits = images[half:], pixels[half:], digits[half:]

    print(str(model_costs(network)).splitlines()[-1])
    scores = attention_scores(network, images, verbose=0)
    plot_attention_scores(scores, digits, to_file=PICTURE)
    trained = accuracy(network, images, pixels)
    print(f"Pixel accuracy: {trained:.1%}")

    means = {name: values.mean(0) for name, values in scores.items()}
    print("| gates | lowest mean | highest mean | spread | accuracy |")
    print("|---|---|---|---|---|")
    for name, values in scores.items():
        fixed = with_fixed_gates(network, {name: means[name]})
        print(
            f"| `{name}` at its mean | {means[name].min():.2f} "
            f"| {means[name].max():.2f} | {values.std(0).mean():.3f} "
            f"| {accuracy(fixed, images, pixels):.1%} |"
        )
    ones = {name: np.ones_like(mean) for name, mean in means.items()}
    for label, gates in (("all at their means", means), ("all at 1", ones)):
        fixed = with_fixed_gates(network, gates)
        print(f"| {label} | | | | {accuracy(fixed, images, pixels):.1%} |")
    print(attention_report(network, images, verbose=0))


if __name__ == "__main__":
    report()
