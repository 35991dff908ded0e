"""Which `learning_rate_multiplier` attention needs.

With an identity start the weights of the attention are zero, and a step of Adam
changes each by about the learning rate. A gate is a sum over n inputs: the
kernel size of ECA, the width of the bottleneck of Squeeze-and-Excitation, the
channels of a group of `LinearSqueezeExcite`. Few inputs make few small changes.
The hypothesis is that the best multiplier is near 90 / n.

The network labels each pixel of an object with the class of the object. It sees
7x7 pixels. Attention is inserted into a trained network (`--start inserted`),
or the network is trained with it from random weights (`--start random`). With
`--start new_classes` the trained network knows the first five classes, and
learns the others after the insertion.

Each row has a step size of its own: the one of three with the best accuracy on
the last fifth of the training images, for the first seed. Its network trains on
the other four fifths. The accuracies of the table are those of the test images.

What was decided before the runs: a rule is good if, in no setting with an
inserted start, it is significantly worse than the multiplier 1 (Student's t on
paired seeds, 5 % for all comparisons of the study together), and if it gains at
least five points on average over the inserted settings.

On digits with Adam 90 / n was not the best. The rule that is now the default of
the layers, `"auto"`, is the power of two near the multiplier that was best
there: 32 for ECA, 8 for the others. The other settings test it.

    python -m experiments.rates
    python -m experiments.rates --optimizer sgd
    python -m experiments.rates --start random
    python -m experiments.rates --data-dir DIR --seeds 10

Stopped at any moment, the same command goes on with the first run that is
missing. Set the environment variable KERAS_BACKEND to tensorflow, torch or jax
to choose a backend.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np

from experiments.data import CLASSES
from experiments.networks import pixel_labeler
from experiments.pictures import draw_seeds, figure_for
from experiments.pixels import load_task
from experiments.runs import fraction
from experiments.statistics import Measure, report
from experiments.study import Study, carry_out, parser_for
from experiments.training import accuracy, train
from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    insert_attention,
)

MULTIPLIERS = (1, 3, 10, 30, 100)
AUTOMATIC = "auto"  # the default of the layers
# With 32 channels: the inputs n of a gate are in the names.
MECHANISMS = {
    "ECA, n=3": lambda **rest: EfficientChannelAttention(3, **rest),
    "SE, n=8": lambda **rest: SqueezeExcite(bottleneck_units=8, **rest),
    "SE, n=32": lambda **rest: SqueezeExcite(bottleneck_units=32, **rest),
    "linear, n=32": lambda **rest: LinearSqueezeExcite(**rest),
}
REFERENCE = "no attention"
ROWS = (
    REFERENCE,
    *(
        f"{name}, {multiplier}"
        for name in MECHANISMS
        for multiplier in (*(f"x{m}" for m in MULTIPLIERS), AUTOMATIC)
    ),
)
RULE = 90
STARTS = ("inserted", "new_classes", "random")
OLD_CLASSES = range(5)
# The step sizes that each run chooses from. Those of SGD are larger.
OPTIMIZERS = {
    "adam": (keras.optimizers.Adam, (1e-3, 3e-3, 1e-2)),
    "adamw": (keras.optimizers.AdamW, (1e-3, 3e-3, 1e-2)),
    "sgd": (
        lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        (1e-2, 3e-2, 1e-1),
    ),
}


@dataclass(frozen=True)
class Plan:
    """What all runs of one results file have in common."""

    dataset: str = "digits"
    start: str = "inserted"
    optimizer: str = "adam"
    width: int = 32
    dilations: tuple = (1, 1, 1)
    batch_size: int = 50
    epochs: int = 8  # of the training before insertion, and of that after it
    images_per_class: int = 100


"""
## One run
"""


def run(plan, row, seed):
    best = best_of_first_seed(plan, row)
    if seed == 0:
        return best
    return one_training(plan, row, seed, best["learning_rate"])


@lru_cache
def best_of_first_seed(plan, row):
    """Computed once for all seeds of a row, and anew where a study goes on."""
    _, rates = OPTIMIZERS[plan.optimizer]
    return max(
        (one_training(plan, row, 0, rate) for rate in rates),
        key=lambda result: result["validation_accuracy"],
    )


READERS = {
    "parameters": int,
    "learning_rate": float,
    "validation_accuracy": fraction,
    "accuracy": fraction,
}


def one_training(plan, row, seed, rate):
    parts = parts_of(plan, seed)
    if plan.start == "new_classes":
        parts = [of_classes(part, old=False) for part in parts]
    training, validation, test = parts
    model = network_for(plan, row, seed)
    optimizer, _ = OPTIMIZERS[plan.optimizer]
    train(model, *training, plan, rate, seed, optimizer=optimizer)
    return {
        "parameters": model.count_params(),
        "learning_rate": rate,
        "validation_accuracy": accuracy(model, *validation),
        "accuracy": accuracy(model, *test),
    }


def parts_of(plan, seed):
    """The seed chooses the images that validate; the test images are fixed."""
    images, labels, *test = load_task(
        "pixels", plan.dataset, plan.images_per_class, enlargement_of(plan)
    )
    order = np.random.default_rng(seed).permutation(len(images))
    validation, training = np.split(order, [len(images) // 5])
    return (
        (images[training], labels[training]),
        (images[validation], labels[validation]),
        tuple(test),
    )


def of_classes(part, old):
    """The images of the old classes, or of the new ones."""
    images, labels = part
    is_old = np.isin(labels.max(axis=(1, 2)), OLD_CLASSES)
    chosen = is_old if old else ~is_old
    return images[chosen], labels[chosen]


def enlargement_of(plan):
    """Digits have 8x8 pixels, and are enlarged to 16x16."""
    return 2 if plan.dataset == "digits" else 1


def network_for(plan, row, seed):
    if plan.start == "random":
        model = new_network(plan, seed)
    else:
        model = trained_network(plan, seed)
    if row == REFERENCE:
        return insert_attention(model, lambda site: None, where=sites(plan))
    keras.utils.set_random_seed(seed)
    name, _, multiplier = row.rpartition(", ")
    if multiplier != AUTOMATIC:
        multiplier = int(multiplier.removeprefix("x"))
    attention = MECHANISMS[name](
        identity_start=True, learning_rate_multiplier=multiplier
    )
    return insert_attention(model, attention, where=sites(plan))


def sites(plan):
    return [f"layer_{n + 1}_relu" for n in range(len(plan.dilations))]


def new_network(plan, seed):
    keras.utils.set_random_seed(seed)
    shape = parts_of(plan, seed)[0][0].shape[1:]
    return pixel_labeler(shape, plan.width, plan.dilations, CLASSES)


@lru_cache(maxsize=2)  # of this seed, and of the first
def trained_network(plan, seed):
    """Trained once for all rows of a seed: insertion works on a copy."""
    training, _, _ = parts_of(plan, seed)
    if plan.start == "new_classes":
        training = of_classes(training, old=True)
    model = new_network(plan, seed)
    train(model, *training, plan, 3e-3, seed)
    return model


"""
## The table and the picture
"""


def inputs_of(row):
    """The inputs n of a gate."""
    return int(row.partition("n=")[2].partition(",")[0])


def rows_of_the_rule():
    """For each mechanism the row whose multiplier is nearest to 90 / n."""
    rows = []
    for name in MECHANISMS:
        wanted = np.log(RULE / inputs_of(name))
        nearest = min(MULTIPLIERS, key=lambda m: abs(np.log(m) - wanted))
        rows.append(f"{name}, x{nearest}")
    return rows


def measure():
    # Pixels of an image are not independent: no smallest difference.
    return Measure("accuracy", "pixel accuracy", None)


def table(plan, runs):
    parts = []
    for name in MECHANISMS:
        part = runs[runs["row"].str.startswith((name, REFERENCE))]
        reference = f"{name}, x1"
        parts.append(
            report(
                part, {"parameters": "parameters"}, [measure()], (reference,)
            )
        )
    rule = ", ".join(rows_of_the_rule())
    return "\n\n".join([*parts, f"The rule 90 / n is nearest to: {rule}."])


def picture(plan, runs):
    percent = measure().percent(runs)
    rows = list(percent.columns)
    figure, (axis, second) = figure_for(rows, 2)
    colors = {
        row: "tab:blue" if row.endswith(AUTOMATIC) else "black" for row in rows
    }
    draw_seeds(axis, percent, colors)
    axis.set_xlabel("pixel accuracy, test images, %")
    for name in MECHANISMS:
        means = [
            (int(row.rpartition("x")[2]), percent[row].mean())
            for row in rows
            if row.startswith(name) and not row.endswith(AUTOMATIC)
        ]
        if not means:
            continue
        second.plot(*zip(*means, strict=True), marker="o", label=name)
    if REFERENCE in percent:
        second.axhline(
            percent[REFERENCE].mean(), color="gray", ls="--", label=REFERENCE
        )
    second.set_xscale("log")
    second.set_xlabel("learning_rate_multiplier")
    second.yaxis.tick_right()
    second.legend()
    figure.suptitle(
        f"{Path(plan.dataset).name}, {plan.start} start, {plan.optimizer}, "
        f"{plan.epochs} epochs, seeds: {len(percent)}",
        parse_math=False,
    )
    return figure


STUDY = Study("rates", ROWS, READERS, run, table, picture)


def main():
    parser = parser_for(STUDY, __doc__)
    parser.add_argument("--start", choices=STARTS, default="inserted")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    arguments = parser.parse_args()
    plan = Plan(start=arguments.start, optimizer=arguments.optimizer)
    carry_out(STUDY, plan, parser, arguments)


if __name__ == "__main__":
    main()
