"""
Title: Which channel attention? The ten rows of the ECA paper's table 2
Date created: 2026/11/22
Description: Ten networks that differ in attention alone, over several seeds.

The paper, https://arxiv.org/abs/1910.03151, asks what channel attention needs:
all channels (SE), no weights at all (SE-Var1), a weight for each channel
(SE-Var2), a full matrix (SE-Var3), blocks of one (SE-GC), neighbours alone
(ECA-NS), or neighbours with one kernel for all (ECA). It trains ResNet-50 on
ImageNet with each. This script asks the same of a small residual network and
your data.

For a seed, all ten rows start from the same weights outside attention and see
the same images in the same order, so that rows can be compared seed by seed.
Each finished run is one line of `results.csv`. Stopped at any moment, by
whatever, the same command goes on with the first run that is not there; with
more `--seeds` or other `--rows` it adds those. At the end, and each time that
nothing is left to run or Ctrl-C stops it, it prints the table and what may be
concluded from it, and draws `results.png`. Two processes may share a file if
no row is among the `--rows` of both.

Fashion-MNIST is downloaded by Keras, or read from a folder with its four IDX
files; or with yours, of gray images of 28x28 in ten classes. That is work for a
GPU. `--quick` takes a smaller network and the digits that come with
scikit-learn: a few seconds for a run, on two CPU cores.

    pip install "keras-channel-attn[examples]"
    python examples/ablation.py --quick
    python examples/ablation.py
    python examples/ablation.py --data-dir DIR --seeds 4 --rows vanilla SE ECA

Set `KERAS_BACKEND` to `tensorflow`, `torch` or `jax` to choose a backend.
"""

import argparse
import contextlib
import csv
import io
import math
import os
import sys
import time
import zlib
from dataclasses import asdict, astuple, dataclass, field, fields
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

# Keras takes TensorFlow if nobody says otherwise, installed or not.
if "KERAS_BACKEND" not in os.environ and not find_spec("tensorflow"):
    os.environ["KERAS_BACKEND"] = "torch" if find_spec("torch") else "jax"
# Threads of torch that spin while they wait take the cores from each other as
# soon as another process wants one: seconds become minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure
from scipy import stats

import keras_channel_attn
from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    insert_attention,
)

from command_line import check_backend, positive
from image_data import load_data
from outputs import save_figure
from small_network import small_network

EVALUATION_BATCH_SIZE = 1000
SIGNIFICANCE = 0.05
SEEDS_FOR_A_VERDICT = 4  # Two or three agree by chance too often.

"""
## The rows
"""


@dataclass
class Row:
    """One kind of attention, and what is known of it."""

    formula: str  # its weights for C channels
    attention: object  # callable from the channels to a new layer or `None`
    published: float  # ResNet-50, ImageNet top-1 in percent: table 2


def grouped(groups_of):
    return lambda channels: LinearSqueezeExcite(groups=groups_of(channels))


def neighbours(**options):
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
    "ECA-NS": Row("3C", neighbours(shared_kernel=False), 77.35),
    "ECA": Row("3", neighbours(), 77.43),
}

"""
## One run
"""


@dataclass
class Plan:
    """What all runs of one results file have in common."""

    dataset: str
    widths: tuple  # of the residual blocks; in none do the SE-GC rows coincide
    batch_size: int
    epochs: int
    learning_rate: float = 3e-3


QUICK = Plan("digits", (32, 32, 64, 64), 32, 10)
FULL = Plan("fashion_mnist", (32, 32, 64, 64, 96, 96), 128, 20)


@dataclass
class Run:
    """A line of the results file, without the settings."""

    row: str
    seed: int
    attention_parameters: int
    parameters: int
    accuracy: float  # on the test images, after the last epoch
    epoch_seconds: float = field(compare=False)


def network(row, seed, shape, widths):
    """A network that differs from others of its seed in attention alone."""
    keras.utils.set_random_seed(seed)
    backbone = small_network(shape, widths)
    scores = layers.Dense(10, activation="softmax", name="head")
    plain = keras.Model(backbone.input, scores(backbone.output))
    # All weights are carried over; those of the attention are drawn last.
    return insert_attention(
        plain, lambda site: ROWS[row].attention(site.output.shape[-1])
    )


def train_and_test(row, seed, data, plan, clock):
    train_images, train_labels, test_images, test_labels = data
    # A smaller last batch would be compiled anew: it is left out, unless there
    # is no other.
    steps = max(1, len(train_images) // plan.batch_size)
    used = steps * plan.batch_size
    model = network(row, seed, train_images.shape[1:], plan.widths)
    # A rate that falls to zero: the last epoch is as good as any.
    rate = keras.optimizers.schedules.CosineDecay(
        plan.learning_rate, plan.epochs * steps
    )
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # The attention has drawn random numbers; the order of images is to be the
    # same for all rows.
    keras.utils.set_random_seed(seed)
    model.fit(
        train_images[:used],
        train_labels[:used],
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        verbose=0,
        callbacks=[clock],
    )
    _, accuracy = model.evaluate(
        test_images, test_labels, batch_size=EVALUATION_BATCH_SIZE, verbose=0
    )
    return Run(
        row,
        seed,
        attention_parameters(model),
        model.count_params(),
        round(accuracy, 6),
        round(clock.epoch_seconds(), 4),
    )


def attention_parameters(model):
    return sum(
        layer.count_params()
        for layer in model.layers
        if isinstance(layer, ChannelAttention)
    )


class Clock(keras.callbacks.Callback):
    """Times the epochs of a run, and says how far all runs are."""

    def __init__(self, progress, text):
        super().__init__()
        self.progress = progress
        self.text = text
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)
        self.progress.epoch(f"{self.text}, epoch {epoch + 1}")

    def epoch_seconds(self):
        # The first epoch compiles.
        return float(np.median(self.seconds[1:] or self.seconds))


class Progress:
    """Prints a line for each run that is done, with the time left.

    On a terminal also one that is overwritten after each epoch.
    """

    def __init__(self, runs, epochs_of_a_run):
        self.runs, self.epochs_of_a_run = runs, epochs_of_a_run
        self.runs_done = self.epochs_done = 0
        self.start = time.perf_counter()

    def epoch(self, text):
        self.epochs_done += 1
        if sys.stdout.isatty():
            print(f"\r{self.line(text)}", end="", flush=True)

    def run(self, text):
        self.runs_done += 1
        start = "\r" if sys.stdout.isatty() else ""
        print(f"{start}{self.line(text)}", flush=True)

    def line(self, text):
        passed = time.perf_counter() - self.start
        epochs_left = self.runs * self.epochs_of_a_run - self.epochs_done
        left = timedelta(seconds=round(passed / self.epochs_done * epochs_left))
        return f"[{self.runs_done:3}/{self.runs}] {text:<44} {left} left"


"""
## The results file

A line counts when its end is there: it is written at once, and only after the
run. What is known to decide a result stands in each line, so that no line is
taken for a run of another experiment. The machine and the version of the
backend are not in it: they may change the last digits of every step.
"""


def settings_of(plan, data):
    """What two runs have to share to be compared, as text."""
    fingerprint = 0
    for array in data:
        fingerprint = zlib.crc32(np.ascontiguousarray(array), fingerprint)
    settings = {
        **asdict(plan),
        "widths": "-".join(map(str, plan.widths)),
        "images": f"{len(data[0])}+{len(data[2])}",
        "data_crc32": f"{fingerprint:08x}",
        "backend": keras.config.backend(),
        "floatx": keras.config.floatx(),
        "keras": keras.__version__,
        "keras_channel_attn": keras_channel_attn.__version__,
    }
    return {name: str(value) for name, value in settings.items()}


def read_runs(path, settings):
    """The runs in a file, as a dictionary from `(row, seed)`.

    What was cut off is removed from the file, so that the next line starts on
    a line of its own: after all else was found to be runs of these settings.
    Nothing else in it is ever changed.

    Raises:
        ValueError: If the file holds anything else, or two results of one run.
    """
    if not path.exists():
        return {}
    content = path.read_bytes()
    header = (",".join(columns(settings)) + "\n").encode()
    if not (content.startswith(header) or header.startswith(content)):
        raise ValueError(
            f"{path} is not a results file of this script, or is one of "
            "another version. Take another --output."
        )
    end = content.rfind(b"\n") + 1
    try:
        runs = whole_lines(content[:end], settings, path)
        if end:
            check_torn_line(content[end:], settings, path)
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not end:
        path.unlink()
    elif end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)
    return runs


def whole_lines(content, settings, path):
    runs = {}
    lines = csv.DictReader(as_text(content))
    for line in lines:
        try:
            found = parsed(line)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}, line {lines.line_num}, is not a run of this "
                f"script: {','.join(map(str, line.values()))}"
            ) from error
        check_settings(line, settings, path)
        if runs.setdefault((found.row, found.seed), found) != found:
            raise ValueError(
                f"{path}, line {lines.line_num}, is a second result of "
                f"{found.row} with seed {found.seed}, other than the first. "
                "Remove one of them."
            )
    return runs


def as_text(content):
    return io.StringIO(content.decode(errors="replace"), newline="")


def check_torn_line(content, settings, path):
    # The last cell may be cut.
    cells = next(csv.reader(as_text(content)), [])[:-1]
    line = dict(zip(columns(settings), cells, strict=False))
    check_settings(line, settings, path)


def columns(settings):
    return [one.name for one in fields(Run)] + list(settings)


def parsed(line):
    if None in line or None in line.values():
        raise ValueError("more or fewer cells than columns")
    ROWS[line["row"]]  # No other row is known to the table.
    run = Run(**{one.name: one.type(line[one.name]) for one in fields(Run)})
    if not (0 <= run.accuracy <= 1 and 0 <= run.epoch_seconds < math.inf):
        raise ValueError("no accuracy, or no time")
    return run


def check_settings(line, settings, path):
    """Compare what there is of a line."""
    differences = [
        f"{name} {line[name]}, not {value}"
        for name, value in settings.items()
        if line.get(name, value) != value
    ]
    if differences:
        raise ValueError(
            f"{path} holds runs of other settings: {'; '.join(differences)}. "
            "Take the same settings, or another --output."
        )


def append_run(path, run, settings):
    """Add a line, and return when it is on the disk."""
    # Of several processes one makes the file.
    with contextlib.suppress(FileExistsError):
        write_line(path, "x", columns(settings))
    write_line(path, "a", [*astuple(run), *settings.values()])


def write_line(path, mode, cells):
    with path.open(mode, newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(cells)
        file.flush()
        os.fsync(file.fileno())


def run_missing(missing, data, plan, path, settings):
    """Each run is in the file before the next one starts."""
    progress = Progress(len(missing), plan.epochs)
    for row, seed in missing:
        text = f"seed {seed}: {row}"
        keras.utils.clear_session()
        run = train_and_test(row, seed, data, plan, Clock(progress, text))
        append_run(path, run, settings)
        progress.run(f"{text}: {run.accuracy:.2%}")


"""
## The table, and what it says

A single run says nothing about a difference of a percent. Of two rows we look
at the differences seed by seed: what a seed does to both of them is gone. The
mean of these differences has a standard error, and Student's t distribution
says how large a mean chance alone reaches. Accuracies are counts of images:
where a few seeds agree to the image, that is luck and no certainty, so the
differences are never taken to spread by less than one image.
"""


@dataclass
class Comparison:
    """A row against another, over the seeds that both have."""

    row: str
    differences: np.ndarray  # in percent points
    image: float  # what one test image makes, in percent points

    @property
    def seeds(self):
        return len(self.differences)

    @property
    def mean(self):
        return self.differences.mean()

    @property
    def standard_error(self):
        spread = self.differences.std(ddof=1)
        return max(spread, self.image) / np.sqrt(self.seeds)

    def exceeds_chance(self, significance):
        freedom = self.seeds - 1
        factor = stats.t.ppf(1 - significance / 2, freedom)
        return abs(self.mean) > factor * self.standard_error


def rows_with_runs(runs):
    """The runs of each row, in the order of the table."""
    return {
        name: found
        for name in ROWS
        if (found := [run for run in runs.values() if run.row == name])
    }


def percent(runs):
    return np.array([100 * run.accuracy for run in runs])


def table(runs):
    lines = [
        f"{'':<12}{'weights for':>12}{'weights of':>12}{'weights':>10}"
        f"{'accuracy,':>10}{'standard':>11}{'':>7}{'seconds':>10}",
        f"{'row':<12}{'C channels':>12}{'attention':>12}{'in all':>10}"
        f"{'mean, %':>10}{'deviation':>11}{'seeds':>7}{'per epoch':>10}",
    ]
    for name, found in rows_with_runs(runs).items():
        accuracies = percent(found)
        spread = f"{accuracies.std(ddof=1):.2f}" if len(found) > 1 else "-"
        seconds = np.median([run.epoch_seconds for run in found])
        lines.append(
            f"{name:<12}{ROWS[name].formula:>12}"
            f"{found[0].attention_parameters:>12,}{found[0].parameters:>10,}"
            f"{accuracies.mean():>10.2f}{spread:>11}{len(found):>7}"
            f"{seconds:>10.3g}"
        )
    return lines


def comparisons(runs, reference, test_images):
    """All rows that share two or more seeds with the reference."""
    found = rows_with_runs(runs)
    of_reference = {run.seed: run for run in found.pop(reference, [])}
    for name, those in found.items():
        pairs = [
            (run.accuracy, of_reference[run.seed].accuracy)
            for run in those
            if run.seed in of_reference
        ]
        if len(pairs) > 1:
            row, other = 100 * np.array(pairs).T
            yield Comparison(name, row - other, 100 / test_images)


def conclusions(runs, test_images):
    """What the numbers carry, and no more."""
    compared = {
        reference: list(comparisons(runs, reference, test_images))
        for reference in ("vanilla", "SE")
    }
    # SE against vanilla and vanilla against SE are one comparison.
    compared["SE"] = [one for one in compared["SE"] if one.row != "vanilla"]
    if not any(compared.values()):
        return [
            "Nothing to compare: that takes two rows and two seeds, one of the "
            "rows vanilla or SE."
        ]
    count = sum(
        one.seeds >= SEEDS_FOR_A_VERDICT
        for those in compared.values()
        for one in those
    )
    lines = []
    for reference, those in compared.items():
        if those:
            lines.append(
                f"Against {reference}, seed by seed: mean difference ± "
                "standard error, in points"
            )
        lines += [
            f"- {one.row}: {one.mean:+.2f} ± {one.standard_error:.2f}, "
            f"{verdict(one, count)}."
            for one in those
        ]
    if not count:
        return lines
    return [
        *lines,
        f"At {SIGNIFICANCE:.0%} each, chance alone makes about "
        f"{SIGNIFICANCE * count:.1f} of {count} comparisons stand out. 'A "
        f"difference' is one that stands out at {SIGNIFICANCE:.0%} of all "
        "together (Bonferroni). That holds for one look, at a number of seeds "
        "chosen before.",
    ]


def verdict(comparison, count):
    if comparison.seeds < SEEDS_FOR_A_VERDICT:
        return "too few seeds for a verdict"
    if comparison.exceeds_chance(SIGNIFICANCE / count):
        return "a difference"
    if comparison.exceeds_chance(SIGNIFICANCE):
        return "may be chance: it stands out only taken alone"
    return "within the spread: no difference shown"


"""
## The picture
"""


def color_of(name):
    family = name.partition("-")[0]
    return {"SE": "tab:orange", "ECA": "tab:blue"}.get(family, "black")


def draw(runs, dataset, path):
    """Our accuracies and the published ones, each on an axis of its own."""
    found = rows_with_runs(runs)
    # However few the rows, the labels want some height.
    size = (11, max(4, 2.2 + 0.4 * len(found)))
    figure = Figure(figsize=size, layout="constrained")
    ours, paper = figure.subplots(1, 2, sharey=True)
    for height, (name, those) in enumerate(found.items()):
        draw_ours(ours, height, percent(those), color_of(name))
        draw_published(paper, height, ROWS[name].published, color_of(name))
    if "vanilla" in found:
        draw_vanilla(ours, percent(found["vanilla"]).mean())
        draw_vanilla(paper, ROWS["vanilla"].published)
    seeds = max(map(len, found.values()))
    ours.set_title(
        f"Ours: {dataset}, small residual network, seeds: {seeds}",
        parse_math=False,
    )
    ours.set_xlabel("test accuracy, %")
    paper.set_title("Published: ImageNet, ResNet-50 (ECA paper, table 2)")
    paper.set_xlabel("top-1 accuracy, %")
    # Room for the numbers beside the last dots.
    paper.margins(x=0.16)
    ours.set_yticks(range(len(found)), found)
    ours.set_ylim(len(found) - 0.5, -0.5)
    weights = paper.secondary_yaxis("right")
    weights.set_yticks(
        range(len(found)), [ROWS[name].formula for name in found]
    )
    weights.set_ylabel("weights of one attention\nlayer for C channels")
    for axis in (ours, paper):
        axis.grid(axis="x", alpha=0.3)
        axis.tick_params(axis="y", length=0)
    figure.supxlabel(
        "Left: the mean, a bar of ± one standard deviation over the seeds, and "
        "below it each seed, darker where several agree.\nRight: the one "
        "published figure, without a spread. Dotted: vanilla. Data, network "
        "and scale differ between left and right.",
        fontsize=9,
    )
    save_figure(figure, path)


def draw_ours(axis, height, accuracies, color):
    spread = accuracies.std(ddof=1) if len(accuracies) > 1 else None
    axis.errorbar(
        accuracies.mean(), height, xerr=spread, fmt="o", color=color, capsize=4
    )
    heights = np.full(len(accuracies), height + 0.25)
    axis.plot(accuracies, heights, "o", color=color, alpha=0.35, ms=4, mew=0)


def draw_published(axis, height, accuracy, color):
    axis.plot(accuracy, height, "o", color=color, ms=7)
    axis.annotate(
        f"{accuracy:.2f}",
        (accuracy, height),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
    )


def draw_vanilla(axis, accuracy):
    axis.axvline(accuracy, color="black", lw=0.8, ls=":", zorder=0)


"""
## The command line
"""


def parse(parser):
    add = parser.add_argument
    add(
        "--data-dir",
        metavar="DIR",
        help="folder with the four IDX files of Fashion-MNIST, gzipped or not "
        "(default: Keras downloads them)",
    )
    add(
        "--seeds",
        type=positive,
        default=5,
        help="runs of each row (default: %(default)s; a verdict takes "
        f"{SEEDS_FOR_A_VERDICT})",
    )
    add(
        "--epochs",
        type=positive,
        help=f"of each run (default: {FULL.epochs}, with --quick "
        f"{QUICK.epochs})",
    )
    add(
        "--rows",
        nargs="+",
        choices=ROWS,
        default=list(ROWS),
        metavar="ROW",
        help=f"of {', '.join(ROWS)} (default: all)",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for the results (default: outputs/ablation_ and the name "
        "of the data set: digits, fashion_mnist or that of --data-dir)",
    )
    add(
        "--quick",
        action="store_true",
        help="a small network on scikit-learn's digits",
    )
    arguments = parser.parse_args()
    if arguments.quick and arguments.data_dir is not None:
        parser.error("--data-dir is for Fashion-MNIST, not for --quick")
    check_backend(parser)
    return arguments


def main():
    parser = argparse.ArgumentParser(
        description="Which channel attention? Ten rows, several seeds."
    )
    arguments = parse(parser)
    plan = QUICK if arguments.quick else FULL
    plan.epochs = arguments.epochs or plan.epochs
    # TensorFlow has no convolution with channels first on a CPU.
    keras.config.set_image_data_format("channels_last")
    try:
        data, _ = load_data(plan.dataset, arguments.data_dir)
        if arguments.data_dir is not None:
            plan.dataset = Path(arguments.data_dir).resolve().name
        output = arguments.output or Path(f"outputs/ablation_{plan.dataset}")
        output.mkdir(parents=True, exist_ok=True)
        results = output / "results.csv"
        settings = settings_of(plan, data)
        runs = read_runs(results, settings)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    # Seed by seed: what is there when it is stopped can be compared.
    wanted = [
        (row, seed)
        for seed in range(arguments.seeds)
        for row in ROWS
        if row in arguments.rows
    ]
    missing = [key for key in wanted if key not in runs]
    print(
        f"{len(wanted) - len(missing)} of {len(wanted)} runs are in {results}"
    )
    stopped = False
    try:
        run_missing(missing, data, plan, results, settings)
    except KeyboardInterrupt:
        stopped = True
    except OSError as error:
        sys.exit(f"\n{results} could not be written: {error}")
    try:
        # With those of another process.
        runs = read_runs(results, settings)
        if runs:
            report(runs, len(data[2]), plan.dataset, output)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    if stopped:
        sys.exit("\nStopped. The same command goes on from here.")


def report(runs, test_images, dataset, output):
    lines = [*table(runs), "", *conclusions(runs, test_images)]
    print("", *lines, "", sep="\n", flush=True)
    picture = output / "results.png"
    draw(runs, dataset, picture)
    print(f"Written: {output / 'results.csv'}\nWritten: {picture}")


if __name__ == "__main__":
    main()
