"""
Title: What a photograph shows, and which channels attention opened
Date created: 2026/11/22
Description: The five most likely classes, and the gates of the last attention.

A network by its name in timm, with a checkpoint, classifies photographs. The
picture shows the gates of the last attention layer, and where in the
photograph the channels with the largest gates are active.

    pip install ".[examples,pretrained,jax]"
    KERAS_BACKEND=jax python examples/classify_image.py photo.jpg \\
        --model seresnet50 --weights pretrained
    KERAS_BACKEND=jax python examples/classify_image.py *.jpg \\
        --model ecaresnet50t.a1_in1k --weights model.safetensors
    KERAS_BACKEND=jax python examples/classify_image.py photo.jpg \\
        --model seresnet18 --weights my.weights.h5 --labels names.txt

`pretrained` downloads the checkpoint from the Hugging Face Hub; a file is read
without a network connection. For other classes than those of ImageNet,
`--labels` names a file with one class per line. Set the environment variable
`KERAS_BACKEND` to `tensorflow`, `torch` or `jax`, whichever is installed.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from keras_channel_attn import attention_layers, attention_scores, models

IMAGENET = Path(__file__).with_name("imagenet_classes.txt")
parser = argparse.ArgumentParser(description="Classify photographs.")
add = parser.add_argument
add("images", nargs="+", type=Path, metavar="IMAGE")
add("--model", required=True, metavar="NAME", help="such as seresnet50")
add("--weights", required=True, metavar="W", help="pretrained, or a file")
add("--labels", type=Path, metavar="FILE", help="one class per line")
add("--output", type=Path, default="outputs/classify_image", metavar="DIR")
arguments = parser.parse_args()
# TensorFlow has no convolution with channels first on a CPU.
keras.config.set_image_data_format("channels_last")

"""
## The photographs

Cameras store beside the pixels how they were held; `exif_transpose` turns the
photograph accordingly. A transparent background becomes white.
"""


def read(path):
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            # `convert` would clip all values above 255.
            image = Image.fromarray((np.array(image) >> 8).astype("uint8"))
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        return np.array(Image.alpha_composite(background, image).convert("RGB"))


photographs = []
for path in arguments.images:
    try:
        photographs.append(read(path))
    except OSError as error:
        parser.error(f"{path} cannot be read: {error}")

"""
## The network

With `--labels` the network has as many classes as there are names. The
preprocessing is that of the checkpoint, or ImageNet's usual one if no
checkpoint of this name is published.
"""

names = None
try:
    if arguments.labels:
        names = arguments.labels.read_text("utf-8-sig").split("\n")
        names = [name.strip() for name in names if name.strip()]
    classifier = models.from_timm(
        arguments.model, arguments.weights, classes=names and len(names)
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
except Exception as error:  # Each kind of file has errors of its own.
    parser.error(f"{arguments.model} with {arguments.weights}: {error}")
try:
    prepare = models.preprocessing(arguments.model)
except ValueError:
    prepare = models.ImagePreprocessing()

classes = classifier.output_shape[-1]
if names is None:
    names = [f"class {number}" for number in range(classes)]
    if classes == 1000:
        names = IMAGENET.read_text("utf-8").splitlines()

"""
## The gates

A second model on the same layers returns the output of the last attention layer
beside the probabilities. `attention_scores` returns the gates of that layer for
each photograph.
"""

attention = attention_layers(classifier)
images = [prepare(photograph[np.newaxis]) for photograph in photographs]
images = keras.ops.convert_to_numpy(keras.ops.concatenate(images))
outputs = {"probabilities": classifier.output}
if attention:
    name, layer = list(attention.items())[-1]
    outputs["maps"] = layer.output
    all_scores = attention_scores(classifier, images, [name], verbose=0)[name]
predicted = keras.Model(classifier.input, outputs).predict(images, verbose=0)

for number, path in enumerate(arguments.images):
    probabilities = predicted["probabilities"][number]
    best = np.argsort(-probabilities)[:5]
    print(f"\n{path}")
    for index in best:
        print(f"{probabilities[index]:9.1%}  {names[index]}")
    if not attention:
        print(f"No picture: {arguments.model} has no channel attention.")
        continue
    maps, scores = predicted["maps"][number], all_scores[number]
    order = np.argsort(-scores)
    largest = [f"{channel} ({scores[channel]:.2f})" for channel in order[:6]]
    print(f"  largest gates: {', '.join(largest)}")

    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(2, 4)
    deviation = np.array(prepare.standard_deviation)
    image = images[number] * deviation + np.array(prepare.mean)
    image = np.clip(image, 0, 1)
    axes[0, 0].imshow(image)
    # A class may have a dollar sign in its name, which is no formula.
    axes[0, 0].set_title(names[best[0]][:40], parse_math=False)
    axes[1, 0].plot(scores[order])
    axes[1, 0].set(title=name, xlabel="channels by gate", ylabel="gate")
    for axis, channel in zip(axes[:, 1:].ravel(), order[:6], strict=True):
        axis.imshow(image.mean(axis=-1), cmap="gray")
        limit = np.abs(maps[..., channel]).max() + 1e-6
        axis.imshow(
            maps[..., channel],
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            alpha=0.6,
            extent=(0, image.shape[1], image.shape[0], 0),
            interpolation="bicubic",
        )
        axis.set_title(f"channel {channel}: gate {scores[channel]:.2f}")
    for axis in [axes[0, 0], *axes[:, 1:].ravel()]:
        axis.axis("off")
    # Photographs of several folders may have the same name.
    picture = arguments.output / f"{number}_{path.stem}_attention.png"
    figure.savefig(picture, dpi=100)
    print(f"  Written: {picture}")
