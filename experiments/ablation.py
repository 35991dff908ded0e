"""Which channel attention? The ten rows of the ECA paper's table 2.

The paper, https://arxiv.org/abs/1910.03151, asks which parts of channel
attention matter: all channels (SE), no weights at all (SE-Var1), a weight for
each channel (SE-Var2), a full matrix (SE-Var3), a block-diagonal matrix
(SE-GC), neighboring channels (ECA-NS), or neighboring channels with one kernel
for all (ECA). It trains ResNet-50 on ImageNet with each. This study trains a
small residual network with each, over several seeds. For a seed, all rows
start from the same weights outside attention and see the same images in the
same order.

    python -m experiments.ablation --quick
    python -m experiments.ablation
    python -m experiments.ablation --data-dir DIR --seeds 4 --rows vanilla ECA
    python -m experiments.ablation --quick --task pixels

Fashion-MNIST is downloaded by Keras or read from a folder. That is work for a
GPU. --quick trains a smaller network on scikit-learn's digits: seconds for a
run on two CPU cores. The task `pixels` is that of `experiments.context`: a
fully convolutional network names the class of each pixel of an object. Stopped
at any moment, the same command goes on with the first run that is missing. Set
the environment variable KERAS_BACKEND to tensorflow, torch or jax to choose a
backend.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from experiments import pictures
from experiments.data import CLASSES
from experiments.networks import classifier, pixel_labeler
from experiments.pictures import draw_seeds, figure_for
from experiments.pixels import load_task
from experiments.runs import duration, fraction
from experiments.statistics import Measure, report
from experiments.study import Study, carry_out, parser_for
from experiments.training import accuracy, train
from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    attention_layers,
    insert_attention,
)

REFERENCES = ("vanilla", "SE")
COUNTS = {
    "attention_parameters": "weights of attention",
    "parameters": "weights in all",
}

"""
## The rows
"""


@dataclass(frozen=True)
class Row:
    formula: str  # weights of one attention layer for C channels
    attention: Callable  # number of channels: a new layer or `None`
    published: float  # ResNet-50, ImageNet top-1 in percent: table 2


def grouped(groups):
    return lambda channels: LinearSqueezeExcite(groups=groups(channels))


def neighbors(**options):
    return lambda channels: EfficientChannelAttention(kernel_size=3, **options)


ROWS = {
    "vanilla": Row("0", lambda channels: None, 75.20),
    "SE": Row("2C²/16", lambda channels: SqueezeExcite(reduction=16), 76.71),
    "SE-Var1": Row("0", lambda channels: SqueezeGate(), 76.00),
    "SE-Var2": Row("C", grouped(lambda channels: channels), 77.07),
    "SE-Var3": Row("C²", grouped(lambda channels: 1), 77.42),
    "SE-GC-16": Row("C²/16", grouped(lambda channels: 16), 76.95),
    "SE-GC-C/16": Row("16C", grouped(lambda channels: channels // 16), 76.98),
    "SE-GC-C/8": Row("8C", grouped(lambda channels: channels // 8), 76.96),
    "ECA-NS": Row("3C", neighbors(shared_kernel=False), 77.35),
    "ECA": Row("3", neighbors(), 77.43),
}

"""
## One run
"""


@dataclass(frozen=True)
class Plan:
    """What all runs of one results file have in common."""

    dataset: str
    widths: tuple  # of the residual blocks, such that no two SE-GC rows agree
    batch_size: int
    epochs: int
    learning_rate: float = 3e-3
    task: str = "classes"  # of `load_task`
    images_per_class: int | None = None  # at most; `None`: all


QUICK = Plan("digits", (32, 32, 64, 64), 32, 10)
FULL = Plan("fashion_mnist", (32, 32, 64, 64, 96, 96), 128, 20)
# For the task `pixels`: 3x3 convolutions without a dilation.
PIXELS = {"widths": (32,) * 3, "batch_size": 48, "images_per_class": 100}


def run(plan, row, seed):
    images, labels, test_images, test_labels = data(plan)
    model = network(plan, row, seed)
    timer = EpochTimer()
    train(model, images, labels, plan, plan.learning_rate, seed, [timer])
    return {
        "attention_parameters": attention_parameters(model),
        "parameters": model.count_params(),
        "accuracy": accuracy(model, test_images, test_labels),
        "epoch_seconds": round(timer.epoch_seconds(), 4),
    }


READERS = {
    "attention_parameters": int,
    "parameters": int,
    "accuracy": fraction,
    "epoch_seconds": duration,
}


def data(plan):
    return load_task(plan.task, plan.dataset, plan.images_per_class)


def network(plan, row, seed):
    """A network that differs from others of its seed in attention alone."""
    keras.utils.set_random_seed(seed)
    plain, sites = network_without_attention(plan)
    # All weights are carried over; those of attention are drawn last.
    return insert_attention(
        plain, lambda site: ROWS[row].attention(site.output.shape[-1]), sites
    )


def network_without_attention(plan):
    """The network, and where `insert_attention` puts attention."""
    shape = data(plan)[0].shape[1:]
    if plan.task == "classes":
        return classifier(shape, plan.widths, CLASSES), "residual"
    layers = len(plan.widths)
    model = pixel_labeler(shape, plan.widths[0], (1,) * layers, CLASSES)
    return model, [f"layer_{number}_relu" for number in range(1, layers + 1)]


def attention_parameters(model):
    layers = attention_layers(model).values()
    return sum(layer.count_params() for layer in layers)


class EpochTimer(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)

    def epoch_seconds(self):
        # The first epoch compiles.
        return float(np.median(self.seconds[1:] or self.seconds))


"""
## The table and the picture
"""


def measure(plan):
    return Measure("accuracy", "accuracy", len(data(plan)[2]))


def table(plan, runs):
    return report(runs, COUNTS, [measure(plan)], REFERENCES)


def color_of(row):
    return pictures.color_of(row.partition("-")[0])


def picture(plan, runs):
    """Our accuracies and the published ones, each on an axis of its own."""
    percent = measure(plan).percent(runs)
    rows = list(percent.columns)
    figure, (ours, paper) = figure_for(rows, 2, sharey=True)
    draw_seeds(ours, percent, {row: color_of(row) for row in rows})
    draw_published(paper, rows)
    if "vanilla" in rows:
        options = {"color": "black", "lw": 0.8, "ls": ":", "zorder": 0}
        ours.axvline(percent["vanilla"].mean(), **options)
        paper.axvline(ROWS["vanilla"].published, **options)
    ours.set_title(
        f"Ours: {Path(plan.dataset).name}, {plan.task}, small network, "
        f"seeds: {len(percent)}",
        parse_math=False,
    )
    ours.set_xlabel("test accuracy, %")
    figure.supxlabel(
        "Left: mean ± standard deviation over the seeds, and below it each "
        "seed, darker where several agree.\nRight: one published figure per "
        "row, no spread known. Dotted line: vanilla. Data, network and scale "
        "differ between left and right.",
        fontsize=9,
    )
    return figure


def draw_published(axis, rows):
    for height, row in enumerate(rows):
        accuracy = ROWS[row].published
        axis.plot(accuracy, height, "o", color=color_of(row), ms=7)
        axis.annotate(
            f"{accuracy:.2f}",
            (accuracy, height),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axis.set_title("Published: ImageNet, ResNet-50 (ECA paper, table 2)")
    axis.set_xlabel("top-1 accuracy, %")
    axis.margins(x=0.16)  # Room for the numbers beside the last dots.
    weights = axis.secondary_yaxis("right")
    weights.set_yticks(range(len(rows)), [ROWS[row].formula for row in rows])
    weights.set_ylabel("weights of one attention\nlayer for C channels")


STUDY = Study("ablation", tuple(ROWS), READERS, run, table, picture)


def main():
    parser = parser_for(STUDY, __doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a small network on scikit-learn's digits",
    )
    parser.add_argument(
        "--task",
        choices=("classes", "pixels"),
        default="classes",
        help="a class for each image, or for each pixel of an object "
        "(default: %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.quick and arguments.data_dir is not None:
        parser.error("--data-dir is for Fashion-MNIST, not for --quick")
    plan, study = QUICK if arguments.quick else FULL, STUDY
    if arguments.task == "pixels":
        plan = replace(plan, task="pixels", **PIXELS)
        study = replace(STUDY, name="ablation_pixels")
    carry_out(study, plan, parser, arguments)


if __name__ == "__main__":
    main()
