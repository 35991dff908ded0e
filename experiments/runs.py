"""Runs that can be stopped at any moment and resumed: a CSV file of results.

Each finished run is one line. It is written in one piece after the run, so a
line counts when its end is there. Every line repeats all settings that decide
a result, so that no line is taken for a run of another experiment. The machine
and the version of the backend are not among them, although they may change the
last digits of a training step. Two processes may share a file.
"""

import csv
import io
import math
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import keras
import pandas as pd
from tqdm import tqdm

import keras_channel_attn
from experiments import data


def fraction(text):
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError(f"{number} is not between 0 and 1")
    return number


def duration(text):
    """Seconds, in which two runs with the same seed may differ."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(f"{number} is not a number of seconds")
    return number


def settings_of(plan):
    """What two runs must share to be compared, as text.

    Args:
        plan: A dataclass. Its field `dataset` is what `data.load_data` takes.
    """
    settings = {
        **asdict(plan),
        # Not the path: a copy of the same images is the same data.
        "dataset": Path(plan.dataset).name,
        **data.description(plan.dataset),
        "backend": keras.config.backend(),
        "floatx": keras.config.floatx(),
        "keras": keras.__version__,
        "keras_channel_attn": keras_channel_attn.__version__,
    }
    return {
        name: "-".join(map(str, value))
        if isinstance(value, tuple)
        else str(value)
        for name, value in settings.items()
    }


class ResultsFile:
    """A CSV file with one line per finished run of one experiment.

    Args:
        path: `Path` of the file. It need not exist.
        rows: Names of the rows that the study knows, in their order.
        readers: Dictionary from the name of each result to the function that
            reads it from its cell, such as `int`, `fraction` or `duration`.
        settings: Dictionary of strings, see `settings_of`.
    """

    def __init__(self, path, rows, readers, settings):
        self.path = path
        self.rows = list(rows)
        self.readers = readers
        self.settings = settings
        self.columns = ["row", "seed", *readers, *settings]

    def read(self):
        """The finished runs, as a dictionary from `(row, seed)` to results.

        A last line that was cut off is removed from the file, after all else
        in it was found to be runs of these settings. The file is not changed
        otherwise.

        Raises:
            ValueError: If the file holds anything else, or two different
                results of one run.
        """
        content = self.path.read_bytes() if self.path.exists() else b""
        header = csv_line(self.columns).encode()
        if not (content.startswith(header) or header.startswith(content)):
            raise ValueError(
                f"{self.path} is not a results file of this study, or is one "
                "of another version. Take another --output."
            )
        whole = content[: content.rfind(b"\n") + 1]
        runs = {}
        for number, line in enumerate(lines_of(whole)[1:], start=2):
            self._add(runs, line, f"{self.path}, line {number},")
        for line in lines_of(content[len(whole) :]) if whole else []:
            # The last cell may be incomplete.
            self._check_settings(cells_of(line)[:-1])
        if not whole:
            self.path.unlink(missing_ok=True)
        elif len(whole) < len(content):
            os.truncate(self.path, len(whole))
        return runs

    def _add(self, runs, line, where):
        try:
            cells = cells_of(line)
            row, seed, results = self._parse(cells)
        except (csv.Error, ValueError) as error:
            raise ValueError(
                f"{where} is not a run of this study: {line}"
            ) from error
        self._check_settings(cells)
        first = runs.setdefault((row, seed), results)
        if any(
            first[name] != results[name]
            for name, reader in self.readers.items()
            if reader is not duration
        ):
            raise ValueError(
                f"{where} is a second result of {row} with seed {seed}, other "
                "than the first. Remove one of them."
            )

    def _parse(self, cells):
        line = dict(zip(self.columns, cells, strict=True))
        if line["row"] not in self.rows:
            raise ValueError(f"{line['row']} is not a row")
        results = {
            name: reader(line[name]) for name, reader in self.readers.items()
        }
        return line["row"], int(line["seed"]), results

    def _check_settings(self, cells):
        """Compare as many settings as these cells of a line hold."""
        line = dict(zip(self.columns, cells, strict=False))
        differences = [
            f"{name} {line[name]}, not {value}"
            for name, value in self.settings.items()
            if line.get(name, value) != value
        ]
        if differences:
            raise ValueError(
                f"{self.path} holds runs of other settings: "
                f"{'; '.join(differences)}. Take the same settings, or another "
                "--output."
            )

    def append(self, row, seed, results):
        """Add a line, and return when it is on the disk."""
        # Of several processes only one creates the file.
        with suppress(FileExistsError):
            self.write_line("x", self.columns)
        cells = {"row": row, "seed": seed, **results, **self.settings}
        self.write_line("a", [cells[name] for name in self.columns])

    def write_line(self, mode, cells):
        with self.path.open(mode, newline="", encoding="utf-8") as file:
            file.write(csv_line(cells))
            file.flush()
            os.fsync(file.fileno())

    def frame(self):
        """The finished runs as a data frame, in the order of the rows."""
        runs = [
            {"row": row, "seed": seed, **results}
            for (row, seed), results in self.read().items()
        ]
        frame = pd.DataFrame(runs, columns=["row", "seed", *self.readers])
        frame["row"] = pd.Categorical(frame["row"], self.rows, ordered=True)
        return frame.sort_values(["row", "seed"], ignore_index=True)


def csv_line(cells):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def lines_of(content):
    # Not `splitlines`, which also splits at other characters.
    return content.decode(errors="replace").removesuffix("\n").split("\n")


def cells_of(line):
    return next(csv.reader([line]), [])


def run_missing(results_file, run, runs):
    """Do the runs that are not in the file, and add each when it is finished.

    Args:
        results_file: `ResultsFile`.
        run: Callable from row and seed to a dictionary of results.
        runs: List of `(row, seed)`.
    """
    finished = results_file.read()
    missing = [key for key in runs if key not in finished]
    print(
        f"{len(runs) - len(missing)} of {len(runs)} runs are in "
        f"{results_file.path}",
        flush=True,
    )
    with tqdm(missing, unit="run", disable=not missing) as progress:
        for row, seed in progress:
            progress.set_description(f"seed {seed}: {row}")
            keras.utils.clear_session()
            results_file.append(row, seed, run(row, seed))
