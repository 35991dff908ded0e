"""
Title: Attention inserted into a trained network
Date created: 2026/11/25
Description: What it keeps, what it adds, and how to train it.

A unit of a convolutional network sees its receptive field. Channel attention
adds context: its gates depend on the whole image. The task here needs context:
the network names the digit that each pixel of a stroke belongs to, and has a
receptive field that is much smaller than a digit.

For each seed the script trains that network, inserts Squeeze-and-Excitation
(SE) or Efficient Channel Attention (ECA), and trains further. A control has a
receptive field as large as the image.

    pip install ".[examples,jax]"
    python examples/transfer_learning.py
    python examples/transfer_learning.py --seeds 10 --epochs 10

Set the environment variable `KERAS_BACKEND` to `tensorflow`, `torch` or `jax`
to choose a backend. On two CPU cores JAX takes less than two minutes.
"""

import argparse
import os
from collections import defaultdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path

# Without KERAS_BACKEND Keras imports TensorFlow, even if it is not installed.
if not find_spec("tensorflow"):
    os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from tqdm import tqdm

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_layers,
    insert_attention,
)

parser = argparse.ArgumentParser(description="Attention in a trained network.")
parser.add_argument("--seeds", type=int, default=2, metavar="N")
parser.add_argument("--epochs", type=int, default=8, metavar="N")
parser.add_argument("--output", type=Path, default="outputs/transfer_learning")
arguments = parser.parse_args()
if min(arguments.seeds, arguments.epochs) < 1:
    parser.error("--seeds and --epochs must be at least 1")
if keras.config.backend() not in ("jax", "torch", "tensorflow"):
    parser.error("KERAS_BACKEND must be one of jax, torch, tensorflow to train")
try:
    arguments.output.mkdir(parents=True, exist_ok=True)
except OSError as error:
    parser.error(f"--output: {error}")

"""
## The data

The digits of scikit-learn, 8x8 pixels, enlarged to 16x16 by repetition. The
label of each pixel of a stroke is its digit. The other pixels have the weight
zero in the loss and in the accuracy.
"""

digits = load_digits()
pixels = (digits.images / 16).repeat(2, axis=1).repeat(2, axis=2)
strokes = pixels > 0.3
labels = strokes * digits.target[:, np.newaxis, np.newaxis].astype("int32")
TRAINING_IMAGES, BATCH_SIZE = 850, 50

"""
## The network

Three 3x3 convolutions and a 1x1 convolution for the classes. The receptive
field is 7x7 pixels, about three and a half pixels of the original digit. With
dilations of 1, 2 and 4 it is 15x15, nearly the whole image, at the same cost.
"""


def network(dilations=(1, 1, 1)):
    x = inputs = keras.Input((16, 16, 1))
    for dilation in dilations:
        x = layers.Conv2D(
            32, 3, padding="same", use_bias=False, dilation_rate=dilation
        )(x)
        # The default momentum, 0.99, is too slow for so few steps.
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    return keras.Model(inputs, layers.Conv2D(10, 1, name="classes")(x))


"""
## The attention

It is inserted after each ReLU. With an identity start the outputs stay the same
until the network is trained. Then the learning rate of SE is that of the other
layers times 8, of ECA times 32, unless `learning_rate_multiplier=1` is given.
"""

se = partial(SqueezeExcite, reduction=4, identity_start=True)
eca = partial(EfficientChannelAttention, identity_start=True)


def no_attention(site):
    return None


def train(model, learning_rate, epochs):
    """Train, and return the accuracies after each epoch."""
    keras.utils.set_random_seed(seed)
    steps = epochs * TRAINING_IMAGES // BATCH_SIZE
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    images, labels, weights = training
    history = model.fit(
        images, labels, BATCH_SIZE, epochs, verbose=0, sample_weight=weights
    )
    return history.history["accuracy"]


def accuracy(model):
    """Of the stroke pixels of the test images, the share that is right."""
    images, labels, weights = test
    # Called directly: `predict` would compile each of the many models.
    scores = keras.ops.convert_to_numpy(model(images, training=False))
    return np.average(scores.argmax(axis=-1) == labels, weights=weights)


"""
## The experiment

Within a seed all networks start from the same trained network and have the same
number of steps. The learning rate of each was chosen with seed 0, which is not
used below. "Last layer" means that only the attention and the 1x1 convolution
are trained. The dilated networks are trained from scratch, for as many epochs
as the others in all.
"""

ROWS = {  # name: (attention, learning rate; None: not trained further)
    "SE inserted, identity start": (se(), None),
    "ECA inserted, identity start": (eca(), None),
    "SE inserted, plain start": (se(identity_start=False), None),
    "ECA inserted, plain start": (eca(identity_start=False), None),
    "all layers: no attention": (no_attention, 1e-2),
    "all layers: SE, multiplier 1": (se(learning_rate_multiplier=1), 3e-3),
    "all layers: SE": (se(), 1e-2),
    "all layers: ECA, multiplier 1": (eca(learning_rate_multiplier=1), 3e-3),
    "all layers: ECA": (eca(), 3e-3),
    "last layer: no attention": (no_attention, 1e-2),
    "last layer: SE": (se(), 3e-3),
    "last layer: ECA": (eca(), 1e-2),
    "dilated: no attention": (no_attention, 3e-3),
    "dilated: ECA": (eca(), 3e-3),
}
accuracies, curves = defaultdict(list), defaultdict(list)
models = {}  # Those of the last seed are drawn and saved.
for seed in range(1, arguments.seeds + 1):
    order = np.random.default_rng(seed).permutation(len(pixels))
    arrays = pixels[order, :, :, np.newaxis], labels[order], strokes[order]
    training = [array[:TRAINING_IMAGES] for array in arrays]
    test = [array[TRAINING_IMAGES:] for array in arrays]
    keras.utils.set_random_seed(seed)
    trained = models["trained network"] = network()
    train(trained, 3e-3, arguments.epochs)
    accuracies["trained network"].append(accuracy(trained))

    for name, (attention, rate) in tqdm(ROWS.items(), f"seed {seed}"):
        start, epochs = trained, arguments.epochs
        if name.startswith("dilated"):
            keras.utils.set_random_seed(seed)
            start, epochs = network(dilations=(1, 2, 4)), 2 * arguments.epochs
        model = models[name] = insert_attention(start, attention, layers.ReLU)
        if name.startswith("last layer"):
            trained_layers = {*attention_layers(model), "classes"}
            for layer in model.layers:
                layer.trainable = layer.name in trained_layers
        if rate:
            curves[name].append(train(model, rate, epochs))
        accuracies[name].append(accuracy(model))

"""
## The table

Pixel accuracy on the test images: mean and standard deviation over the seeds.
"""

print(f"\nKeras {keras.__version__}, {keras.config.backend()}, ", end="")
print(f"seeds: {arguments.seeds}, epochs: {arguments.epochs}")
print("| | parameters | pixel accuracy, % |\n|---|---|---|")
for name, values in accuracies.items():
    percents = 100 * np.array(values)
    spread = f" ± {percents.std(ddof=1):.1f}" if len(values) > 1 else ""
    parameters = f"{models[name].count_params():,}"
    print(f"| {name} | {parameters} | {percents.mean():.1f}{spread} |")

"""
## The pictures

Label maps of test images of the last seed, and the learning curves.
"""

images, _, strokes = (array[:6] for array in test)
names = ["trained network", *(name for name in ROWS if "all layers" in name)]
figure = Figure(figsize=(11, 9), layout="constrained")
grid = figure.subplots(6, 7, subplot_kw={"xticks": [], "yticks": []})
for axis, image in zip(grid[:, 0], images, strict=True):
    axis.imshow(image, cmap="gray_r")
for axes, name in zip(grid[:, 1:].T, names, strict=True):
    axes[0].set_title(name.replace(": ", ":\n").replace(", ", ",\n"), size=8)
    predicted = models[name].predict(images, verbose=0).argmax(axis=-1)
    label_maps = np.where(strokes, predicted, np.nan)
    for axis, label_map in zip(axes, label_maps, strict=True):
        maps = axis.imshow(label_map, cmap="tab10", vmin=-0.5, vmax=9.5)
figure.colorbar(maps, ax=grid, ticks=range(10), label="digit", shrink=0.6)
figure.savefig(arguments.output / "label_maps.png", dpi=100)

figure = Figure(figsize=(9, 4.5), layout="constrained")
axis = figure.subplots()
epochs = range(1, arguments.epochs + 1)
for name, values in curves.items():
    if not name.startswith("dilated"):  # Those have twice as many epochs.
        style = "--" if name.startswith("last layer") else "-"
        axis.plot(epochs, 100 * np.mean(values, axis=0), style, label=name)
axis.set(xlabel="epoch", ylabel="pixel accuracy, training images, %")
axis.grid(alpha=0.3)
figure.legend(loc="outside right upper")
figure.savefig(arguments.output / "learning_curves.png", dpi=100)

"""
## Saving and loading

The import of `keras_channel_attn` registers the attention layers, so that Keras
finds them when it loads the file.
"""

model = models["last layer: ECA"]
model.save(arguments.output / "ECA.keras")
loaded = keras.saving.load_model(arguments.output / "ECA.keras")
expected = model.predict(images, verbose=0)
difference = np.abs(loaded.predict(images, verbose=0) - expected).max()
print(f"The loaded model: largest difference {difference:.1e}")
