"""Attention inserted into a trained network: what is lost, and what is gained.

A small residual network learns the first five classes of a data set. Then
channel attention is inserted with `insert_attention`: Squeeze-and-Excitation
(SE) and Efficient Channel Attention (ECA), each with a plain start and with
`identity_start=True`, and, for comparison, no attention. The study measures

1. the accuracy on the old classes right after insertion, before any training;
2. the accuracy on the five new classes after fine-tuning on ten labels each.

Each seed chooses other labels and other initial weights. Within a seed all rows
start from the same pretrained network with the same new head, and see the same
images in the same order.

    python -m experiments.transfer
    python -m experiments.transfer --dataset fashion_mnist
    python -m experiments.transfer --data-dir DIR --seeds 10

Fashion-MNIST is downloaded by Keras or read from a folder. Stopped at any
moment, the same command goes on with the first run that is missing. Set the
environment variable KERAS_BACKEND to tensorflow, torch or jax to choose a
backend.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np
from keras import layers

from experiments.data import load_data, subset
from experiments.networks import classifier, with_head
from experiments.pictures import draw_seeds, figure_for
from experiments.runs import fraction
from experiments.statistics import Measure, report
from experiments.study import Study, carry_out, parser_for
from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    insert_attention,
)

OLD_CLASSES = range(5)
NEW_CLASSES = range(5, 10)
REFERENCES = ("no attention",)

# A new layer for each site, or `None`. The network is narrow: SE reduces by 8,
# not by 16.
ROWS = {
    "no attention": lambda site: None,
    "SE, plain start": lambda site: SqueezeExcite(reduction=8),
    "SE, identity start": lambda site: SqueezeExcite(
        reduction=8, identity_start=True
    ),
    "ECA, plain start": lambda site: EfficientChannelAttention(),
    "ECA, identity start": lambda site: EfficientChannelAttention(
        identity_start=True
    ),
}


@dataclass(frozen=True)
class Plan:
    """What all runs of one results file have in common."""

    dataset: str = "digits"
    widths: tuple = (32, 32, 64, 64)  # of the residual blocks
    batch_size: int = 25  # divides both training sets of the digits
    epochs: int = 10  # of pretraining
    # Fine-tuning has few images in an epoch, so it takes more of them.
    fine_tuning_epochs_factor: int = 3
    pretraining_rate: float = 3e-3
    fine_tuning_rate: float = 1e-3
    images_per_class: int = 100  # at most; for pretraining and for each test
    labels_per_class: int = 10  # for fine-tuning


"""
## One run
"""


def run(plan, row, seed):
    images = images_of(plan, seed)
    pretrained = pretrained_network(plan, seed)
    keras.utils.set_random_seed(seed)
    attended = insert_attention(pretrained, ROWS[row])
    old_images, old_labels = images.old_test
    before = probabilities(pretrained, old_images)
    after = probabilities(attended, old_images)
    # The same head and the same order of images for all rows.
    keras.utils.set_random_seed(seed)
    curve = fine_tune(attended, plan, images)
    return {
        "parameters": attended.count_params(),
        "old_accuracy": round(np.mean(after.argmax(-1) == old_labels), 6),
        "largest_change": np.abs(after - before).max(),
        "new_accuracy": round(curve[-1], 6),
        "learning_curve": " ".join(f"{accuracy:.4f}" for accuracy in curve),
    }


READERS = {
    "parameters": int,
    "old_accuracy": fraction,
    "largest_change": fraction,  # of a probability, by the insertion
    "new_accuracy": fraction,
    "learning_curve": str,  # accuracies on the new classes while fine-tuning
}


@dataclass(frozen=True)
class Images:
    """Each is a tuple of images and labels."""

    old_training: tuple
    new_training: tuple
    old_test: tuple
    new_test: tuple


def images_of(plan, seed):
    """The seed chooses the images to train on; the test images are fixed."""
    data = load_data(plan.dataset)
    training, test = data[:2], data[2:]
    most, few = plan.images_per_class, plan.labels_per_class
    fixed, varied = np.random.default_rng(0), np.random.default_rng(seed)
    return Images(
        old_training=subset(*training, OLD_CLASSES, most, varied),
        new_training=subset(*training, NEW_CLASSES, few, varied),
        old_test=subset(*test, OLD_CLASSES, most, fixed),
        new_test=subset(*test, NEW_CLASSES, most, fixed),
    )


@lru_cache(maxsize=1)
def pretrained_network(plan, seed):
    """Trained once for all rows of a seed: insertion works on a copy."""
    keras.utils.set_random_seed(seed)
    images, labels = images_of(plan, seed).old_training
    model = classifier(images.shape[1:], plan.widths, len(OLD_CLASSES))
    compile_with(model, plan.pretraining_rate)
    model.fit(
        images,
        labels,
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        verbose=0,
    )
    return model


def fine_tune(model, plan, images):
    """Train a new head and all else; returns accuracies on the way."""
    model = with_head(
        model.input, model.get_layer("head").input, len(NEW_CLASSES)
    )
    # Ten labels are too few to estimate the statistics again.
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    compile_with(model, plan.fine_tuning_rate)
    history = model.fit(
        *images.new_training,
        batch_size=plan.batch_size,
        epochs=plan.epochs * plan.fine_tuning_epochs_factor,
        validation_data=images.new_test,
        validation_freq=plan.fine_tuning_epochs_factor,
        validation_batch_size=len(images.new_test[0]),
        verbose=0,
    )
    return history.history["val_accuracy"]


def compile_with(model, learning_rate):
    model.compile(
        keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def probabilities(model, images):
    # Called directly: `predict` would compile each of the many models.
    return keras.ops.convert_to_numpy(model(images))


"""
## The table and the picture
"""


def measures_of(plan):
    images = images_of(plan, 0)
    return [
        Measure("old_accuracy", "old classes", len(images.old_test[0])),
        Measure("new_accuracy", "new classes", len(images.new_test[0])),
    ]


def table(plan, runs):
    counts = {"parameters": "parameters"}
    lines = report(runs, counts, measures_of(plan), REFERENCES)
    changes = runs.groupby("row", observed=True)["largest_change"].max()
    return (
        "Old classes: accuracy after insertion, before any training.\n"
        f"New classes: accuracy after fine-tuning.\n\n{lines}\n\n"
        f"Largest change of a probability by the insertion:\n\n"
        f"{changes.to_string(float_format='{:.2g}'.format, header=False)}"
    )


def color_of(row):
    start = row.rpartition(", ")[2]
    colors = {"plain start": "tab:orange", "identity start": "tab:blue"}
    return colors.get(start, "black")


def picture(plan, runs):
    old, _ = measures_of(plan)
    percent = old.percent(runs)
    rows = list(percent.columns)
    figure, (left, right) = figure_for(rows, 2)
    draw_seeds(left, percent, {row: color_of(row) for row in rows})
    left.set_title("Old classes, before any training")
    left.set_xlabel("test accuracy, %")
    draw_curves(right, plan, runs)
    figure.suptitle(
        f"{Path(plan.dataset).name}, small residual network, "
        f"seeds: {len(percent)}",
        parse_math=False,
    )
    figure.supxlabel(
        "Left: mean ± standard deviation over the seeds, and below it each "
        "seed. Right: means over the seeds.",
        fontsize=9,
    )
    return figure


def draw_curves(axis, plan, runs):
    factor = plan.fine_tuning_epochs_factor
    epochs = factor * np.arange(1, plan.epochs + 1)
    for row, curves in runs.groupby("row", observed=True)["learning_curve"]:
        mean = curves.str.split(expand=True).astype(float).mean()
        axis.plot(
            epochs,
            100 * mean,
            color=color_of(row),
            ls="--" if row.startswith("ECA") else "-",
            marker="o",
            ms=3,
            label=row,
        )
    axis.set_title("New classes, ten labels each")
    axis.set_xlabel("epochs of fine-tuning")
    axis.set_ylabel("test accuracy, %")
    axis.legend(loc="lower right")


STUDY = Study("transfer", tuple(ROWS), READERS, run, table, picture)


def main():
    parser = parser_for(STUDY, __doc__)
    parser.add_argument(
        "--dataset",
        choices=("digits", "fashion_mnist"),
        default="digits",
        help="without --data-dir (default: %(default)s)",
    )
    arguments = parser.parse_args()
    plan = replace(Plan(), dataset=arguments.dataset)
    carry_out(STUDY, plan, parser, arguments)


if __name__ == "__main__":
    main()
