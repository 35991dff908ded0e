"""Where does channel attention help? Context in dense prediction.

A unit of a convolutional network sees its receptive field. The gates of channel
attention depend on the whole image: they add context. This study measures what
that is worth where context is missing, and whether a larger receptive field is
worth more. A fully convolutional network names the class of the object that
each pixel belongs to. Its receptive field is smaller than the object.

The rows are attention layers after each ReLU or after one of them, and three
controls: a wider network, a deeper one, and dilated convolutions, whose
receptive field covers a digit from each of its pixels. Each row has the
learning rate that is best for it on a part of the training images. Within a
seed all rows see the same images in the same order.

    python -m experiments.context
    python -m experiments.context --task mosaic
    python -m experiments.context --data-dir DIR

The task `mosaic` has four objects in an image: the image is not the context of
an object. Stopped at any moment, the same command goes on with the first run
that is missing, and chooses the learning rates again. Set the environment
variable KERAS_BACKEND to tensorflow, torch or jax to choose a backend.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from experiments.data import CLASSES
from experiments.networks import pixel_labeler, receptive_field
from experiments.pictures import draw_seeds, figure_for
from experiments.pixels import load_task
from experiments.runs import duration, fraction
from experiments.statistics import COSTS, Measure, costs, markdown, report
from experiments.study import Study, carry_out, parser_for, positive
from experiments.training import accuracy, milliseconds, train
from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    insert_attention,
    model_costs,
)

REFERENCES = ("none", "dilated")
# Not one of the seeds of the runs: for the choice of the learning rate.
VALIDATION_SEED = 10_000

"""
## The rows
"""

PLAIN, DEEPER = (1,) * 3, (1,) * 6
# 15x15: from each pixel of a digit of 8x8 it covers all others.
DILATED = (1, 2, 4)


def squeeze_excite():
    # The network is narrow: SE reduces by 4, not by 16.
    return SqueezeExcite(reduction=4)


def convolutional_block():
    return ConvolutionalBlockAttention(reduction=4)


def concurrent_squeeze_excite():
    return ConcurrentSqueezeExcite(reduction=4)


def coordinate_attention():
    # Without moving averages, which a small study would have to settle.
    return CoordinateAttention(
        reduction=4, divisor=1, batch_normalization=False
    )


def global_context():
    return GlobalContext(reduction=4)


@dataclass(frozen=True)
class Row:
    attention: Callable | None = None  # returns a new layer
    after: tuple = ()  # numbers of the convolutions; empty: after all
    dilations: tuple = PLAIN  # of the 3x3 convolutions
    width: float = 1  # times that of the plan


ROWS = {
    "none": Row(),
    "wider": Row(width=9 / 8),
    "deeper": Row(dilations=DEEPER),
    "SqueezeGate": Row(SqueezeGate),
    "ECA": Row(EfficientChannelAttention),
    "SE": Row(squeeze_excite),
    "linear SE": Row(LinearSqueezeExcite),
    "CBAM": Row(convolutional_block),
    "scSE": Row(concurrent_squeeze_excite),
    "coordinate": Row(coordinate_attention),
    "global context": Row(global_context),
    "SE, first layer": Row(squeeze_excite, after=(1,)),
    "SE, second layer": Row(squeeze_excite, after=(2,)),
    "SE, last layer": Row(squeeze_excite, after=(3,)),
    "dilated": Row(dilations=DILATED),
    "dilated, ECA": Row(EfficientChannelAttention, dilations=DILATED),
    "dilated, SE": Row(squeeze_excite, dilations=DILATED),
}

"""
## One run
"""


@dataclass(frozen=True)
class Plan:
    """What all runs of one results file have in common."""

    dataset: str = "digits"
    task: str = "pixels"
    width: int = 16  # channels of each convolution
    batch_size: int = 48
    epochs: int = 15
    learning_rates: tuple = (1e-2, 3e-2, 1e-1)  # to choose from
    images_per_class: int = 100  # at most, in training and in the test
    enlargement: int = 1  # of objects, by the repetition of pixels


def run(plan, row, seed):
    rate = chosen_rate(plan, row)
    images, labels, test_images, test_labels = data(plan)
    model = network(plan, row, seed)
    train(model, images, labels, plan, rate, seed)
    costs = model_costs(model)
    return {
        "parameters": costs.parameters,
        "macs": costs.macs,
        "milliseconds": milliseconds(model, test_images),
        "learning_rate": rate,
        "accuracy": accuracy(model, test_images, test_labels),
    }


READERS = {
    "parameters": int,
    "macs": int,
    "milliseconds": duration,  # of CPU time for 16 images
    "learning_rate": float,
    "accuracy": fraction,  # of the pixels of objects
}


def data(plan):
    return load_task(
        plan.task, plan.dataset, plan.images_per_class, plan.enlargement
    )


def network(plan, name, seed):
    keras.utils.set_random_seed(seed)
    row = ROWS[name]
    model = pixel_labeler(
        data(plan)[0].shape[1:],
        round(plan.width * row.width),
        row.dilations,
        CLASSES,
    )
    if row.attention is None:
        return model
    numbers = row.after or range(1, len(row.dilations) + 1)
    # All weights are carried over; those of attention are drawn last.
    return insert_attention(
        model,
        lambda site: row.attention(),
        [f"layer_{number}_relu" for number in numbers],
    )


@cache
def chosen_rate(plan, row):
    """The best on a fifth of the training images, trained on the others."""
    images, labels, _, _ = data(plan)
    order = np.random.default_rng(VALIDATION_SEED).permutation(len(images))
    validation, training = np.split(order, [len(images) // 5])
    accuracies = []
    for rate in plan.learning_rates:
        keras.utils.clear_session()
        model = network(plan, row, VALIDATION_SEED)
        train(model, images[training], labels[training], plan, rate, seed=0)
        accuracies.append(
            accuracy(model, images[validation], labels[validation])
        )
    return plan.learning_rates[np.argmax(accuracies)]


"""
## The tables and the picture
"""


def measure(plan):
    return Measure("accuracy", "pixel accuracy", len(data(plan)[2]))


def table(plan, runs):
    return (
        f"{report(runs, {}, [measure(plan)], REFERENCES)}\n\n"
        f"{costs_table(runs)}\n\n"
        f"{COSTS}"
    )


def costs_table(runs):
    rows = runs.groupby("row", observed=True)
    sizes = [receptive_field(ROWS[row].dilations) for row, _ in rows]
    table = pd.DataFrame(
        {
            "receptive field": [f"{size}x{size}" for size in sizes],
            **costs(rows, decimals=2),
            "learning rate": rows["learning_rate"].first().map(str),
        }
    )
    return markdown(table.reset_index())


def color_of(row):
    if row.startswith("dilated"):
        return "tab:blue"
    return "black" if ROWS[row].attention is None else "tab:orange"


TICKS = 1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 60, 80, 100


def picture(plan, runs):
    """The wrong pixels of each row, and what the row costs."""
    wrong = 100 - measure(plan).percent(runs)
    rows = list(wrong.columns)
    figure, (left, right) = figure_for(rows, 2, sharey=True)
    draw_seeds(left, wrong, {row: color_of(row) for row in rows})
    left.set_xscale("log")
    low, high = 0.8 * wrong.min(axis=None), 1.25 * wrong.max(axis=None)
    ticks = [tick for tick in TICKS if low < tick < high]
    left.set_xticks(ticks, ticks)
    left.set_xlim(low, high)
    left.minorticks_off()
    left.set_xlabel("wrong pixels of test images, % (logarithmic)")
    left.set_title(
        f"{Path(plan.dataset).name}, {plan.task}, seeds: {len(wrong)}",
        parse_math=False,
    )
    draw_costs(right, runs)
    figure.supxlabel(
        "Left: mean ± standard deviation over the seeds, and below it each "
        "seed. Orange: with attention.\nBlue: dilated convolutions, with a "
        f"receptive field of {receptive_field(DILATED)} pixels.",
        fontsize=9,
    )
    return figure


def draw_costs(axis, runs):
    millions = runs.groupby("row", observed=True)["macs"].first() / 1e6
    colors = [color_of(row) for row in millions.index]
    axis.barh(range(len(millions)), millions, height=0.5, color=colors)
    for height, number in enumerate(millions):
        axis.annotate(
            f"{number:.2f}",
            (number, height),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axis.margins(x=0.12)  # Room for the numbers beside the longest bars.
    axis.set_title("Costs")
    axis.set_xlabel("millions of multiply-adds for an image")


STUDY = Study("context", tuple(ROWS), READERS, run, table, picture)


def main():
    parser = parser_for(STUDY, __doc__)
    parser.add_argument(
        "--task",
        choices=("pixels", "mosaic"),
        default="pixels",
        help="one object in an image, or four (default: %(default)s)",
    )
    parser.add_argument(
        "--enlargement",
        type=positive,
        default=1,
        metavar="N",
        help="repeat each pixel N times in both directions, so that the "
        "receptive field covers less of an object (default: %(default)s)",
    )
    arguments = parser.parse_args()
    plan, study = Plan(enlargement=arguments.enlargement), STUDY
    if arguments.task == "mosaic":
        # As many objects in a batch, and as many steps.
        plan = replace(plan, task="mosaic", batch_size=plan.batch_size // 4)
        study = replace(study, name=f"{study.name}_mosaic")
    if arguments.enlargement > 1:
        study = replace(study, name=f"{study.name}_x{arguments.enlargement}")
    carry_out(study, plan, parser, arguments)


if __name__ == "__main__":
    main()
