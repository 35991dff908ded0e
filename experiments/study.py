"""What a study consists of, and the command line that all studies share."""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras

from experiments.runs import ResultsFile, run_missing, settings_of
from experiments.statistics import SEEDS_FOR_A_VERDICT


@dataclasses.dataclass(frozen=True)
class Study:
    """What a module describes and `main` carries out."""

    name: str  # of its folder in outputs/, before the name of the data set
    rows: tuple  # names of what is compared
    readers: dict  # result: how it is read from text, see `ResultsFile`
    run: Callable  # plan, row, seed: dictionary of results
    table: Callable  # plan, data frame of runs: text
    picture: Callable  # plan, data frame of runs: Matplotlib figure


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


def parser_for(study, description):
    """The options of all studies; a study may add its own."""
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{study.name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder with the four IDX files of Fashion-MNIST, gzipped or not",
    )
    add(
        "--seeds",
        type=positive,
        default=5,
        help="runs of each row (default: %(default)s; a verdict needs "
        f"{SEEDS_FOR_A_VERDICT})",
    )
    add("--epochs", type=positive, help="of each run (default: the plan's)")
    add(
        "--images-per-class",
        type=positive,
        metavar="N",
        help="at most, to train and to test with (default: the plan's)",
    )
    add(
        "--rows",
        nargs="+",
        choices=study.rows,
        default=study.rows,
        metavar="ROW",
        help=f"of {'; '.join(study.rows)} (default: all)",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"folder for the results (default: outputs/{study.name}_ and the "
        "name of the data set)",
    )
    return parser


def carry_out(study, plan, parser, arguments):
    """Do the missing runs, then print the table and draw the picture."""
    if keras.config.backend() not in ("tensorflow", "torch", "jax"):
        parser.error(
            f"the {keras.config.backend()} backend of Keras cannot train: set "
            "KERAS_BACKEND to tensorflow, torch or jax"
        )
    # TensorFlow has no convolution with channels first on a CPU.
    keras.config.set_image_data_format("channels_last")
    plan = changed(plan, arguments)
    output = arguments.output or Path(
        f"outputs/{study.name}_{Path(plan.dataset).name}"
    )
    # Seed by seed: what is finished when it is stopped can be compared.
    runs = [
        (row, seed)
        for seed in range(arguments.seeds)
        for row in study.rows
        if row in arguments.rows
    ]
    try:
        settings = settings_of(plan)
        output.mkdir(parents=True, exist_ok=True)
        results_file = ResultsFile(
            output / "results.csv", study.rows, study.readers, settings
        )
        results_file.read()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    stopped = None
    try:
        run_missing(results_file, partial(study.run, plan), runs)
    except KeyboardInterrupt:
        stopped = "Stopped. The same command goes on from here."
    except OSError as error:
        sys.exit(f"{results_file.path} could not be written: {error}")
    try:
        report(study, plan, results_file, output / "results.png")
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    sys.exit(stopped)


def changed(plan, arguments):
    """The plan with what the command line says."""
    changes = {
        name: getattr(arguments, name)
        for name in ("epochs", "images_per_class")
        if getattr(arguments, name) is not None
    }
    if arguments.data_dir is not None:
        changes["dataset"] = str(arguments.data_dir.resolve())
    return dataclasses.replace(plan, **changes)


def report(study, plan, results_file, picture):
    # Read again: another process may have added runs.
    runs = results_file.frame()
    if runs.empty:
        return
    print(f"\n{study.table(plan, runs)}\n")
    study.picture(plan, runs).savefig(picture, dpi=150)
    print(f"Written: {results_file.path}\nWritten: {picture}")
