"""Does attention help a detector, at which place, and what does it cost?

A YOLOv9-t of kyolo learns to find objects in scenes, see examples/detection.py.
Attention is inserted into the trained network with the identity start. Then all
networks are trained for the same number of steps: without attention, and with
Squeeze-and-Excitation (SE) or Efficient Channel Attention (ECA) at the four
places of the page "Attention in detectors". The learning rate is the best for
the network without attention, the `learning_rate_multiplier` of the attention
the best for SE and for ECA after each block. Both are chosen on scenes of other
objects. Within a seed, all rows start from the same trained network and see the
same scenes in the same order.

    pip install ".[detection,experiments,jax]"
    python -m experiments.detection
    python -m experiments.detection --data-dir DIR

Stopped at any moment, the same command goes on with the first run that is
missing, and chooses the learning rates again. Set the environment variable
KERAS_BACKEND to tensorflow, torch or jax to choose a backend.
"""

from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from kyolo.models import yolov9t
from kyolo.training import YOLODetector

from examples.detection import (
    BLOCKS,
    VALIDATION_SCENES,
    detect,
    ignore_build_warning,
    mean_average_precision,
    name_matches,
    pixels,
    scenes,
    train,
)
from experiments.data import CLASSES
from experiments.pictures import color_of, draw_seeds, figure_for
from experiments.pixels import load_task
from experiments.runs import duration, fraction
from experiments.statistics import COSTS, Measure, costs, markdown, report
from experiments.study import Study, carry_out, parser_for, positive
from experiments.training import milliseconds
from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    insert_attention,
    model_costs,
)

# Not one of the seeds of the runs: for the choice of the learning rate.
VALIDATION_SEED = 10_000

"""
## The rows
"""

PLACES = {
    "residual": "residual",
    "after SPPELAN": name_matches(r"model-9-cv5-act"),
    "after each block": name_matches(BLOCKS),
    "before the head": name_matches(r"model-(15|18|21)-cv4-act"),
}
ATTENTION = {
    # Most branches are narrow: SE reduces by 4, not by 16.
    "SE": partial(SqueezeExcite, reduction=4, identity_start=True),
    "ECA": partial(EfficientChannelAttention, identity_start=True),
}
ROWS = (
    "none",
    *(f"{name}, {place}" for name in ATTENTION for place in PLACES),
)

"""
## One run
"""


@dataclass(frozen=True)
class Plan:
    """What all runs of one results file have in common."""

    dataset: str = "digits"
    size: int = 96  # of a scene, in pixels
    scenes: int = 400  # to train with
    epochs: int = 15  # of training before attention is inserted
    learning_rate: float = 5e-3
    tuning_epochs: int = 5
    tuning_rates: tuple = (1e-3, 3e-3, 1e-2)  # to choose from
    attention_factors: tuple = (1, 10, 30)  # multipliers, to choose from
    images_per_class: int | None = None  # of objects, at most; `None`: all
    kyolo: str = version("kyolo")


def run(plan, row, seed):
    rate = chosen_rate(plan)
    factor = chosen_factor(plan, row.partition(", ")[0])
    (half, precision), network = tuned(plan, row, seed, rate, factor)
    costs = model_costs(network)
    images, _ = data(plan, seed, "validation")
    return {
        "parameters": costs.parameters,
        "macs": costs.macs,
        "milliseconds": milliseconds(network, pixels(images)),
        "rate": rate,
        "factor": factor,
        "half": round(half, 6),
        "precision": round(precision, 6),
    }


READERS = {
    "parameters": int,
    "macs": int,
    "milliseconds": duration,  # of CPU time for 16 images
    "rate": float,  # of training after the insertion
    "factor": int,  # `learning_rate_multiplier` of the attention
    "half": fraction,  # mAP at an overlap of 0.5
    "precision": fraction,  # its mean from 0.5 to 0.95
}


@lru_cache(maxsize=4)
def data(plan, seed, part):
    """Scenes of a seed. No object is in both parts."""
    images, classes, test_images, test_classes = load_task(
        "classes", plan.dataset, plan.images_per_class
    )
    if seed == VALIDATION_SEED:
        # No object that is tested with another seed.
        order = np.random.default_rng(seed).permutation(len(images))
        validation, training = np.split(order, [len(images) // 5])
        test_images, test_classes = images[validation], classes[validation]
        images, classes = images[training], classes[training]
    if part == "validation":
        images, classes = test_images, test_classes
    count = plan.scenes if part == "training" else VALIDATION_SCENES
    seed = seed, len(part)
    return scenes(count, images[..., 0], classes, plan.size, seed)


# Two: that of the seed, and that for the choice of the learning rates.
@lru_cache(maxsize=2)
def trained_network(plan, seed):
    """Trained once for all rows of a seed."""
    network = new_network(plan, seed)
    fit(plan, network, seed, plan.epochs, plan.learning_rate)
    return network


def new_network(plan, seed):
    keras.utils.set_random_seed(seed)
    return yolov9t(nc=CLASSES, input_shape=(plan.size, plan.size, 3))


def fit(plan, network, seed, epochs, rate):
    images, objects = data(plan, seed, "training")
    train(network, images, objects, epochs, rate, seed, verbose=0)


def precisions(plan, network, seed):
    """The mean average precisions for scenes that were not trained on."""
    images, objects = data(plan, seed, "validation")
    detections = detect(YOLODetector(network), images)
    return mean_average_precision(detections, objects)


def tuned(plan, row, seed, rate, factor):
    """The mean average precisions after the training, and the network."""
    trained = trained_network(plan, seed)
    # What was drawn before has no effect on the weights of the attention.
    keras.utils.set_random_seed(seed)
    network = with_attention(trained, row, factor)
    fit(plan, network, seed, plan.tuning_epochs, rate)
    return precisions(plan, network, seed), network


def with_attention(network, row, factor):
    if row == "none":
        return insert_attention(network, lambda site: None)
    name, _, place = row.partition(", ")
    attention = ATTENTION[name](learning_rate_multiplier=factor)
    return insert_attention(network, attention, PLACES[place])


@cache
def chosen_rate(plan):
    """The best without attention, for scenes of a seed that has no runs."""
    return best(
        plan.tuning_rates,
        lambda rate: tuned(plan, "none", VALIDATION_SEED, rate, factor=1),
    )


@cache
def chosen_factor(plan, mechanism):
    """The best after each block, for the same scenes."""
    if mechanism == "none":
        return 1
    rate, row = chosen_rate(plan), f"{mechanism}, after each block"
    return best(
        plan.attention_factors,
        lambda factor: tuned(plan, row, VALIDATION_SEED, rate, factor),
    )


def best(choices, tuned_with):
    precisions = []
    for choice in choices:
        (_, precision), _ = tuned_with(choice)
        precisions.append(precision)
    return choices[np.argmax(precisions)]


"""
## The tables and the picture
"""

MEASURES = (
    Measure("half", "mAP 0.5", images=None),
    Measure("precision", "mAP 0.5:0.95", images=None),
)


def table(plan, runs):
    return (
        f"{report(runs, {}, MEASURES, ('none',))}\n\n{costs_table(runs)}\n\n"
        f"{COSTS}"
    )


def costs_table(runs):
    rows = runs.groupby("row", observed=True)
    columns = {
        **costs(rows, decimals=1),
        "learning rate": rows["rate"].first().map(str),
        "for the attention": rows["factor"].first().map("x{}".format),
    }
    return markdown(pd.DataFrame(columns).reset_index())


def picture(plan, runs):
    """Both precisions of each row and seed."""
    percents = [measure.percent(runs) for measure in MEASURES]
    rows = list(percents[0].columns)
    figure, axes = figure_for(rows, 2, sharey=True)
    colors = {row: color_of(row.partition(",")[0]) for row in rows}
    for axis, percent, measure in zip(axes, percents, MEASURES, strict=True):
        draw_seeds(axis, percent, colors)
        if "none" in rows:
            axis.axvline(percent["none"].mean(), color="black", lw=0.8, ls=":")
        axis.set_xlabel(f"{measure.label}, %")
    axes[0].set_title(
        f"{Path(plan.dataset).name}, YOLOv9-t, seeds: {len(percents[0])}",
        parse_math=False,
    )
    figure.supxlabel(
        "Mean ± standard deviation over the seeds, and below it each seed. "
        "Dotted line: without attention.",
        fontsize=9,
    )
    return figure


STUDY = Study("detection", ROWS, READERS, run, table, picture)


def main():
    parser = parser_for(STUDY, __doc__)
    parser.add_argument("--scenes", type=positive, help="to train with")
    arguments = parser.parse_args()
    plan = Plan()
    if arguments.scenes is not None:
        plan = replace(plan, scenes=arguments.scenes)
    ignore_build_warning()
    carry_out(STUDY, plan, parser, arguments)


if __name__ == "__main__":
    main()
