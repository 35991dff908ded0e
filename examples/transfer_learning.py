"""
Title: Attention put into a network that is trained already
Date created: 2026/11/21
Description: What insertion breaks, what it keeps, and what it is worth.

A residual network learns the first five classes of a data set. Then channel
attention is put into it with `insert_attention`: Squeeze-and-Excitation (SE)
and Efficient Channel Attention (ECA), each with a plain start and with
`identity_start=True`, and, to compare, not at all. The script measures

1. what the network still knows right after that, before any further training:
   its accuracy on the five classes that it has learned;
2. what it then learns of the other five classes from ten labels each: the
   accuracy after fine-tuning, and on the way there.

All of that several times, because a single run says nothing about a difference
of a percent. The script prints a table and what may be concluded from it, and
draws the learning curves and the attention scores. It saves the models, and
loads them in a new process, on another backend if one is installed, to check
that the predictions are the same.

The digits come with scikit-learn and take less than two minutes on two CPU
cores. Fashion-MNIST is downloaded by Keras, or read from a folder with its four
IDX files. With `--backbone` the network is one of `keras.applications`; that
is work for a GPU.

    pip install "keras-channel-attn[examples]"
    python examples/transfer_learning.py
    python examples/transfer_learning.py --dataset fashion_mnist
    python examples/transfer_learning.py --dataset fashion_mnist --data-dir DIR
    python examples/transfer_learning.py --dataset fashion_mnist \\
        --backbone ResNet50 --weights imagenet

Set `KERAS_BACKEND` to `tensorflow`, `torch` or `jax` to choose a backend.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from inspect import ismodule
from pathlib import Path

# Keras takes TensorFlow if nobody says otherwise, installed or not.
if "KERAS_BACKEND" not in os.environ and not find_spec("tensorflow"):
    os.environ["KERAS_BACKEND"] = "torch" if find_spec("torch") else "jax"
# Threads of torch that spin while they wait take the cores from each other as
# soon as another process wants one: seconds become minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import applications
import keras
import numpy as np
from command_line import check_backend, positive
from image_data import load_data, subset
from keras import layers
from outputs import (
    draw_curves,
    draw_scores,
    other_backend,
    predictions_elsewhere,
    save_models,
)
from small_network import small_network

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    insert_attention,
)

SOURCE_CLASSES = range(5)
TARGET_CLASSES = range(5, 10)
IMAGES_PER_CLASS = 100  # for pretraining and for each test
LABELS_PER_CLASS = 10  # for the transfer
WIDTHS = (32, 32, 64, 64)  # of the residual blocks of our own network
# Divides both training sets: a smaller last batch would be compiled anew.
BATCH_SIZE = 25
# The transfer has few images in an epoch. So it takes more epochs, by this
# factor, and is evaluated each time that so many have passed.
EPOCHS_FACTOR = 3
LARGEST_DIFFERENCE = 1e-4


def variants():
    """What is put at the end of each residual branch, by name."""
    return {
        # A site with `None` is left alone; the network is copied all the same.
        "no attention": lambda site: None,
        # Our own network is narrow: reduced by 8, not by 16.
        "SE, plain start": SqueezeExcite(reduction=8),
        "SE, identity start": SqueezeExcite(reduction=8, identity_start=True),
        "ECA, plain start": EfficientChannelAttention(),
        "ECA, identity start": EfficientChannelAttention(identity_start=True),
    }


"""
## The network

Our own is an ordinary functional model of four residual blocks, without any
attention: it does not know what it will be used for.
"""


@dataclass
class Network:
    """A backbone, from images to features, and how it is trained."""

    build: object  # callable that returns the backbone
    prepare: object  # callable from images to what the backbone takes
    learning_rates: tuple  # of pretraining and of transfer
    trained: bool  # whether it has been trained before we do


def network_of_our_own(shape):
    return Network(
        build=lambda: small_network(shape, WIDTHS),
        prepare=lambda images: images,
        learning_rates=(3e-3, 1e-3),
        trained=False,
    )


def application(name, weights, size):
    """A network of `keras.applications`, without its head."""
    builder = applications.builder(name)
    # The networks want their images in different ranges.
    module = next(
        one
        for one in vars(keras.applications).values()
        if ismodule(one) and hasattr(one, name)
    )

    def build():
        try:
            return builder(
                include_top=False,
                weights=weights,
                input_shape=(size, size, 3),
                pooling="avg",
            )
        except Exception as error:  # Keras raises a bare one for downloads.
            raise ValueError(
                f"{name} with --weights {weights} and --image-size {size}: "
                f"{error}"
            ) from error

    def prepare(images):
        images = keras.ops.image.resize(255 * images, (size, size))
        images = keras.ops.convert_to_numpy(keras.ops.repeat(images, 3, -1))
        return module.preprocess_input(images)

    return Network(build, prepare, (1e-4, 1e-4), weights is not None)


def with_head(inputs, features, classes):
    head = layers.Dense(classes, activation="softmax", name="head")
    return keras.Model(inputs, head(features))


"""
## Pretraining, insertion, transfer

All layers learn in the transfer, the new attention among them. Ten labels are
too few to estimate statistics from, so batch normalization stays as it is.
"""


def pretrain(network, images, labels, epochs):
    backbone = network.build()
    model = with_head(backbone.input, backbone.output, len(SOURCE_CLASSES))
    if network.trained:
        freeze_normalization(model)
    train(model, images, labels, network.learning_rates[0], epochs)
    return model


def transfer(model, training, test, learning_rate, epochs):
    """Learn other classes; returns the new model and its accuracies."""
    model = with_head(
        model.input, model.get_layer("head").input, len(TARGET_CLASSES)
    )
    freeze_normalization(model)
    history = train(
        model,
        *training,
        learning_rate,
        EPOCHS_FACTOR * epochs,
        validation_data=test,
        validation_freq=EPOCHS_FACTOR,
        validation_batch_size=len(test[0]),
    )
    return model, history.history["val_accuracy"]


def freeze_normalization(model):
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def train(model, images, labels, learning_rate, epochs, **validation):
    model.compile(
        keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model.fit(
        images,
        labels,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        verbose=0,
        **validation,
    )


def predictions(model, images, size=250):
    # Called directly: `predict` would first compile each of the many models.
    return np.concatenate(
        [
            keras.ops.convert_to_numpy(model(images[at : at + size]))
            for at in range(0, len(images), size)
        ]
    )


"""
## The comparison

Each seed chooses other labels and other initial weights. Within a seed all
variants start from the same pretrained network, with the same new head, and
see the same images in the same order.
"""


@dataclass
class Result:
    """What came out for a variant, over all seeds."""

    name: str
    model: keras.Model = None  # of the first seed, after the transfer
    before: list = field(default_factory=list)  # accuracies, old classes
    change: float = 0.0  # the largest of a probability, by the insertion
    curves: list = field(default_factory=list)  # accuracies, new classes

    @property
    def after(self):
        return [curve[-1] for curve in self.curves]


def compare(data, network, seeds, epochs, per_class):
    """Measure every variant with every seed, and say how far it is.

    Args:
        data: Tuple of four arrays, see `load_data`.
        network: `Network`.
        seeds: Integer, how often all of it is done.
        epochs: Integer, epochs of pretraining.
        per_class: Integer, how many images of a class are used at most, for
            pretraining and for each test.

    Returns:
        A list of one `Result` per variant.
    """

    def chosen(images, labels, classes, size, rng):
        images, labels = subset(images, labels, classes, size, rng)
        return network.prepare(images), labels

    rng = np.random.default_rng(0)
    source_test, target_test = (
        chosen(*data[2:], classes, per_class, rng)
        for classes in (SOURCE_CLASSES, TARGET_CLASSES)
    )
    results = [Result(name) for name in variants()]
    tell = progress(seeds * (1 + len(results)))
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        rng = np.random.default_rng(seed)
        source = chosen(*data[:2], SOURCE_CLASSES, per_class, rng)
        target = chosen(*data[:2], TARGET_CLASSES, LABELS_PER_CLASS, rng)
        pretrained = pretrain(network, *source, epochs)
        known = predictions(pretrained, source_test[0])
        tell(f"seed {seed}: pretrained")
        for result, attention in zip(results, variants().values(), strict=True):
            attended = insert_attention(pretrained, attention)
            found = predictions(attended, source_test[0])
            result.before.append(np.mean(found.argmax(-1) == source_test[1]))
            result.change = max(result.change, np.abs(found - known).max())
            # The same head, and the same order of images, for all variants.
            keras.utils.set_random_seed(seed)
            model, curve = transfer(
                attended, target, target_test, network.learning_rates[1], epochs
            )
            result.curves.append(curve)
            result.model = result.model or model
            tell(
                f"seed {seed}: {result.name}: {result.before[-1]:.1%} of the "
                f"old, then {curve[-1]:.1%} of the new"
            )
    return results


def progress(total):
    """A function that prints a step that is done, and the time left."""
    start, done = time.perf_counter(), 0

    def tell(text):
        nonlocal done
        done += 1
        left = (time.perf_counter() - start) / done * (total - done)
        print(f"[{done:2}/{total}] {text:<66} {left:4.0f} s left", flush=True)

    return tell


def table(results):
    """The lines of the table, in percent, and of what it says."""
    lines = [
        f"{'':<20}{'':>11}{'old classes,':>17}{'new classes,':>17}",
        f"{'':<20}{'parameters':>11}{'before training':>17}{'fine-tuned':>17}",
    ]
    for result in results:
        lines.append(
            f"{result.name:<20}{result.model.count_params():>11,}"
            f"{written(result.before):>17}{written(result.after):>17}"
        )
    return [*lines, "", *conclusions(results)]


def written(accuracies):
    percent = 100 * np.array(accuracies)
    if len(percent) == 1:
        return f"{percent[0]:.1f}"
    return f"{percent.mean():.1f} ± {percent.std(ddof=1):4.1f}"


def conclusions(results):
    """What the numbers carry: a difference below its spread is none."""
    plain, *others = results
    lines = [
        "Before any training, against the network as it was:",
    ]
    for result in others:
        lost = 100 * (np.array(result.before) - plain.before)
        lines.append(
            f"- {result.name}: {lost.mean():+.1f} points, largest change of a "
            f"probability {result.change:.2g}."
        )
    if len(plain.before) == 1:
        return [*lines, "One seed has no spread: fine-tuned, it says nothing."]
    lines += [
        f"± is the standard deviation over {len(plain.before)} seeds. "
        "Fine-tuned, against no attention, seed by seed:",
    ]
    for result in others:
        gain = 100 * (np.array(result.after) - plain.after)
        spread = gain.std(ddof=1)
        verdict = (
            "beyond the spread: try more seeds"
            if abs(gain.mean()) > spread
            else "within the spread: no difference"
        )
        lines.append(
            f"- {result.name}: {gain.mean():+.1f} ± {spread:.1f} points, "
            f"{verdict}."
        )
    return lines


def largest_difference(paths, results, images):
    """The largest change of a probability when the files are loaded anew."""
    other = other_backend()
    where = (
        "the same backend, no other is installed"
        if other == keras.config.backend()
        else "another backend"
    )
    print(f"Loading in a new process on {other} ({where}) ...", flush=True)
    found = predictions_elsewhere(paths, images, other)
    return max(
        np.abs(predictions(result.model, images) - one).max()
        for result, one in zip(results, found, strict=True)
    )


"""
## The command line
"""


def parse(parser):
    add = parser.add_argument
    add("--dataset", choices=("digits", "fashion_mnist"), default="digits")
    add(
        "--data-dir",
        metavar="DIR",
        help="folder with the four IDX files of Fashion-MNIST, gzipped or not",
    )
    add(
        "--backbone",
        metavar="NAME",
        help="network of keras.applications, such as ResNet50; without it a "
        "small network of our own",
    )
    add(
        "--weights",
        metavar="W",
        help="for --backbone: imagenet (the default, downloaded by Keras), "
        "none, or a .weights.h5 file of the network without its head",
    )
    add(
        "--image-size",
        type=positive,
        metavar="N",
        help="for --backbone: images are scaled to N x N; 64 if not given",
    )
    add("--seeds", type=positive, default=3, help="how often all is done")
    add(
        "--epochs",
        type=positive,
        default=10,
        help="epochs of pretraining; the transfer takes "
        f"{EPOCHS_FACTOR} times as many",
    )
    add(
        "--output",
        type=Path,
        default=Path("outputs/transfer_learning"),
        metavar="DIR",
    )
    add(
        "--quick",
        action="store_true",
        help="one seed, one epoch and few images: does it run at all?",
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds = arguments.epochs = 1
    if arguments.data_dir is not None and arguments.dataset == "digits":
        parser.error("--data-dir is for --dataset fashion_mnist")
    if arguments.backbone is None and (
        arguments.weights is not None or arguments.image_size is not None
    ):
        parser.error("--weights and --image-size are for a --backbone")
    check_backend(parser)
    return arguments


def chosen_network(arguments, shape):
    if arguments.backbone is None:
        return network_of_our_own(shape)
    weights = arguments.weights or "imagenet"
    return application(
        arguments.backbone,
        None if weights == "none" else weights,
        arguments.image_size or 64,
    )


def main():
    parser = argparse.ArgumentParser(
        description="Attention put into a network that is trained already."
    )
    arguments = parse(parser)
    # TensorFlow has no convolution with channels first on a CPU.
    keras.config.set_image_data_format("channels_last")
    try:
        data, class_names = load_data(arguments.dataset, arguments.data_dir)
        network = chosen_network(arguments, data[0].shape[1:])
        # Built once before the long work: does it have residual branches?
        sites = attention_sites(network.build())
        arguments.output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    start = time.perf_counter()
    backend = keras.config.backend()
    names = [class_names[label] for label in TARGET_CLASSES]
    print(f"{arguments.dataset} on {backend}; to learn: {', '.join(names)}")
    print(f"Attention goes to {len(sites)} places: {', '.join(sites)}")

    per_class = 20 if arguments.quick else IMAGES_PER_CLASS
    results = compare(
        data, network, arguments.seeds, arguments.epochs, per_class
    )
    print("", *table(results), "", sep="\n")

    rng = np.random.default_rng(0)
    images, labels = subset(*data[2:], TARGET_CLASSES, per_class, rng)
    images = network.prepare(images)
    epochs = EPOCHS_FACTOR * np.arange(1, arguments.epochs + 1)
    paths = save_models(results, arguments.output)
    curves = arguments.output / "learning_curves.png"
    scores = arguments.output / "attention_scores.png"
    draw_curves(results, epochs, curves)
    draw_scores(results, images, labels, names, scores)
    for path in (*paths, curves, scores):
        print(f"Written: {path}")

    difference = largest_difference(paths, results, images)
    print(f"Largest difference of a prediction: {difference:.1e}")
    if not difference <= LARGEST_DIFFERENCE:
        sys.exit(f"That is more than {LARGEST_DIFFERENCE:.0e}.")
    print(f"All of it took {time.perf_counter() - start:.0f} seconds.")


if __name__ == "__main__":
    main()
