"""Which channels can go? Attention as a criterion, against simple ones.

A small residual network is trained, and its least important channels are
removed with `prune_channels` until 75, 50 or 25 % of the multiply-adds (MACs)
are left. The criteria:

- attention: Squeeze-and-Excitation is inserted after each normalization as a
  probe, with the identity start, and trained while all else is frozen; its
  mean scores over the training images are the importance; then it is taken out;
- magnitude: the sum of the absolute weights that make a channel;
- batch norm: the scale of the normalization behind a channel;
- random: random numbers.

The study measures the accuracy before and after the same fine-tuning, and, as
https://arxiv.org/abs/1810.05270 asks, that of the same narrow network trained
from scratch, for as many epochs as the pruned one had in all. Within a seed,
all rows start from the same trained network and see the same images in the
same order.

    python -m experiments.pruning
    python -m experiments.pruning --dataset fashion_mnist
    python -m experiments.pruning --data-dir DIR --seeds 10

Fashion-MNIST is downloaded by Keras or read from a folder. Stopped at any
moment, the same command goes on with the first run that is missing. Set the
environment variable KERAS_BACKEND to tensorflow, torch or jax to choose a
backend.
"""

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers
from matplotlib.figure import Figure

from experiments.data import CLASSES
from experiments.networks import classifier
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
from keras_channel_attn import (
    SqueezeExcite,
    insert_attention,
    model_costs,
)
from keras_channel_attn.pruning import (
    attention_importance,
    batch_norm_scale,
    channel_groups,
    magnitude,
    prune_channels,
)

CRITERIA = ("attention", "magnitude", "batch norm", "random")
SHARES = (0.75, 0.5, 0.25)
UNPRUNED = "unpruned"
ROWS = (
    UNPRUNED,
    *(f"{name} {share}" for share in SHARES for name in CRITERIA),
)


@dataclass(frozen=True)
class Plan:
    """What all runs of one results file have in common."""

    dataset: str = "digits"
    widths: tuple = (16, 32)  # of the residual blocks
    batch_size: int = 64
    epochs: int = 10  # of training before pruning
    learning_rate: float = 3e-3
    fine_tuning_epochs: int = 7
    fine_tuning_rate: float = 3e-3
    probe_epochs: int = 5
    probe_rate: float = 1e-2
    images_per_class: int | None = None  # at most; `None`: all


"""
## One run
"""


def run(plan, row, seed):
    model = pruned_network(plan, row, seed)
    before = accuracy(plan, model)
    scratch = keras.models.clone_model(model)
    train(model, plan, seed, plan.fine_tuning_epochs, plan.fine_tuning_rate)
    after = accuracy(plan, model)
    epochs = plan.epochs + plan.fine_tuning_epochs
    train(scratch, plan, seed, epochs, plan.learning_rate)
    costs = model_costs(model)
    return {
        "macs": costs.macs,
        "parameters": costs.parameters,
        "before": round(before, 6),
        "after": round(after, 6),
        "scratch": round(accuracy(plan, scratch), 6),
        "milliseconds": round(1000 * latency(plan, model), 4),
    }


READERS = {
    "macs": int,
    "parameters": int,
    "before": fraction,  # accuracies
    "after": fraction,
    "scratch": fraction,
    "milliseconds": duration,  # of a batch
}


def data(plan):
    return load_task("classes", plan.dataset, plan.images_per_class)


def pruned_network(plan, row, seed):
    """A narrower copy of the trained network of a seed."""
    trained = trained_network(plan, seed)
    if row == UNPRUNED:
        copy = keras.models.clone_model(trained)
        copy.set_weights(trained.get_weights())
        return copy
    criterion, _, share = row.rpartition(" ")
    return prune_channels(
        trained, importance(plan, criterion, seed), float(share), verbose=0
    )


@lru_cache(maxsize=1)
def trained_network(plan, seed):
    """Trained once for all rows of a seed: pruning works on a copy."""
    keras.utils.set_random_seed(seed)
    shape = data(plan)[0].shape[1:]
    model = classifier(shape, plan.widths, CLASSES)
    train(model, plan, seed, plan.epochs, plan.learning_rate)
    return model


def importance(plan, criterion, seed):
    if criterion == "attention":
        return probe_scores(plan, seed)
    if criterion == "random":
        rng = np.random.default_rng(seed)
        groups = channel_groups(trained_network(plan, seed))
        return {
            group.name: rng.uniform(size=group.channels)
            for group in groups.values()
            if not group.locked
        }
    return {"magnitude": magnitude, "batch norm": batch_norm_scale}[criterion]


@lru_cache(maxsize=1)
def probe_scores(plan, seed):
    trained = trained_network(plan, seed)
    trainable = [layer.trainable for layer in trained.layers]
    keras.utils.set_random_seed(seed)
    probe = insert_attention(
        trained,
        SqueezeExcite(reduction=4, identity_start=True),
        where=lambda layer: isinstance(layer, layers.BatchNormalization),
    )
    for layer in probe.layers:
        layer.trainable = isinstance(layer, SqueezeExcite)
    train(probe, plan, seed, plan.probe_epochs, plan.probe_rate)
    assert trainable == [layer.trainable for layer in trained.layers]
    return attention_importance(probe, data(plan)[0], verbose=0)


def train(model, plan, seed, epochs, rate):
    images, labels, _, _ = data(plan)
    # An incomplete last batch would be compiled separately. It is left out,
    # unless it is the only one.
    steps = max(1, len(images) // plan.batch_size)
    used = steps * plan.batch_size
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(rate, epochs * steps)
        ),
        "sparse_categorical_crossentropy",
    )
    # All rows need the same order of images.
    keras.utils.set_random_seed(seed)
    model.fit(
        images[:used],
        labels[:used],
        batch_size=plan.batch_size,
        epochs=epochs,
        verbose=0,
    )


def accuracy(plan, model):
    _, _, images, labels = data(plan)
    probabilities = model.predict(images, batch_size=1000, verbose=0)
    return float(np.mean(probabilities.argmax(-1) == labels))


def latency(plan, model, rounds=20):
    """Median seconds for a batch."""
    images = data(plan)[0][: plan.batch_size]
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        model.predict_on_batch(images)
        seconds.append(time.perf_counter() - start)
    # The first round compiles.
    return float(np.median(seconds[1:]))


"""
## The table and the picture
"""


MEASURES = {
    "before": "before fine-tuning",
    "after": "after fine-tuning",
    "scratch": "from scratch",
}


def measures_of(plan):
    images = len(data(plan)[2])
    return [Measure(name, label, images) for name, label in MEASURES.items()]


def table(plan, runs):
    rows = runs.groupby("row", observed=True)
    lines = pd.DataFrame({"seeds": rows.size()})
    lines["MACs"] = rows["macs"].mean().map("{:,.0f}".format)
    lines["parameters"] = rows["parameters"].mean().map("{:,.0f}".format)
    lines["ms per batch"] = rows["milliseconds"].median().map("{:.2f}".format)
    for measure in measures_of(plan):
        percent = measure.percent(runs)
        lines[measure.label] = [
            mean_and_deviation(percent[row].dropna()) for row in lines.index
        ]
    compared = verdicts(comparisons_of(plan, runs))
    return f"{markdown(lines.reset_index())}\n\n{compared}"


def comparisons_of(plan, runs):
    """Attention against the others, and pruning against no pruning at all."""
    before, after, scratch = measures_of(plan)
    compared = []
    for measure in (before, after):
        percent = measure.percent(runs)
        for share in SHARES:
            for other in CRITERIA[1:]:
                pair = f"attention {share}", f"{other} {share}"
                if set(pair) <= set(percent):
                    compared.append(compare(percent, measure, *pair))
    tuned, untrained = after.percent(runs), scratch.percent(runs)
    for row in tuned:
        name = f"{row}, from scratch"
        both = pd.DataFrame({row: tuned[row], name: untrained[row]})
        compared.append(compare(both, after, row, name))
    return [comparison for comparison in compared if comparison.seeds > 1]


COLORS = dict(
    zip(CRITERIA, ("tab:orange", "tab:blue", "tab:green", "gray"), strict=True)
)


def picture(plan, runs):
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    # Before fine-tuning, the range is another one.
    axes[2].sharey(axes[1])
    for axis, measure in zip(axes, measures_of(plan), strict=True):
        percent = measure.percent(runs)
        for number, criterion in enumerate(CRITERIA):
            draw_criterion(axis, percent, criterion, 0.006 * (number - 1.5))
        axis.set_title(measure.label)
        axis.set_xlabel("MACs left, %")
        axis.set_xticks([100 * share for share in (*SHARES, 1)])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy, %")
    axes[-1].legend(loc="lower right")
    figure.suptitle(
        f"{Path(plan.dataset).name}, small residual network, "
        f"seeds: {runs['seed'].nunique()}",
        parse_math=False,
    )
    figure.supxlabel(
        "Mean ± standard deviation over the seeds. At 100 %: not pruned. The "
        "points of one share are moved apart.",
        fontsize=9,
    )
    return figure


def draw_criterion(axis, percent, criterion, shift):
    rows = {share: f"{criterion} {share}" for share in SHARES[::-1]}
    rows = {**rows, 1: UNPRUNED}
    found = {share: row for share, row in rows.items() if row in percent}
    axis.errorbar(
        [100 * (share + shift) for share in found],
        [percent[row].mean() for row in found.values()],
        yerr=[percent[row].std() for row in found.values()],
        fmt="o-",
        ms=4,
        capsize=3,
        color=COLORS[criterion],
        label=criterion,
    )


STUDY = Study("pruning", ROWS, READERS, run, table, picture)


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
