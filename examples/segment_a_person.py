"""
Title: What the gates of a real network do
Date created: 2026/11/30
Description: A network finds a person, with the gates of its SE and without.

MediaPipe's selfie segmentation is a small network that finds people in
photographs. Six of its layers are Squeeze-and-Excitation (SE). This example
shows what becomes of the mask of a person if SE is removed, if all gates are
1/2, and if each gate is a constant, its mean over forty crops and shades of the
photograph. The picture shows the masks and the gates.

    pip install ".[examples,torch]" ai-edge-litert
    KERAS_BACKEND=torch python examples/segment_a_person.py
    KERAS_BACKEND=torch python examples/segment_a_person.py --image photo.jpg

The network is in the package mediapipe, of which 35 MB are downloaded once.
Without `--image` the photograph is the one of Grace Hopper that comes with
Matplotlib. `astronaut` and `camera` are photographs of scikit-image. Set the
environment variable `KERAS_BACKEND` to `tensorflow`, `torch` or `jax`.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from selfie_segmentation import (
    SIZE,
    crops_and_shades,
    load_network,
    overlap,
    photograph,
)

from keras_channel_attn import (
    LinearSqueezeExcite,
    attention_report,
    attention_scores,
    freeze_attention,
    fuse_attention,
    remove_attention,
    replace_attention,
)

parser = argparse.ArgumentParser(description="The gates of a real network.")
add = parser.add_argument
add("--image", default="grace_hopper", metavar="PATH", help="of a person")
add("--crops", type=int, default=40, metavar="N", help="of the photograph")
add("--output", type=Path, default="outputs/segment_a_person", metavar="DIR")
arguments = parser.parse_args()

"""
## The network

`load_network` gives each operation of MediaPipe's file as a layer of Keras. SE
is five of them there: a pooling, two convolutions, their activations and a
product. `fuse_attention` makes one layer of each block.
"""

try:
    image = photograph(arguments.image)
    network = fuse_attention(load_network())
    arguments.output.mkdir(parents=True, exist_ok=True)
except (OSError, ImportError) as error:
    parser.error(str(error))

crops = crops_and_shades(image, arguments.crops)
masks = network.predict(crops, verbose=0)

"""
## The network with other gates

The other layers stay as they were trained. In the place of SE, a map whose
kernel is zero has gates of 1/2.
"""

halves = LinearSqueezeExcite(kernel_initializer="zeros")
networks = {
    "with SE": network,
    "SE removed": remove_attention(network),
    "gates 1/2": replace_attention(network, halves),
    "gates constant": freeze_attention(network, crops, verbose=0),
}
square = ImageOps.fit(image, (2 * SIZE, 2 * SIZE), centering=(0.5, 0.3))
inputs = np.asarray(square.resize((SIZE, SIZE)), "float32")[None] / 255
people, overlaps = {}, {}
for name, other in networks.items():
    people[name] = other.predict(inputs, verbose=0)[0, ..., 0]
    overlaps[name] = overlap(masks, other.predict(crops, verbose=0)).mean()
    print(f"{name}: IoU with the mask of the network {overlaps[name]:.3f}")

"""
## The report

It says for each layer how far its gates differ between images and between
channels, and what is left of the masks if its gates alone are constant.
"""

report = attention_report(network, crops, masks, overlap, verbose=0)
print(report)

"""
## The picture

What is not of the person is painted over. In the lower part, the channels of
each layer are ordered by their mean gate.
"""

BACKGROUND, PALE, DARK = (214, 226, 233), "tab:orange", "#1f5a85"


def cut_out(mask):
    mask = Image.fromarray(mask).resize(square.size, Image.Resampling.BILINEAR)
    mask = np.asarray(mask)[..., None]
    return (mask * square + (1 - mask) * BACKGROUND).astype("uint8")


def draw_overlaps(axis):
    """How much of the mask each change leaves."""
    for height, (name, value) in enumerate(list(overlaps.items())[1:]):
        color = DARK if name == "gates constant" else PALE
        axis.barh(height, value, 0.5, color=color)
        axis.text(0.02, height - 0.32, f"{name}: {value:.2f}")
    axis.set(ylim=(2.5, -0.7), xlim=(0, 1), yticks=[], xticks=[0, 1])
    axis.set_title("same mask? IoU")
    axis.spines[["top", "left", "right"]].set_visible(False)


def draw_gates(axis, gates, title):
    """Mean and range of the gate of each channel over the crops."""
    gates = gates[:, np.argsort(-gates.mean(0))]
    channels = np.arange(gates.shape[1])
    axis.fill_between(
        channels, gates.min(0), gates.max(0), step="mid", color=DARK, alpha=0.3
    )
    axis.step(channels, gates.mean(0), where="mid", color=DARK)
    axis.set(ylim=(0, 1), xlim=(0, len(channels) - 1), yticks=[0, 0.5, 1])
    axis.set_xticks([0, len(channels) - 1], [1, len(channels)])
    axis.set_title(title)
    axis.spines[["top", "right"]].set_visible(False)


# Legible on a telephone, too, where the picture is a third as large.
rcParams.update({"font.size": 13, "axes.titlesize": 14})
figure = Figure(figsize=(8, 9.4), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=(5.6, 3.8))
tiles = upper.subplots(2, 3).ravel()
tiles[0].imshow(square)
tiles[0].set_title("photograph")
for axis, (name, mask) in zip(tiles[1:], people.items(), strict=False):
    axis.imshow(cut_out(mask))
    axis.set_title(name)
for axis in tiles[:5]:
    axis.axis("off")
draw_overlaps(tiles[5])
scores = attention_scores(network, crops, verbose=0)
curves = lower.subplots(2, 3, sharey=True).ravel()
for number, (axis, row) in enumerate(
    zip(curves, report.layers, strict=False), start=1
):
    title = f"SE {number} constant: IoU {row.metric_if_constant:.3f}"
    draw_gates(axis, scores[row.path], title)
lower.suptitle(f"Gates of each channel: mean and range over {len(crops)} crops")
# A PNG of photographs is several times as large.
picture = arguments.output / "person.webp"
figure.savefig(picture, dpi=160, pil_kwargs={"quality": 82, "method": 6})
print(f"Written: {picture}")
