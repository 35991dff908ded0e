"""What the numbers of several seeds show, and what they do not.

A single run says nothing about a difference of a percent. Two rows are compared
seed by seed, which removes what a seed does to both of them. The mean of these
differences has a standard error, and Student's t distribution says how large a
mean chance alone reaches. Accuracies are counts of images: where a few seeds
agree to the image, that is luck, so the standard deviation of the differences
is never taken to be less than one image.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

SIGNIFICANCE = 0.05
SEEDS_FOR_A_VERDICT = 4  # Two or three agree by chance too often.


@dataclass(frozen=True)
class Measure:
    """A fraction, usually of test images, that each run has measured."""

    column: str  # of the data frame of runs
    label: str
    images: int | None  # that were tested; `None`: not a share of images

    def percent(self, runs):
        """A data frame with a line per seed and a column per row."""
        return 100 * runs.pivot(
            index="seed", columns="row", values=self.column
        ).rename_axis(columns=None)


@dataclass(frozen=True)
class Comparison:
    """A row against another, in percentage points."""

    measure: str
    row: str
    reference: str
    mean: float
    error: float  # the standard error of the mean
    seeds: int
    probability: float  # of such a mean if the rows do not differ

    @property
    def text(self):
        return f"{self.mean:+.2f} ± {self.error:.2f}"


def compare(percent, measure, row, reference):
    pairs = (percent[row] - percent[reference]).dropna()
    seeds, mean = len(pairs), pairs.mean()
    smallest = 1e-6 if measure.images is None else 100 / measure.images
    error = max(pairs.std(), smallest) / np.sqrt(seeds)
    probability = 2 * stats.t.sf(abs(mean) / error, seeds - 1)
    return Comparison(
        measure.label, row, reference, mean, error, seeds, probability
    )


def comparisons(runs, measures, references):
    """All rows against the references, where they share two or more seeds.

    A difference between two references is listed with the first of them only.
    """
    compared = []
    for measure in measures:
        percent = measure.percent(runs)
        for position, reference in enumerate(references, start=1):
            if reference in percent:
                compared += [
                    compare(percent, measure, row, reference)
                    for row in percent.columns
                    if row not in references[:position]
                ]
    return [comparison for comparison in compared if comparison.seeds > 1]


def report(runs, counts, measures, references):
    """A Markdown table of the rows, one of verdicts, and how to read it.

    Args:
        runs: Data frame, see `ResultsFile.frame`.
        counts: Dictionary from columns of whole numbers to their headings.
        measures: List of `Measure`: mean ± standard deviation, in percent.
        references: Tuple of rows. The differences from them are mean ±
            standard error, in percentage points.
    """
    compared = comparisons(runs, measures, references)
    lines = summary(runs, counts, measures, references, compared)
    return f"{lines}\n\n{verdicts(compared)}"


def summary(runs, counts, measures, references, compared):
    rows = runs.groupby("row", observed=True)
    table = pd.DataFrame({"seeds": rows.size()})
    for column, heading in counts.items():
        table[heading] = rows[column].first().map("{:,}".format)
    for measure in measures:
        percent = measure.percent(runs)
        table[measure.label] = [
            mean_and_deviation(percent[row].dropna()) for row in table.index
        ]
        for reference in references:
            texts = {
                comparison.row: comparison.text
                for comparison in compared
                if comparison.measure == measure.label
                and comparison.reference == reference
            }
            table[f"{measure.label}, against {reference}"] = [
                texts.get(row, "") for row in table.index
            ]
    return markdown(table.reset_index())


def mean_and_deviation(percent):
    if len(percent) == 1:
        return f"{percent.mean():.2f}"
    return f"{percent.mean():.2f} ± {percent.std():.2f}"


def verdicts(compared):
    if not compared:
        return (
            "Nothing to compare: a comparison needs two seeds of a row and of "
            "one of the rows it is compared with."
        )
    count = sum(
        comparison.seeds >= SEEDS_FOR_A_VERDICT for comparison in compared
    )
    table = pd.DataFrame(
        {
            "measure": comparison.measure,
            "row": comparison.row,
            "against": comparison.reference,
            "difference": comparison.text,
            "seeds": comparison.seeds,
            "verdict": verdict(comparison, count),
        }
        for comparison in compared
    )
    if not count:
        return markdown(table)
    return (
        f"{markdown(table)}\n\n"
        f"Tested alone, each of {count} comparisons has a chance of "
        f"{SIGNIFICANCE:.0%} to look significant without a difference: that is "
        f"{SIGNIFICANCE * count:.2g} of them on average. 'A difference' is "
        f"significant at {SIGNIFICANCE:.0%} for all {count} together "
        "(Bonferroni). That holds for one look, at a number of seeds chosen "
        "before."
    )


def verdict(comparison, count):
    if comparison.seeds < SEEDS_FOR_A_VERDICT:
        return "too few seeds for a verdict"
    if comparison.probability < SIGNIFICANCE / count:
        return "a difference"
    if comparison.probability < SIGNIFICANCE:
        return "may be chance: significant only if tested alone"
    return "no difference shown"


COSTS = (
    "MACs: multiply-adds for an image. Milliseconds: CPU time for a batch of "
    "16 images, the shortest of all predictions."
)


def costs(rows, decimals):
    """Columns of text from runs that are grouped by row."""
    times = rows["milliseconds"].min()
    return {
        "parameters": rows["parameters"].first().map("{:,}".format),
        "MACs": rows["macs"].first().map("{:,}".format),
        "milliseconds": times.map(f"{{:.{decimals}f}}".format),
    }


def markdown(table):
    # Text only: tabulate would read "1,280" and "0.10" as numbers.
    return table.to_markdown(index=False, disable_numparse=True)
