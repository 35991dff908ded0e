"""
Title: Transfer learning with and without channel attention
Date created: 2026/11/21
Description: A network learns five classes, then five others from few labels.

A small convolutional network learns the first five classes of a data set from
about a hundred labels each. It then moves to the other five, with ten each.
This is done without attention, with Squeeze-and-Excitation and with Efficient
Channel Attention, several times each, because a single run says nothing about
a difference of a percent. The script

1. prints a table: parameters, accuracy with its spread, seconds;
2. saves the models as `.keras` files;
3. loads them in a new process, on another backend if one is installed, and
   checks that the predictions are the same;
4. draws which channels the attention lets through for which class.

The digits come with scikit-learn and take less than two minutes on two CPU
cores. Fashion-MNIST takes longer. It is downloaded by Keras, or read from a
folder with its four IDX files.

    pip install "keras-channel-attn[examples]"
    python examples/transfer_learning.py
    python examples/transfer_learning.py --dataset fashion_mnist
    python examples/transfer_learning.py --dataset fashion_mnist --data-dir DIR

Set `KERAS_BACKEND` to `tensorflow`, `torch` or `jax` to choose a backend.
"""

import argparse
import contextlib
import gzip
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from importlib.util import find_spec
from pathlib import Path

# Keras takes TensorFlow if nobody says otherwise, installed or not.
if "KERAS_BACKEND" not in os.environ and not find_spec("tensorflow"):
    os.environ["KERAS_BACKEND"] = "torch" if find_spec("torch") else "jax"

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    SqueezeExcite,
)

BACKENDS = ("tensorflow", "torch", "jax")
SOURCE_CLASSES = range(5)
TARGET_CLASSES = range(5, 10)
IMAGES_PER_CLASS = 100  # for pretraining and for each test
LABELS_PER_CLASS = 10  # for the transfer
BATCH_SIZE = 32
LARGEST_DIFFERENCE = 1e-4

"""
## The mechanisms

Each is one layer, put behind every block of the network. The network is
narrow, so the bottleneck of Squeeze-and-Excitation is reduced by 8 and not by
16. Efficient Channel Attention finds its kernel size itself.
"""

MECHANISMS = {
    "no attention": None,
    "SqueezeExcite": lambda name: SqueezeExcite(reduction=8, name=name),
    "EfficientChannelAttention": lambda name: EfficientChannelAttention(
        name=name
    ),
}

"""
## The data

Both data sets are a tuple `(train_images, train_labels, test_images,
test_labels)` of ten classes, with images `(samples, height, width, 1)` between
0 and 1.
"""

DIGITS = [f"digit {digit}" for digit in range(10)]
FASHION = [
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
]
# In the order in which `keras.datasets` returns them.
IDX_FILES = (
    ("train-images-idx3-ubyte", 3),
    ("train-labels-idx1-ubyte", 1),
    ("t10k-images-idx3-ubyte", 3),
    ("t10k-labels-idx1-ubyte", 1),
)


def load_data(dataset, folder=None):
    """The four arrays of a data set, and the names of its classes."""
    if dataset == "digits":
        return scikit_digits(), DIGITS
    arrays = downloaded_fashion() if folder is None else fashion_from(folder)
    train_images, train_labels, test_images, test_labels = arrays
    return (
        scaled(train_images, 255),
        train_labels,
        scaled(test_images, 255),
        test_labels,
    ), FASHION


def scikit_digits():
    digits = load_digits()
    # One split for all runs: the test images are never trained on.
    train_images, test_images, train_labels, test_labels = train_test_split(
        scaled(digits.images, 16),
        digits.target,
        test_size=0.5,
        stratify=digits.target,
        random_state=0,
    )
    return train_images, train_labels, test_images, test_labels


def scaled(images, largest):
    return (images[..., np.newaxis] / largest).astype("float32")


def downloaded_fashion():
    try:
        train, test = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare one.
        raise OSError(
            f"Fashion-MNIST could not be downloaded: {error}. If you have its "
            "four IDX files, pass their folder as --data-dir."
        ) from error
    return *train, *test


def fashion_from(folder):
    """The four arrays of Fashion-MNIST, from the IDX files in a folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"--data-dir {folder} is not a folder")
    train_images, train_labels, test_images, test_labels = arrays = [
        read_idx(find_idx(folder, name), rank) for name, rank in IDX_FILES
    ]
    for part, images, labels in (
        ("training", train_images, train_labels),
        ("test", test_images, test_labels),
    ):
        check_pair(f"the {part} files in {folder}", images, labels)
    return arrays


def find_idx(folder, name):
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ValueError(f"{folder} has neither {name} nor {name}.gz")


def read_idx(path, rank):
    """An array of bytes from an IDX file, gzipped or not.

    The header is two zeros, 8 for bytes, the rank, and then each dimension as
    four bytes, the highest first.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    magic, start = bytes([0, 0, 8, rank]), 4 + 4 * rank
    if content[:4] != magic:
        raise ValueError(
            f"{path} is not an IDX file of bytes of rank {rank}: it starts "
            f"with {content[:4].hex(' ') or 'nothing'}, not {magic.hex(' ')}"
        )
    shape = tuple(
        int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)
    )
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise ValueError(
            f"{path} is {'truncated' if len(content) < expected else 'wrong'}: "
            f"{len(content)} bytes, but its header says shape {shape}, which "
            f"makes {expected}"
        )
    return np.frombuffer(content, "uint8", offset=start).reshape(shape)


def check_pair(what, images, labels):
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{what}: images of {images.shape[1:]}, not (28, 28)")
    if len(images) != len(labels):
        raise ValueError(
            f"{what}: {len(images)} images, but {len(labels)} labels"
        )
    counts = np.bincount(labels, minlength=10)
    if len(counts) > 10:
        raise ValueError(f"{what}: label {labels.max()}, but 9 is the largest")
    if counts.min() < LABELS_PER_CLASS:
        raise ValueError(
            f"{what}: {counts.min()} images of class {counts.argmin()}, but "
            f"each class needs {LABELS_PER_CLASS}"
        )


def subset(images, labels, classes, per_class, rng):
    """At most so many images of each of these classes, labeled 0, 1, 2 ..."""
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:per_class]
        for label in classes
    ]
    new_labels = np.repeat(range(len(classes)), [len(some) for some in chosen])
    return images[np.concatenate(chosen)], new_labels


"""
## The network

Three blocks of convolution, batch normalization and, if wanted, attention.
The backbone is an ordinary functional model that ends in features.
"""


def build_backbone(shape, attention=None, widths=(32, 64, 64)):
    """A functional model from images to features.

    Args:
        shape: Tuple, `(height, width, channels)` of an image.
        attention: Callable from a name to a layer, or `None`.
        widths: Tuple, the channels of each block.
    """
    inputs = x = keras.Input(shape, name="image")
    for block, width in enumerate(widths, start=1):
        if block > 1:
            x = layers.MaxPooling2D(name=f"pool_{block}")(x)
        x = layers.Conv2D(
            width, 3, padding="same", use_bias=False, name=f"conv_{block}"
        )(x)
        # The default momentum, 0.99, is for far more steps than we take.
        x = layers.BatchNormalization(momentum=0.9, name=f"norm_{block}")(x)
        x = layers.ReLU(name=f"relu_{block}")(x)
        if attention is not None:
            x = attention(f"attention_{block}")(x)
    features = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(inputs, features, name="backbone")


def with_head(backbone, classes):
    """The layers of the backbone themselves, and a new head behind them."""
    head = layers.Dense(classes, activation="softmax", name="head")
    return keras.Model(backbone.input, head(backbone.output))


"""
## Pretraining and transfer

The pretrained layers move as objects: the new model is built on the same ones,
with a new head. Nothing is matched by name or position, where an attention
layer more or less would put weights into the wrong layers.

All layers keep learning, only slower. Ten labels are too few to estimate
statistics from, so batch normalization is frozen as it was pretrained.
"""


def pretrain(backbone, images, labels, epochs):
    model = with_head(backbone, len(SOURCE_CLASSES))
    train(model, images, labels, epochs, learning_rate=3e-3)
    return model


def transfer(backbone, images, labels, epochs):
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    model = with_head(backbone, len(TARGET_CLASSES))
    # There are few images in an epoch, so these are short.
    train(model, images, labels, 4 * epochs, learning_rate=1e-3)
    return model


def train(model, images, labels, epochs, learning_rate):
    model.compile(
        keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images, labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)


def predictions(model, images, size=250):
    # Called directly: `predict` would first compile each of the many models.
    return np.concatenate(
        [
            keras.ops.convert_to_numpy(model(images[at : at + size]))
            for at in range(0, len(images), size)
        ]
    )


def accuracy(model, images, labels):
    predicted = predictions(model, images).argmax(axis=-1)
    return float(np.mean(predicted == labels))


"""
## The comparison

Each seed chooses other labels and other initial weights. All mechanisms see
the same seeds.
"""


def compare(data, seeds, epochs, per_class):
    """Train every mechanism with every seed, and say how far it is.

    Args:
        data: Tuple of four arrays, see `load_data`.
        seeds: Integer, how many runs each mechanism gets.
        epochs: Integer, epochs of pretraining.
        per_class: Integer, how many images of a class are used at most, for
            pretraining and for each test.

    Returns:
        A list of dictionaries, one per mechanism: its `"mechanism"`, the
        `"model"` of the first seed, all `"accuracies"` and the `"seconds"` that
        a seed took.
    """
    train_images, train_labels, test_images, test_labels = data
    rng = np.random.default_rng(0)
    source_test, target_test = (
        subset(test_images, test_labels, classes, per_class, rng)
        for classes in (SOURCE_CLASSES, TARGET_CLASSES)
    )
    tell = progress(2 * seeds * len(MECHANISMS))
    results = []
    for mechanism, attention in MECHANISMS.items():
        models, accuracies = [], []
        start = time.perf_counter()
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            rng = np.random.default_rng(seed)
            source, target = (
                subset(train_images, train_labels, classes, size, rng)
                for classes, size in (
                    (SOURCE_CLASSES, per_class),
                    (TARGET_CLASSES, LABELS_PER_CLASS),
                )
            )
            backbone = build_backbone(train_images.shape[1:], attention)
            model = pretrain(backbone, *source, epochs)
            known = accuracy(model, *source_test)
            tell(f"{mechanism}, seed {seed}: pretrained, {known:.1%}")
            models.append(transfer(backbone, *target, epochs))
            accuracies.append(accuracy(models[-1], *target_test))
            tell(f"{mechanism}, seed {seed}: moved, {accuracies[-1]:.1%}")
        results.append(
            {
                "mechanism": mechanism,
                "model": models[0],
                "accuracies": accuracies,
                "seconds": (time.perf_counter() - start) / seeds,
            }
        )
    return results


def progress(total):
    """A function that prints a step that is done, and the time left."""
    start, done = time.perf_counter(), 0

    def tell(text):
        nonlocal done
        done += 1
        left = (time.perf_counter() - start) / done * (total - done)
        print(f"[{done:2}/{total}] {text:<58} {left:4.0f} s left", flush=True)

    return tell


def table(results):
    """The lines of the table, with what may be concluded from it."""
    lines = [
        f"{'mechanism':<27}{'parameters':>10}  {'accuracy, %':>13}  "
        f"{'s per seed':>10}"
    ]
    for result in results:
        percent = [100 * value for value in result["accuracies"]]
        written = f"{statistics.mean(percent):.1f}"
        if len(percent) > 1:
            written += f" ± {statistics.stdev(percent):4.1f}"
        lines.append(
            f"{result['mechanism']:<27}{result['model'].count_params():>10,}  "
            f"{written:>13}  {result['seconds']:>10.1f}"
        )
    return [*lines, "", *conclusions(results)]


def conclusions(results):
    """What the numbers carry: a difference below the spread is none."""
    plain, *others = results
    seeds = len(plain["accuracies"])
    if seeds == 1:
        return ["One seed has no spread: these accuracies compare nothing."]
    lines = [
        f"± is the standard deviation over {seeds} seeds. Differences below "
        "it are",
        "not differences. Against no attention, in points of accuracy:",
    ]
    for result in others:
        pair = [100 * np.array(r["accuracies"]) for r in (result, plain)]
        gain = pair[0].mean() - pair[1].mean()
        spread = max(values.std(ddof=1) for values in pair)
        verdict = (
            "beyond the spread: try more seeds"
            if abs(gain) > spread
            else "within the spread: no difference"
        )
        lines.append(f"{result['mechanism']}: {gain:+.1f}, {verdict}.")
    return lines


"""
## Saving, and loading in a new process

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


@contextlib.contextmanager
def written_whole(path):
    """A temporary name: the file gets its own one when it is complete."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_models(results, folder):
    """Save the models; returns a list of pairs of a path and its model."""
    saved = []
    for result in results:
        path = folder / f"{result['mechanism'].replace(' ', '_')}.keras"
        with written_whole(path) as partial:
            result["model"].save(partial)
        saved.append((path, result["model"]))
    return saved


def other_backend():
    """An installed backend that is not this one, or this one."""
    current = keras.config.backend()
    others = [name for name in BACKENDS if name != current]
    return next((name for name in others if find_spec(name)), current)


def largest_difference(saved, images, backend):
    """The largest change of a probability when the files are loaded anew."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.save(folder / "images.npy", images)
        copies = []
        for path, _ in saved:
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
        return max(
            np.abs(predictions(model, images) - np.load(f"{copy}.npy")).max()
            for copy, (_, model) in zip(copies, saved, strict=True)
        )


"""
## The attention scores

A second model, on the same layers, gives what reaches each attention layer.
The layer is then called on that with `return_attention_scores=True`.
"""


def attention_layers(model):
    return [
        layer for layer in model.layers if isinstance(layer, ChannelAttention)
    ]


def attention_scores(model, images):
    """A dictionary from the name of each attention layer to its gates, an
    array `(samples, channels)`."""
    found = attention_layers(model)
    before = keras.Model(model.input, [layer.input for layer in found])
    scores = {}
    for layer, inputs in zip(found, before(images), strict=True):
        _, gates = layer(inputs, return_attention_scores=True)
        scores[layer.name] = keras.ops.convert_to_numpy(gates)
    return scores


def draw_scores(results, images, labels, class_names, path):
    """A heat map per layer and mechanism: the mean gate of each channel."""
    drawn = [result for result in results if attention_layers(result["model"])]
    rows = len(attention_layers(drawn[0]["model"]))
    classes = range(len(class_names))
    figure = Figure(figsize=(11, 1.5 + 1.6 * rows), layout="constrained")
    figure.suptitle(
        "Attention scores: mean gate of each channel, by class of the image"
    )
    axes = figure.subplots(rows, len(drawn), sharey=True, squeeze=False)
    for column, result in enumerate(drawn):
        scores = attention_scores(result["model"], images)
        for axis, (layer, gates) in zip(
            axes[:, column], scores.items(), strict=True
        ):
            means = [gates[labels == label].mean(axis=0) for label in classes]
            # One scale for all: 0 closes a channel, 1 leaves it as it is.
            heat_map = axis.imshow(
                means, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
            )
            axis.set_title(f"{result['mechanism']}, {layer}", fontsize="medium")
            axis.set_yticks(classes, class_names)
            axis.hlines(
                np.arange(len(classes) - 1) + 0.5, *axis.get_xlim(), "w"
            )
        axis.set_xlabel("channel")
    for axis in axes[:, 0]:
        axis.set_ylabel("class")
    figure.colorbar(heat_map, ax=axes, label="mean gate")
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=150, format="png")


"""
## The command line
"""


def positive(text):
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1. Received: {text!r}"
        )
    return number


def parse(parser):
    parser.add_argument(
        "--dataset", choices=("digits", "fashion_mnist"), default="digits"
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder with the four IDX files of Fashion-MNIST, gzipped or not",
    )
    parser.add_argument(
        "--seeds", type=positive, default=3, help="runs of each mechanism"
    )
    parser.add_argument(
        "--epochs",
        type=positive,
        default=10,
        help="epochs of pretraining; the transfer takes four times as many",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("outputs/transfer_learning"),
        metavar="DIR",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one seed, one epoch and few images: does it run at all?",
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds = arguments.epochs = 1
    if arguments.data_dir is not None and arguments.dataset == "digits":
        parser.error("--data-dir is for --dataset fashion_mnist")
    if keras.config.backend() not in BACKENDS:
        parser.error(
            f"the {keras.config.backend()} backend of Keras cannot train: set "
            f"KERAS_BACKEND to one of {', '.join(BACKENDS)}"
        )
    return arguments


def main():
    parser = argparse.ArgumentParser(
        description="Transfer learning with and without channel attention."
    )
    arguments = parse(parser)
    try:
        data, class_names = load_data(arguments.dataset, arguments.data_dir)
        arguments.output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    # TensorFlow has no convolution with channels first on a CPU.
    keras.config.set_image_data_format("channels_last")
    backend = keras.config.backend()
    names = [class_names[label] for label in TARGET_CLASSES]
    print(f"{arguments.dataset} on {backend}; to learn: {', '.join(names)}")

    per_class = 20 if arguments.quick else IMAGES_PER_CLASS
    results = compare(data, arguments.seeds, arguments.epochs, per_class)
    print("", *table(results), "", sep="\n")

    rng = np.random.default_rng(0)
    images, labels = subset(*data[2:], TARGET_CLASSES, per_class, rng)
    saved = save_models(results, arguments.output)
    figure = arguments.output / "attention_scores.png"
    draw_scores(results, images, labels, names, figure)
    for path in (*(path for path, _ in saved), figure):
        print(f"Written: {path}")

    other = other_backend()
    where = (
        "the same backend, no other is installed"
        if other == backend
        else ("another backend")
    )
    print(f"Loading in a new process on {other} ({where}) ...", flush=True)
    difference = largest_difference(saved, images, other)
    print(f"Largest difference of a prediction: {difference:.1e}")
    if not difference <= LARGEST_DIFFERENCE:
        sys.exit(f"That is more than {LARGEST_DIFFERENCE:.0e}.")


if __name__ == "__main__":
    main()
