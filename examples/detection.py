"""
Title: Attention in a YOLO
Date created: 2026/11/25
Description: A YOLOv9 finds digits, without attention, with SE and with ECA.

A YOLOv9-t of kyolo learns to find handwritten digits in scenes: digits of
several sizes on clutter, with known boxes. One line inserts attention into the
trained network, which gives the same detections until it is trained further.
Then three networks are trained for the same number of steps: without attention,
with Squeeze-and-Excitation (SE) and with Efficient Channel Attention (ECA).

    pip install ".[detection,jax]"
    python examples/detection.py

Your own images have the folders and labels that YOLO uses, and may start from
the weights of a converted checkpoint:

    python examples/detection.py --image-folder FOLDER --image-size 640 \\
        --weights yolov9t.weights.h5

`FOLDER/images/train` and `FOLDER/images/val` contain the images. For each of
them, `FOLDER/labels/train` or `FOLDER/labels/val` contains a text file of the
same name with a line for each object: its class, then the center, the width and
the height of its box, as fractions of the width and the height of the image.

Set the environment variable `KERAS_BACKEND` to `tensorflow`, `torch` or `jax`
to choose a backend.
"""

import argparse
import contextlib
import gzip
import io
import os
import re
import warnings
import zlib
from importlib.util import find_spec
from pathlib import Path

# Without KERAS_BACKEND Keras imports TensorFlow, even if it is not installed.
if not find_spec("tensorflow"):
    os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from kyolo.models import yolov9t
from kyolo.training import YOLODetector
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.datasets import load_digits

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_layers,
    attention_scores,
    insert_attention,
    model_costs,
)


def prepare():
    """The arguments, the data to train and to validate with, the network."""
    parser = argparse.ArgumentParser(description="Attention in a YOLOv9.")
    add = parser.add_argument
    add("--image-folder", type=Path, metavar="DIR", help="images and labels")
    add("--data-dir", type=Path, metavar="DIR", help="files of Fashion-MNIST")
    add("--weights", metavar="FILE", help="converted checkpoint of kyolo")
    add("--image-size", type=int, default=96, metavar="PIXELS")
    add("--scenes", type=int, default=400, metavar="N", help="to train with")
    add("--epochs", type=int, default=15, metavar="N", help="first training")
    add("--learning-rate", type=float, metavar="RATE", help="of the first")
    add("--tuning-epochs", type=int, default=5, metavar="N")
    add("--seed", type=int, default=0)
    add("--output", type=Path, default="outputs/detection", metavar="DIR")
    arguments = parser.parse_args()
    if min(arguments.scenes // BATCH, arguments.epochs) < 1:
        parser.error(f"--scenes must be at least {BATCH}, --epochs at least 1")
    if arguments.tuning_epochs < 1:
        parser.error("--tuning-epochs must be at least 1")
    if arguments.image_size < 64 or arguments.image_size % 32:
        parser.error("--image-size must be a multiple of 32, at least 64")
    if arguments.learning_rate is None:
        # Converted weights are trained already.
        arguments.learning_rate = 1e-3 if arguments.weights else 5e-3
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        training, validation = data(arguments)
        network = untrained(training[1] + validation[1], arguments)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return arguments, training, validation, network


def untrained(objects, arguments):
    keras.utils.set_random_seed(arguments.seed)
    return yolov9t(
        nc=1 + max(row[0] for rows in objects for row in rows),
        input_shape=(arguments.image_size, arguments.image_size, 3),
        weights=arguments.weights,
    )


BATCH = 16

"""
## Scenes

Digits of three sizes, whose boxes do not overlap. The clutter is noise, and
parts of other digits that have no label. A box ends at the outermost pixels of
the digit.
"""

SIDES = 16, 24, 32  # of a digit, in pixels
OBJECTS = 2, 5  # are drawn; one that would overlap is left out
VALIDATION_SCENES = 96


def resized(piece, side):
    image = Image.fromarray((255 * piece).astype("uint8"))
    return np.asarray(image.resize((side, side)), "float32") / 255


def paste(image, piece, left, top):
    height, width = piece.shape
    window = image[top : top + height, left : left + width]
    np.maximum(window, piece, out=window)


def clutter(rng, pieces, size):
    image = rng.uniform(0, 0.2, (size, size)).astype("float32")
    third = pieces.shape[1] // 3
    for piece in rng.choice(pieces, 12):
        side = rng.integers(6, 13)
        row, column = rng.integers(0, 2 * third, 2)
        part = piece[row : row + third, column : column + third]
        left, top = rng.integers(0, size - side, 2)
        paste(image, 0.7 * resized(part, side), left, top)
    return image


def scene(rng, pieces, classes, size):
    """Pixels, and a row for each object: class, left, top, right, bottom."""
    image, objects = clutter(rng, pieces, size), []
    for _ in range(rng.integers(OBJECTS[0], OBJECTS[1] + 1)):
        number, side = rng.integers(len(pieces)), rng.choice(SIDES)
        piece = rng.uniform(0.6, 1) * resized(pieces[number], side)
        left, top = rng.integers(0, size - side, 2)
        rows, columns = np.nonzero(piece > 0.3 * piece.max())
        box = np.array(
            [
                left + columns.min(),
                top + rows.min(),
                left + columns.max() + 1,
                top + rows.max() + 1,
            ]
        )
        if all(
            (box[:2] >= other[3:]).any() or (box[2:] <= other[1:3]).any()
            for other in objects
        ):
            paste(image, piece, left, top)
            objects.append([classes[number], *box])
    image = (255 * image).astype("uint8")
    return np.repeat(image[..., np.newaxis], 3, axis=-1), objects


def scenes(count, pieces, classes, size, seed):
    rng = np.random.default_rng(seed)
    pairs = [scene(rng, pieces, classes, size) for _ in range(count)]
    images, objects = zip(*pairs, strict=True)
    return np.stack(images), list(objects)


def digits():
    """Images and classes to train with, and other ones to validate with."""
    bunch = load_digits()
    images, classes = bunch.images / 16, bunch.target
    return images[::2], classes[::2], images[1::2], classes[1::2]


def fashion_mnist(folder):
    """The same of Fashion-MNIST, from its files in a folder."""
    arrays = []
    for part in ("train", "t10k"):
        for name, start in (("images-idx3", 16), ("labels-idx1", 8)):
            path = folder / f"{part}-{name}-ubyte.gz"
            try:
                content = gzip.decompress(path.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                raise ValueError(f"{path} cannot be read: {error}") from error
            arrays.append(np.frombuffer(content, "uint8", offset=start))
    images, classes, test_images, test_classes = arrays
    sizes = images.size / 784, test_images.size / 784
    if sizes != (len(classes), len(test_classes)):
        raise ValueError(
            f"--data-dir {folder}: images of other sizes than 28x28"
        )
    return (
        images.reshape(-1, 28, 28) / 255,
        classes,
        test_images.reshape(-1, 28, 28) / 255,
        test_classes,
    )


"""
## Your own images

Each image is made smaller or larger until it fits, and gets gray borders.
"""

IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
FORM = "`class center-x center-y width height`, the last four from 0 to 1"


def read_image(path, size):
    """Pixels, and the size and the left top corner of the image in them."""
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
                raise ValueError(
                    f"pixels of the kind {image.mode}: convert the image to "
                    "8 bits for each channel"
                )
            image = ImageOps.contain(image.convert("RGB"), (size, size))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    left, top = (size - image.width) // 2, (size - image.height) // 2
    padded = Image.new("RGB", (size, size), (114, 114, 114))
    padded.paste(image, (left, top))
    return np.array(padded), np.array(image.size), np.array((left, top))


def read_labels(path):
    """Rows of a class and the corners of a box, as parts of the image."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            index, *box = map(float, line.split())
            valid = index >= 0 and index.is_integer() and len(box) == 4
            valid = valid and all(0 <= value <= 1 for value in box)
            valid = valid and min(box[2:]) > 0
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(
                f"{path}, line {number}: each line must be {FORM}. Received: "
                f"{line!r}"
            )
        center, sides = np.array(box[:2]), np.array(box[2:])
        corners = center - sides / 2, center + sides / 2
        rows.append((int(index), *np.clip(corners, 0, 1)))
    return rows


def read_folder(folder, part, size, minimum=1):
    """Images and objects; an image without a text file has no objects."""
    paths = sorted(
        path
        for path in (folder / "images" / part).glob("*")
        if path.suffix.lower() in IMAGES
    )
    if len(paths) < minimum:
        raise ValueError(
            f"{len(paths)} images in {folder / 'images' / part}, but {minimum} "
            f"are needed. Images are files with the endings {sorted(IMAGES)}"
        )
    images, objects, labeled = [], [], 0
    for path in paths:
        image, sides, corner = read_image(path, size)
        images.append(image)
        objects.append([])
        labels = folder / "labels" / part / f"{path.stem}.txt"
        if labels.exists():
            labeled += 1
            for index, *corners in read_labels(labels):
                corners = [corner + sides * one for one in corners]
                objects[-1].append([index, *np.concatenate(corners)])
    print(f"{part}: {labeled} of {len(paths)} images have a file of labels")
    if not any(objects):
        raise ValueError(
            f"no objects in {folder / 'labels' / part}: it needs a text file "
            f"for each image, with lines {FORM}"
        )
    return np.stack(images), objects


def data(arguments):
    """Images and objects to train with, and the same to validate with."""
    size = arguments.image_size
    if arguments.image_folder:
        folder = arguments.image_folder
        training = read_folder(folder, "train", size, minimum=BATCH)
        return training, read_folder(folder, "val", size)
    if arguments.data_dir:
        arrays = fashion_mnist(arguments.data_dir)
    else:
        arrays = digits()
    seed = arguments.seed
    return (
        scenes(arguments.scenes, *arrays[:2], size, seed=(seed, 0)),
        scenes(VALIDATION_SCENES, *arrays[2:], size, seed=(seed, 1)),
    )


"""
## Training

kyolo's `YOLODetector` computes the loss. It reads the number of classes and the
strides from the network, also from a copy with attention.
"""


def targets(objects):
    """As many rows for each image, with a mask that says which are objects."""
    rows = max(map(len, objects))
    padded = np.zeros((len(objects), rows, 6), "float32")
    for array, found in zip(padded, objects, strict=True):
        if found:
            array[: len(found), :5] = found
            array[: len(found), 5] = 1
    return {
        "boxes": padded[..., 1:5],
        "labels": padded[..., 0].astype("int32"),
        "mask": padded[..., 5],
    }


def pixels(images):
    return images.astype("float32") / 255


class Batches(keras.utils.PyDataset):
    """In a new order in each epoch, without what is left at its end.

    An incomplete last batch would be compiled separately.
    """

    def __init__(self, images, objects, seed):
        super().__init__()
        self.images, self.targets = images, targets(objects)
        self.rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return len(self.images) // BATCH

    def __getitem__(self, number):
        chosen = self.order[number * BATCH : (number + 1) * BATCH]
        return {"images": pixels(self.images[chosen])}, {
            name: array[chosen] for name, array in self.targets.items()
        }

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.images))


def train(network, images, objects, epochs, rate, seed, verbose=2):
    """Train a network with Adam, and return its detector."""
    keras.utils.set_random_seed(seed)
    batches = Batches(images, objects, seed)
    detector = YOLODetector(network)
    detector.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(rate, epochs * len(batches)),
            global_clipnorm=10.0,
        )
    )
    detector.fit(batches, epochs=epochs, shuffle=False, verbose=verbose)
    return detector


"""
## Mean average precision

pycocotools computes it as for COCO.
"""


def detect(detector, images):
    """For each image an array: left, top, right, bottom, score, class."""
    batches = []
    with without_gradients():
        for start in range(0, len(images), BATCH):
            rows = detector.detect(
                pixels(images[start : start + BATCH]),
                conf_threshold=0.001,
                iou_threshold=0.6,
                max_detections=100,
            )
            batches.append(keras.ops.convert_to_numpy(rows))
    return [rows[rows[:, 4] > 0] for rows in np.concatenate(batches)]


def without_gradients():
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()  # Otherwise it keeps all features.


def mean_average_precision(detections, objects):
    """At an overlap of 0.5, and the mean from 0.5 to 0.95."""
    truth = [
        (image, index, left, top, right - left, bottom - top)
        for image, rows in enumerate(objects)
        for index, left, top, right, bottom in rows
    ]
    found = [
        (image, left, top, right - left, bottom - top, score, index)
        for image, rows in enumerate(detections)
        for left, top, right, bottom, score, index in rows
    ]
    if not found:
        return 0.0, 0.0
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(len(objects))],
        "categories": [{"id": index} for index in {row[1] for row in truth}],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": index,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            # pycocotools takes the number 0 for "no match".
            for number, (image, index, *box) in enumerate(truth, start=1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # It prints its progress.
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(np.array(found)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1]), float(evaluation.stats[0])


"""
## Sites

Attention follows each block of the network. The layers have the names of the
modules in the original YOLOv9; the page "Attention in detectors" has the names
of other places, and of other networks. With an identity start the weights of
the attention start at zero. At the learning rate of the other layers they would
still be small when the training ends.
"""

BLOCKS = r"model-\d+-cv4-act|model-9-cv5-act"
ATTENTION = {
    "SE": SqueezeExcite(identity_start=True, learning_rate_multiplier=10),
    "ECA": EfficientChannelAttention(
        identity_start=True, learning_rate_multiplier=10
    ),
}


def name_matches(pattern):
    return lambda layer: re.fullmatch(pattern, layer.name) is not None


def with_attention(network, attention):
    return insert_attention(network, attention, where=name_matches(BLOCKS))


"""
## Pictures
"""


def draw_detections(path, images, objects, detections):
    """Scenes below each other, with the boxes of each detector side by side."""
    columns = {
        "objects": [
            [(*row[1:], 1, row[0]) for row in rows] for rows in objects
        ],
        **detections,
    }
    figure = Figure(figsize=(3 * len(columns), 3 * 4), layout="constrained")
    grid = figure.subplots(4, len(columns), squeeze=False)
    for axes, (name, boxes) in zip(grid.T, columns.items(), strict=True):
        axes[0].set_title(name)
        for axis, image, rows in zip(axes, images, boxes, strict=False):
            axis.imshow(image)
            for left, top, right, bottom, score, index in rows:
                if score < 0.25:
                    continue
                color = f"C{int(index) % 10}"
                box = (left, top), right - left, bottom - top
                axis.add_patch(Rectangle(*box, fill=False, color=color))
                text = f"{index:.0f}"
                if name != "objects":
                    text += f": {score:.2f}"
                label = {"facecolor": color, "lw": 0, "pad": 1}
                axis.text(left, top, text, color="white", size=8, bbox=label)
    for axis in grid.flat:
        axis.axis("off")
    figure.savefig(path, dpi=100)


def draw_scores(path, network, images):
    """The gates of each attention layer, with their spread over the images."""
    names = list(attention_layers(network))
    scores = attention_scores(network, pixels(images), names, verbose=0)
    columns = 3
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4 * columns, 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis, name in zip(grid.flat, names, strict=False):
        gates = scores[name][:, np.argsort(scores[name].mean(axis=0))]
        axis.plot(gates.mean(axis=0))
        low, high = np.quantile(gates, (0.1, 0.9), axis=0)
        axis.fill_between(range(len(low)), low, high, alpha=0.3)
        axis.axhline(1, color="gray", lw=0.5)
        axis.set_title(name, size=9)
    figure.supxlabel("channels, in the order of their mean gate")
    figure.supylabel("gate; shaded: from 10 to 90 % of the images")
    figure.savefig(path, dpi=100)


"""
## The three networks
"""


def ignore_build_warning():
    """kyolo's own: a layer of the detector is built at its first call."""
    warnings.filterwarnings("ignore", message=".*it has unbuilt state")


def main():
    ignore_build_warning()
    # TensorFlow has no convolution with channels first on a CPU.
    keras.config.set_image_data_format("channels_last")
    arguments, training, (images, objects), network = prepare()
    print(f"Training without attention: {len(training[0])} images")
    seed = arguments.seed
    trained = train(
        network, *training, arguments.epochs, arguments.learning_rate, seed
    )
    table, detections = {}, {}

    def record(name, detector):
        detections[name] = detect(detector, images)
        costs = model_costs(detector.body)
        precision = mean_average_precision(detections[name], objects)
        table[name] = (costs.parameters, costs.macs, *precision)
        print(f"{name}: mAP {100 * precision[0]:.1f}, {100 * precision[1]:.1f}")

    record("trained", trained)
    for name, attention in ATTENTION.items():
        attended = with_attention(network, attention)
        record(f"{name} inserted", YOLODetector(attended))
    for name in ("no attention", *ATTENTION):
        attended = with_attention(
            network, ATTENTION.get(name, lambda site: None)
        )
        print(f"Training further: {name}")
        detector = train(
            attended,
            *training,
            arguments.tuning_epochs,
            arguments.learning_rate / 2,
            seed,
        )
        record(f"{name}, trained further", detector)
        if name in ATTENTION:
            draw_scores(
                arguments.output / f"scores_{name}.png", attended, images
            )
            detector.save(arguments.output / f"{name}.keras")

    print(f"\nKeras {keras.__version__}, {keras.config.backend()}")
    print(
        "| | parameters | MACs | mAP 0.5 | mAP 0.5:0.95 |\n" + "|---" * 5 + "|"
    )
    for name, (parameters, macs, *precision) in table.items():
        cells = [f"{parameters:,}", f"{macs:,}"]
        cells += [f"{100 * value:.1f}" for value in precision]
        print(f"| {name} | {' | '.join(cells)} |")
    path = arguments.output / "detections.png"
    columns = {
        name: detections[name] for name in detections if "inserted" not in name
    }
    draw_detections(path, images, objects, columns)
    print(f"Written: {arguments.output}")


if __name__ == "__main__":
    main()
