"""
Title: What the transfer leaves behind
Date created: 2026/11/21
Description: Pictures of a comparison, and models that load anywhere.

Not an example itself: `transfer_learning.py` imports it. Each `result` has a
`name` such as `"SE, plain start"`, a `model`, accuracies `before` any training
and, for each seed, a curve of accuracies in `curves`.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_channel_attn import ChannelAttention

BACKENDS = ("tensorflow", "torch", "jax")
COLORS = {"plain start": "tab:orange", "identity start": "tab:blue"}


@contextlib.contextmanager
def written_whole(path):
    """A temporary name: the file gets its own one when it is complete."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_figure(figure, path):
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=150, format="png")


"""
## The learning curves
"""


def draw_curves(results, epochs, path):
    """What each variant still knew, and how it learned.

    Args:
        results: List, the first without attention.
        epochs: List of integers, after which the curves were measured.
        path: `Path` of a PNG file.
    """
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    first, left, right = figure.subplots(1, 3, width_ratios=(1.1, 1, 1))
    draw_before(first, results)
    for axis, mechanism in ((left, "SE"), (right, "ECA")):
        for result in results[1:]:
            if result.name.startswith(f"{mechanism},"):
                draw_curve(axis, result, epochs, "-")
        # Above the others: an identity start follows it closely.
        draw_curve(axis, results[0], epochs, "--")
        axis.set_title(f"New classes: {mechanism}, fine-tuned")
        axis.set_xlabel("epochs of fine-tuning")
        axis.legend(loc="lower right")
        axis.grid(alpha=0.3)
    right.sharey(left)
    left.set_ylabel("accuracy, %: mean ± standard deviation")
    save_figure(figure, path)


def draw_before(axis, results):
    for row, result in enumerate(results):
        percent = 100 * np.array(result.before)
        color = color_of(result)
        axis.barh(row, percent.mean(), color=color, alpha=0.35)
        axis.plot(percent, [row] * len(percent), "o", color=color, alpha=0.7)
    axis.set_yticks(range(len(results)), [one.name for one in results])
    axis.invert_yaxis()
    axis.set_xlim(0, 103)
    axis.set_title("Old classes: before any training")
    axis.set_xlabel("accuracy, %: mean, and each seed")


def draw_curve(axis, result, epochs, style):
    percent = 100 * np.array(result.curves)
    mean, color = percent.mean(axis=0), color_of(result)
    axis.plot(epochs, mean, f"o{style}", color=color, label=result.name, ms=3)
    if len(percent) > 1:
        spread = percent.std(axis=0, ddof=1)
        low, high = mean - spread, mean + spread
        axis.fill_between(epochs, low, high, color=color, alpha=0.12, lw=0)


def color_of(result):
    return COLORS.get(result.name.rpartition(", ")[2], "black")


"""
## The attention scores

A second model, on the same layers, gives what reaches each attention layer.
The layer is then called on that with `return_attention_scores=True`.
"""


def attention_layers(model):
    return [
        layer for layer in model.layers if isinstance(layer, ChannelAttention)
    ]


def attention_scores(model, images, found):
    """The gates of these layers, arrays `(samples, channels)`."""
    before = keras.Model(model.input, [layer.input for layer in found])
    return [
        keras.ops.convert_to_numpy(
            layer(inputs, return_attention_scores=True)[1]
        )
        for layer, inputs in zip(found, before(images), strict=True)
    ]


def draw_scores(results, images, labels, class_names, path, rows=3):
    """A heat map per layer and variant: the mean gate of each channel."""
    drawn = [result for result in results if attention_layers(result.model)]
    classes = range(len(class_names))
    figure = Figure(figsize=(12, 1.2 + 1.6 * rows), layout="constrained")
    axes = figure.subplots(rows, len(drawn), sharey=True, squeeze=False)
    for column, result in zip(axes.T, drawn, strict=True):
        found = attention_layers(result.model)
        # As many as there is room for, the first and the last among them.
        depths = np.linspace(0, len(found) - 1, rows).round().astype(int)
        found = [found[depth] for depth in depths]
        scores = attention_scores(result.model, images, found)
        column[0].set_title(result.name)
        for axis, depth, gates in zip(column, depths, scores, strict=True):
            means = [gates[labels == label].mean(axis=0) for label in classes]
            # One scale for all; an identity start lets gates reach 2.
            heat_map = axis.pcolormesh(means, cmap="RdBu_r", vmin=0, vmax=2)
            axis.set_yticks(np.arange(len(class_names)) + 0.5, class_names)
            axis.set_xlabel(f"channels of attention {depth + 1}")
    axes[0, 0].invert_yaxis()
    figure.colorbar(
        heat_map, ax=axes, label="mean gate: 1 leaves the channel as it is"
    )
    save_figure(figure, path)


"""
## Models that are saved, and loaded in a new process

The file is to work where it was not made: in a new process, which knows the
layers only from importing the package, and on another backend.
"""

RELOAD = """
import sys
import keras
import numpy as np
import keras_channel_attn

images, *models = sys.argv[1:]
for path in models:
    model = keras.saving.load_model(path)
    scores = model.predict(np.load(images), batch_size=500, verbose=0)
    np.save(path + ".npy", scores)
"""


def save_models(results, folder):
    """Save the models; returns their paths."""
    paths = []
    for result in results:
        name = result.name.replace(",", "").replace(" ", "_")
        paths.append(folder / f"{name}.keras")
        with written_whole(paths[-1]) as partial:
            result.model.save(partial)
    return paths


def other_backend():
    """An installed backend that is not this one, or this one."""
    current = keras.config.backend()
    others = [name for name in BACKENDS if name != current]
    return next((name for name in others if find_spec(name)), current)


def predictions_elsewhere(paths, images, backend):
    """What the saved models predict in a new process, on a backend."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.save(folder / "images.npy", images)
        copies = []
        for path in paths:
            copies.append(folder / path.name)
            copies[-1].write_bytes(path.read_bytes())
        done = subprocess.run(
            [sys.executable, "-c", RELOAD, folder / "images.npy", *copies],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"Loading on {backend} failed:\n{done.stderr}")
        return [np.load(f"{copy}.npy") for copy in copies]
