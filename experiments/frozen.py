"""What does attention with constant gates cost, and what does it save?

`freeze_attention` fixes each gate at its mean over the training images. The
network then is a network without attention: smaller, and faster where attention
is slow. This study measures for trained networks

1. what is lost when the gates are frozen;
2. what a short fine-tuning of the frozen network brings back, against the same
   fine-tuning of the network with its gates;
3. whether the same network without attention, trained from scratch for as
   long, is as good: then the attention was not needed in the training either.

Most rows are networks that learn digits: the digit that each pixel belongs to,
with a receptive field smaller than a digit or (dilated) as large, or the digit
of an image. The detector finds digits in scenes: the YOLOv9-t of
experiments/detection.py, with attention after each block. The last two rows are
a trained network that finds people, MediaPipe's selfie segmentation
(examples/selfie_segmentation.py). Its own masks are what the frozen network is
compared with. Its gates are frozen at their means over crops and shades of two
photographs. It is tested on other crops of these, and on crops of a third
photograph.

    python -m experiments.frozen
    python -m experiments.frozen --rows "pixels, ECA" "digits, ECA"

The row of the detector needs `pip install ".[detection]"`. The rows of the
person need mediapipe's file, which is downloaded once, and
`pip install ai-edge-litert pillow scikit-image`. Stopped at any moment, the
same command goes on with the first run that is missing. Set the environment
variable KERAS_BACKEND to tensorflow, torch or jax to choose a backend.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import keras
import numpy as np
import pandas as pd

from experiments.data import CLASSES
from experiments.networks import classifier, pixel_labeler
from experiments.pictures import draw_changes, figure_for
from experiments.pixels import load_task
from experiments.runs import duration, fraction
from experiments.statistics import (
    Measure,
    compare,
    markdown,
    mean_and_deviation,
    verdicts,
)
from experiments.study import Study, carry_out, parser_for
from experiments.training import accuracy, milliseconds, train
from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    freeze_attention,
    fuse_attention,
    insert_attention,
    model_costs,
)

"""
## The rows
"""


@dataclass(frozen=True)
class Row:
    """A network that learns digits, or one that has learned to find people.

    That one is tested on photographs.
    """

    attention: Callable | None = None  # returns a new layer, for digits
    task: str = "pixels"  # of `load_task`; or "scenes", to detect digits
    dilations: tuple = (1, 1, 1)  # of the 3x3 convolutions, for pixels
    tested_on: tuple = ()  # photographs


def squeeze_excite():
    # The networks are narrow: SE reduces by 4, not by 16.
    return SqueezeExcite(reduction=4)


CALIBRATED_ON = ("grace_hopper", "astronaut")
ROWS = {
    "pixels, SE": Row(squeeze_excite),
    "pixels, ECA": Row(EfficientChannelAttention),
    # 15x15: from each pixel of a digit of 8x8 it covers all others.
    "dilated, SE": Row(squeeze_excite, dilations=(1, 2, 4)),
    "digits, SE": Row(squeeze_excite, task="classes"),
    "digits, ECA": Row(EfficientChannelAttention, task="classes"),
    "detector, SE": Row(task="scenes"),
    "person, SE": Row(tested_on=CALIBRATED_ON),
    "another person, SE": Row(tested_on=("camera",)),
}

"""
## One run
"""


@dataclass(frozen=True)
class Plan:
    """What all runs of one results file have in common."""

    dataset: str = "digits"
    width: int = 16  # channels of each convolution, to label pixels
    widths: tuple = (16, 32)  # of the residual blocks, to classify
    batch_size: int = 48
    epochs: int = 15
    tuning_epochs: int = 5
    pixels_rate: float = 3e-2
    classes_rate: float = 3e-3
    images_per_class: int = 100  # at most, in training and in the test
    crops: int = 24  # of each photograph
    person_batch_size: int = 8
    person_rate: float = 1e-4
    scenes: int = 400
    scene_size: int = 96
    scenes_rate: float = 5e-3
    scenes_tuning_rate: float = 1e-3  # chosen in experiments/detection.py


def run(plan, name, seed):
    row = ROWS[name]
    if row.tested_on:
        return of_person(plan, row, seed)
    if row.task == "scenes":
        return of_detector(plan, seed)
    return of_digits(plan, row, seed)


def of_digits(plan, row, seed):
    """Accuracies for the test images."""
    images, _, *test = data(plan, row)
    model = network(plan, row, seed)
    fit(model, plan, row, seed, plan.epochs)
    results = with_and_without_gates(
        model,
        images,
        measure=lambda model: accuracy(model, *test),
        tune=lambda model: fit(model, plan, row, seed, plan.tuning_epochs),
    )
    plain = network(plan, replace(row, attention=None), seed)
    for epochs in (plan.epochs, plan.tuning_epochs):
        fit(plain, plan, row, seed, epochs)
    return {**results, "plain": accuracy(plain, *test)}


def with_and_without_gates(model, images, measure, tune):
    """What a network is worth before and after more training, and frozen."""
    frozen = freeze_attention(model, images, verbose=0)
    results = costs(model, frozen, images)
    for name, other in (("", model), ("frozen_", frozen)):
        results[f"{name}trained"] = measure(other)
        tune(other)
        results[f"{name}tuned"] = measure(other)
    return results


def data(plan, row):
    return load_task(row.task, plan.dataset, plan.images_per_class)


def network(plan, row, seed):
    """A network that differs from others of its seed in attention alone."""
    keras.utils.set_random_seed(seed)
    shape = data(plan, row)[0].shape[1:]
    if row.task == "classes":
        model, sites = classifier(shape, plan.widths, CLASSES), "residual"
    else:
        model = pixel_labeler(shape, plan.width, row.dilations, CLASSES)
        sites = [f"layer_{n}_relu" for n, _ in enumerate(row.dilations, 1)]
    if row.attention is None:
        return model
    # All weights are carried over; those of attention are drawn last.
    return insert_attention(model, lambda site: row.attention(), sites)


def fit(model, plan, row, seed, epochs):
    images, labels, _, _ = data(plan, row)
    rate = plan.classes_rate if row.task == "classes" else plan.pixels_rate
    train(model, images, labels, replace(plan, epochs=epochs), rate, seed)


def of_detector(plan, seed):
    """Mean average precisions, at an overlap of 0.5."""
    from experiments import detection  # which needs kyolo

    scenes = detection.Plan(
        plan.dataset,
        plan.scene_size,
        plan.scenes,
        plan.epochs,
        plan.scenes_rate,
        plan.tuning_epochs,
        images_per_class=plan.images_per_class,
    )
    rate = plan.scenes_tuning_rate
    model = detection.with_attention(
        detection.new_network(scenes, seed), "SE, after each block", "auto"
    )
    detection.fit(scenes, model, seed, plan.epochs, plan.scenes_rate)
    images, _ = detection.data(scenes, seed, "training")
    results = with_and_without_gates(
        model,
        detection.pixels(images),
        measure=lambda model: half(detection.precisions(scenes, model, seed)),
        tune=lambda model: detection.fit(
            scenes, model, seed, plan.tuning_epochs, rate
        ),
    )
    plain, _ = detection.tuned(scenes, "none", seed, rate, factor=1)
    return {**results, "plain": half(plain)}


def half(precisions):
    """The mean average precision at an overlap of 0.5."""
    return round(precisions[0], 6)


def of_person(plan, row, seed):
    """How far the masks of the frozen network are those of the network."""
    model = person_network()
    frozen, tuned = frozen_person_networks(plan, seed)
    # Other crops, of the same photographs or of another one.
    images = crops(plan, row.tested_on, seed + OTHER_CROPS)
    masks = predicted(model, images)
    return {
        **costs(model, frozen, images[:1]),
        "trained": 1.0,
        "frozen_trained": agreement(frozen, images, masks),
        "tuned": 1.0,
        "frozen_tuned": agreement(tuned, images, masks),
        "plain": "",
    }


# Once for both rows of a seed.
@lru_cache(maxsize=1)
def frozen_person_networks(plan, seed):
    """Before and after some training that imitates the masks of the network."""
    images = crops(plan, CALIBRATED_ON, seed)
    masks = predicted(person_network(), images)
    frozen, tuned = (
        freeze_attention(person_network(), images, verbose=0) for _ in range(2)
    )
    imitate(tuned, images, masks, plan, seed)
    return frozen, tuned


OTHER_CROPS = 1000  # added to a seed


@cache
def person_network():
    from examples.selfie_segmentation import load_network

    return fuse_attention(load_network())


def crops(plan, photographs, seed):
    from examples.selfie_segmentation import crops_and_shades, photograph

    return np.concatenate(
        [
            crops_and_shades(photograph(name), plan.crops, seed)
            for name in photographs
        ]
    )


def predicted(model, images):
    return model.predict(images, batch_size=16, verbose=0)


def agreement(model, images, masks):
    from examples.selfie_segmentation import overlap

    return round(float(overlap(masks, predicted(model, images)).mean()), 6)


def imitate(model, images, masks, plan, seed):
    """Train a model to give these masks."""
    steps = len(images) // plan.person_batch_size * plan.tuning_epochs
    rate = keras.optimizers.schedules.CosineDecay(plan.person_rate, steps)
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
    keras.utils.set_random_seed(seed)
    model.fit(
        images,
        masks,
        batch_size=plan.person_batch_size,
        epochs=plan.tuning_epochs,
        verbose=0,
    )


def costs(model, frozen, images):
    results = {}
    for name, other in (("", model), ("frozen_", frozen)):
        counted = model_costs(other)
        results |= {
            f"{name}parameters": counted.parameters,
            f"{name}macs": counted.macs,
            f"{name}milliseconds": milliseconds(other, images),
        }
    return results


def fraction_if_any(text):
    return fraction(text) if text else None


READERS = {
    "parameters": int,
    "frozen_parameters": int,
    "macs": int,
    "frozen_macs": int,
    "milliseconds": duration,  # CPU time, see `training.milliseconds`
    "frozen_milliseconds": duration,
    "trained": fraction,  # accuracies; of a detector mAP, of a person IoU
    "frozen_trained": fraction,
    "tuned": fraction,
    "frozen_tuned": fraction,
    "plain": fraction_if_any,
}

"""
## The tables and the picture
"""

COLUMNS = {
    "trained": "trained",
    "frozen_trained": "frozen",
    "tuned": "trained further",
    "frozen_tuned": "frozen, trained further",
    "plain": "without attention",
}
# Each is compared with the other.
PAIRS = (
    ("frozen_trained", "trained"),
    ("frozen_tuned", "tuned"),
    ("frozen_tuned", "plain"),
)


def percents(runs, name):
    """Of a row, a line per seed and a column per network, in percent."""
    lines = runs[runs["row"] == name].set_index("seed")
    columns = lines[list(COLUMNS)].astype(float).rename(columns=COLUMNS)
    return 100 * columns.dropna(axis="columns", how="all")


def rows_of(runs):
    return [name for name in ROWS if name in set(runs["row"])]


def measure_of(plan, row):
    """What was measured, and for how many images."""
    if row.tested_on:
        return Measure("", "IoU", plan.crops * len(row.tested_on))
    if row.task == "scenes":
        return Measure("", "mAP 0.5", None)
    return Measure("", "accuracy", len(data(plan, row)[2]))


def comparisons_of(plan, runs):
    compared = []
    for name in rows_of(runs):
        measure = measure_of(plan, ROWS[name])
        percent = percents(runs, name).add_prefix(f"{name}: ")
        for pair in PAIRS:
            pair = [f"{name}: {COLUMNS[network]}" for network in pair]
            if set(pair) <= set(percent) and len(percent) > 1:
                compared.append(compare(percent, measure, *pair))
    return compared


def table(plan, runs):
    accuracies, savings = [], []
    for name in rows_of(runs):
        percent = percents(runs, name)
        lines = runs[runs["row"] == name]
        accuracies.append(
            {"row": name, "seeds": str(len(lines))}
            | dict.fromkeys(COLUMNS.values(), "")
            | {
                column: mean_and_deviation(percent[column])
                for column in percent
            }
        )
        savings.append({"row": name} | before_and_after(lines))
    return "\n\n".join(
        [
            markdown(pd.DataFrame(accuracies)),
            markdown(pd.DataFrame(savings)),
            verdicts(comparisons_of(plan, runs)),
        ]
    )


def before_and_after(lines):
    """Costs with the gates and with constants."""
    cells = {}
    for column, heading, form in (
        ("parameters", "parameters", "{:,.0f}"),
        ("macs", "MACs", "{:,.0f}"),
        ("milliseconds", "milliseconds", "{:.2f}"),
    ):
        values = lines[column].min(), lines[f"frozen_{column}"].min()
        cells[heading] = " → ".join(form.format(value) for value in values)
    return cells


def picture(plan, runs):
    """What freezing changes, before and after more training."""
    rows = rows_of(runs)
    figure, axes = figure_for(rows, 2, sharey=True)
    pairs = [(COLUMNS[x], COLUMNS[reference]) for x, reference in PAIRS[:2]]
    draw_changes(
        figure,
        axes,
        rows,
        [(f"{x}, against {reference}", x, reference) for x, reference in pairs],
        lambda row: percents(runs, row),
        "points of accuracy, mAP 0.5 or IoU",
    )
    return figure


STUDY = Study("frozen", tuple(ROWS), READERS, run, table, picture)


def main():
    parser = parser_for(STUDY, __doc__)
    carry_out(STUDY, Plan(), parser, parser.parse_args())


if __name__ == "__main__":
    main()
