"""
Title: What a photograph shows, and what attention made of it
Date created: 2026/11/22
Description: Top five classes of an image, and a picture of the last attention.

A network by its name in timm, with a checkpoint, classifies photographs. The
last attention layer of the network gives each channel a gate; the picture
shows how far they are open, and where in the photograph the channels that are
open widest are active.

    pip install "keras-channel-attn[examples,pretrained]"
    python examples/classify_image.py photo.jpg \\
        --model seresnet50 --weights pretrained
    python examples/classify_image.py *.jpg \\
        --model ecaresnet50t.a1_in1k --weights model.safetensors
    python examples/classify_image.py photo.jpg \\
        --model seresnet18 --weights my.weights.h5 --labels names.txt

`pretrained` takes the checkpoint from the Hugging Face Hub or its cache; with
a file nothing needs a network. ImageNet's classes have their names here, for
others `--labels` has a file with one name per line.

Set `KERAS_BACKEND` to `tensorflow`, `torch` or `jax` to choose a backend.
"""

import argparse
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten

# Keras takes TensorFlow if nobody says otherwise, installed or not.
if "KERAS_BACKEND" not in os.environ and not find_spec("tensorflow"):
    os.environ["KERAS_BACKEND"] = "torch" if find_spec("torch") else "jax"

import keras
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from outputs import attention_layers, save_figure
from PIL import Image, ImageOps

from keras_channel_attn import models

IMAGENET = Path(__file__).with_name("imagenet_classes.txt")
BEST = 5  # classes
EXTREMES = 6  # channels, of the most open and of the least open ones
ACCENT = "tab:orange"


"""
## The photograph
"""


def read(path):
    """A photograph as people see it, an array of numbers from 0 to 255."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name images, as {path}/*.jpg")
    try:
        with Image.open(path) as image:
            # Cameras write how they were held beside the pixels.
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16"):
                # Pillow would cut off all that is above 255.
                pixels = np.asarray(image) >> 8
                image = Image.fromarray(pixels.astype("uint8"))
            # Transparent pixels have colors too, which nobody should see.
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image)
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow has one for each thing that is wrong.
        raise ValueError(f"{path} cannot be read: {error}") from error


def preparation(name):
    """The layer that prepares images for a network, and what it does."""
    try:
        prepare = models.preprocessing(name)
        why = f"as for timm's checkpoint of {name}"
    except ValueError:
        prepare = models.ImagePreprocessing()
        why = f"by default: no checkpoint of {name} is published"
    return prepare, (
        f"Of each image its middle, a square of {prepare.crop:.1%} of the "
        f"shorter side, at {prepare.size} x {prepare.size} pixels, {why}."
    )


def seen(prepared, prepare):
    """What the network sees, in colors from 0 to 1 again."""
    return np.clip(
        prepared * np.array(prepare.standard_deviation) + prepare.mean, 0, 1
    )


"""
## The network
"""


def network(name, weights, names):
    """A network of timm, with as many classes as there are names, if any."""
    if weights != "pretrained" and not Path(weights).is_file():
        raise ValueError(
            f"--weights {weights} is not a file. It takes a .safetensors, "
            ".pth, .pt, .bin, .tar or .weights.h5 file, or the word pretrained."
        )
    # Keras walks through a network by recursion, and some are very deep.
    sys.setrecursionlimit(20_000)
    try:
        return models.from_timm(name, weights, classes=names and len(names))
    except Exception as error:  # Each kind of file has errors of its own.
        message = (
            f"{name} with --weights {weights}: "
            f"{shorten(str(error), 400, placeholder=' ...')}"
        )
        # The dense layer, which is called so in all these networks.
        if names is None and re.search(r"\bfc\b", str(error)):
            message += " If it has other classes, name them with --labels."
        raise ValueError(message) from error


def read_names(path):
    try:
        lines = path.read_text("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"--labels {path} cannot be read: {error}") from error
    names = [line.strip() for line in lines]
    if not names or "" in names:
        raise ValueError(f"--labels {path} must have a name on each line")
    return names


def names_without_labels(classes):
    if classes == 1000:
        return read_names(IMAGENET)
    print("The classes have numbers only: --labels gives them names.")
    return [f"class {number}" for number in range(classes)]


"""
## The gates

A second model, on the same layers, gives what reaches the last attention layer
beside the probabilities. The layer is then called on that with
`return_attention_scores=True`.
"""


@dataclass
class Result:
    """What came out for a photograph."""

    path: Path
    best: list  # pairs of the name of a class and its probability
    gates: np.ndarray = None  # (channels,)
    maps: np.ndarray = None  # (height, width, channels), behind the gates

    @property
    def order(self):
        """Channels, the one that is open widest first."""
        return np.argsort(-self.gates, kind="stable")


def watched(model, attention):
    """The classifier, with what reaches a layer beside its outputs."""
    outputs = {"probabilities": model.output}
    if attention is not None:
        outputs["features"] = attention.input
    return keras.Model(model.input, outputs)


def classify(path, prepared, watcher, attention, names):
    """The `Result` for a photograph; without attention it has no gates.

    Args:
        path: `Path` of the photograph.
        prepared: Array `(1, size, size, 3)`.
        watcher: Model, see `watched`.
        attention: Layer, or `None`.
        names: List of strings, of the classes.
    """
    outputs = watcher.predict(prepared, verbose=0)
    probabilities = outputs["probabilities"][0]
    best = np.argsort(-probabilities, kind="stable")[:BEST]
    result = Result(path, [(names[one], probabilities[one]) for one in best])
    if attention is not None:
        result.maps, result.gates = (
            keras.ops.convert_to_numpy(one)[0]
            for one in attention(
                outputs["features"], return_attention_scores=True
            )
        )
    return result


def told(result):
    """The lines to print about a photograph."""
    lines = ["", str(result.path)]
    lines += [f"{value:9.1%}  {name}" for name, value in result.best]
    if result.gates is not None:
        for what, channels in (
            ("most", result.order[:EXTREMES]),
            ("least", result.order[: -EXTREMES - 1 : -1]),
        ):
            gates = [f"{one} ({result.gates[one]:.2f})" for one in channels]
            lines.append(f"  channels open {what}: {', '.join(gates)}")
    return lines


"""
## The picture
"""


def draw(result, image, usual, attention, path):
    """The photograph, its classes, the gates, and the widest channels.

    Args:
        result: `Result`.
        image: Array `(size, size, 3)`, what the network has seen.
        usual: Array `(channels,)`, mean gates of all photographs, or `None` if
            there is one photograph.
        attention: Layer that the gates are of.
        path: `Path` of a PNG file.
    """
    figure = Figure(figsize=(12, 7.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.55))
    photograph, classes = left.subplots(2, 1, height_ratios=(2.15, 1))
    photograph.imshow(image)
    photograph.set_title(result.path.name)
    photograph.axis("off")
    draw_classes(classes, result.best)
    top, bottom = right.subfigures(2, 1, height_ratios=(1, 2.3))
    draw_gates(top.subplots(), result, usual, attention)
    bottom.suptitle(
        "Channels open most, in color where they are strong: red adds, blue "
        "takes away"
    )
    mean = result.gates.mean()
    axes = bottom.subplots(2, EXTREMES // 2).ravel()
    for axis, channel in zip(axes, result.order[:EXTREMES], strict=True):
        axis.imshow(tinted(image, result.maps[..., channel]))
        axis.axis("off")
        gate = result.gates[channel]
        axis.set_title(
            f"{channel}: gate {gate:.2f}, {gate / mean:.1f} x mean", size=11
        )
    save_figure(figure, path)


def draw_classes(axis, best):
    for row, (name, value) in enumerate(best):
        weight = "normal" if row else "bold"
        axis.barh(row, 1, height=0.22, color="0.93")
        axis.barh(row, value, height=0.22, color=ACCENT)
        for x, side, text in (
            (0, "left", shorten(name, 40)),
            (1, "right", f"{value:.1%}"),
        ):
            axis.text(x, row - 0.2, text, ha=side, va="bottom", weight=weight)
    axis.set_xlim(0, 1)
    axis.set_ylim(len(best) - 0.7, -0.8)
    axis.axis("off")


def draw_gates(axis, result, usual, attention):
    gates = result.gates[result.order]
    places = np.arange(len(gates))
    axis.fill_between(places, gates, color=ACCENT, alpha=0.25, lw=0)
    axis.plot(places, gates, color=ACCENT, lw=2, label="this photograph")
    if usual is not None:
        axis.plot(
            places,
            usual[result.order],
            ".",
            color="0.45",
            ms=3,
            label="mean of all photographs",
        )
        axis.legend(loc="lower left", frameon=False)
    axis.axhline(gates.mean(), color="0.3", lw=0.8, ls="--")
    axis.set_title(
        f"{attention.name}: {len(gates)} channels by their gates, "
        f"{gates[0]:.2f} to {gates[-1]:.2f}, mean {gates.mean():.2f}"
    )
    axis.set_ylim(0, None)
    axis.margins(x=0)
    axis.set_xticks([])
    axis.set_ylabel("gate")
    axis.spines[["top", "right"]].set_visible(False)
    for x, what, side, channels in (
        (0, "most", "left", result.order[:EXTREMES]),
        (1, "least", "right", result.order[-EXTREMES:]),
    ):
        axis.text(
            x,
            -0.05,
            f"open {what}: {', '.join(map(str, channels))}",
            ha=side,
            va="top",
            transform=axis.transAxes,
        )


def tinted(image, values):
    """A pale image, red where a channel is above zero and blue where below."""
    values = values / max(np.abs(values).max(), np.finfo("float32").tiny)
    values = Image.fromarray(values.astype("float32")).resize(
        image.shape[1::-1], Image.Resampling.BICUBIC
    )
    values = np.clip(values, -1, 1)
    color = matplotlib.colormaps["RdBu_r"](0.5 + 0.45 * values)[..., :3]
    strength = 0.85 * np.abs(values)[..., np.newaxis]
    gray = 0.3 + 0.7 * image.mean(axis=-1, keepdims=True)
    return strength * color + (1 - strength) * gray


"""
## The command line
"""


def parse():
    parser = argparse.ArgumentParser(
        description="Top five classes of images, and a picture of attention."
    )
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE")
    add(
        "--model",
        required=True,
        metavar="NAME",
        help="network of timm, such as seresnet50 or seresnet50.ra2_in1k",
    )
    add(
        "--weights",
        required=True,
        metavar="W",
        help="pretrained (downloaded, or from the cache), or a .safetensors, "
        ".pth, .pt, .bin, .tar or .weights.h5 file",
    )
    add(
        "--labels",
        type=Path,
        metavar="FILE",
        help="names of the classes, one per line; without it ImageNet's, for "
        "a network of 1000 classes",
    )
    add(
        "--output",
        type=Path,
        default=Path("outputs/classify_image"),
        metavar="DIR",
    )
    return parser, parser.parse_args()


def pictures(folder, images):
    """A path for each; images of several folders may share a name."""
    used = Counter()
    for image in images:
        used[image.stem] += 1
        count = used[image.stem]
        number = f"_{count}" if count > 1 else ""
        yield folder / f"{image.stem}_attention{number}.png"


def main():
    parser, arguments = parse()
    # TensorFlow has no convolution with channels first on a CPU.
    keras.config.set_image_data_format("channels_last")
    # Names may have dollars, which are no formulas.
    matplotlib.rcParams["text.parse_math"] = False
    prepare, how = preparation(arguments.model)
    try:
        names = arguments.labels and read_names(arguments.labels)
        prepared = [
            keras.ops.convert_to_numpy(prepare(read(path)[np.newaxis]))
            for path in arguments.images
        ]
        model = network(arguments.model, arguments.weights, names)
        attention = next(reversed(attention_layers(model)), None)
        if attention is not None:
            arguments.output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    print(how)
    names = names or names_without_labels(model.output_shape[-1])
    watcher = watched(model, attention)
    results = []
    for path, batch in zip(arguments.images, prepared, strict=True):
        results.append(classify(path, batch, watcher, attention, names))
        print(*told(results[-1]), sep="\n", flush=True)
    print()
    if attention is None:
        print(f"No picture: {arguments.model} has no channel attention.")
        return
    usual = None
    if len(results) > 1:
        usual = np.mean([result.gates for result in results], axis=0)
    paths = pictures(arguments.output, arguments.images)
    for result, batch, path in zip(results, prepared, paths, strict=True):
        draw(result, seen(batch[0], prepare), usual, attention, path)
        print(f"Written: {path}")


if __name__ == "__main__":
    main()
