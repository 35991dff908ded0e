"""Which differences are called one. Expected values are worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from experiments.ablation import REFERENCES, ROWS
from experiments.statistics import Measure, comparisons, report, verdict

VANILLA = [0.9, 0.8, 0.7, 0.6]
SE = [0.8, 0.9, 0.6, 0.7]


def runs_of(**accuracies):
    runs = pd.DataFrame(
        [
            {"row": row, "seed": seed, "accuracy": accuracy}
            for row, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ]
    )
    runs["row"] = pd.Categorical(runs["row"], ROWS, ordered=True)
    return runs


def verdicts_of(runs, images=200):
    measure = Measure("accuracy", "accuracy", images)
    compared = comparisons(runs, [measure], REFERENCES)
    count = sum(one.seeds >= 4 for one in compared)
    return {
        (one.row, one.reference): f"{one.text}, {verdict(one, count)}"
        for one in compared
    }


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        # Differences 1, 2, 3, 2: deviation sqrt(2/3), error half of that.
        # Student's factor for three degrees of freedom is 3.18, for a third of
        # 5 % 4.86.
        ([0.91, 0.82, 0.73, 0.62], "+2.00 ± 0.41, a difference"),
        # 0, 2, 3, 2: deviation sqrt(19/12).
        ([0.9, 0.82, 0.73, 0.62], "+1.75 ± 0.63, no difference shown"),
        # 1, 3, 3, 1: deviation sqrt(4/3).
        ([0.91, 0.83, 0.73, 0.61], "+2.00 ± 0.58, may be chance"),
        # All four agree: by one image of 200 half a point, error a quarter.
        ([0.905, 0.805, 0.705, 0.605], "+0.50 ± 0.25, no difference shown"),
        ([0.91, 0.81, 0.71, 0.61], "+1.00 ± 0.25, may be chance"),
        ([0.87, 0.77, 0.67, 0.57], "-3.00 ± 0.25, a difference"),
        (VANILLA, "+0.00 ± 0.25, no difference shown"),
        # However large.
        ([0.5, 0.4, 0.3], "-40.00 ± 0.29, too few seeds for a verdict"),
        ([0.5, 0.4], "-40.00 ± 0.35, too few seeds for a verdict"),
    ],
)
def test_verdicts(accuracies, expected):
    found = verdicts_of(runs_of(vanilla=VANILLA, SE=SE, ECA=accuracies))
    assert found.keys() == {
        ("SE", "vanilla"),
        ("ECA", "vanilla"),
        ("ECA", "SE"),
    }
    assert found["ECA", "vanilla"].startswith(expected)


def test_pairs_are_of_the_same_seed():
    runs = runs_of(vanilla=VANILLA, ECA=[0.5, *VANILLA[1:]])
    assert verdicts_of(runs[1:]).keys() == {("ECA", "vanilla")}
    assert verdicts_of(runs[1:])["ECA", "vanilla"].startswith("+0.00 ± 0.29")


@pytest.mark.parametrize(
    "accuracies",
    [
        {"vanilla": [0.9], "SE": [0.8]},
        {"vanilla": [0.9, 0.8]},
        {"SE-Var1": [0.9, 0.8], "ECA": [0.9, 0.8]},
    ],
)
def test_nothing_to_compare(accuracies):
    measure = Measure("accuracy", "accuracy", 200)
    text = report(runs_of(**accuracies), {}, [measure], REFERENCES)
    assert "Nothing to compare" in text
    assert "|" not in text.partition("Nothing")[2]


def test_report():
    measure = Measure("accuracy", "accuracy", 200)
    runs = runs_of(vanilla=VANILLA, SE=[0.91, 0.82, 0.73, 0.62], ECA=[0.5, 0.4])
    runs["parameters"] = 1280
    text = report(runs, {"parameters": "weights"}, [measure], REFERENCES)
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
    ]
    # Deviation of 90, 80, 70, 60: sqrt(500/3).
    vanilla = ["vanilla", "4", "1,280", "75.00 ± 12.91", "", ""]
    assert vanilla in cells
    assert [
        "accuracy",
        "SE",
        "vanilla",
        "+2.00 ± 0.41",
        "4",
        "a difference",
    ] in (cells)
    assert "each of 1 comparisons" in text


@pytest.mark.parametrize(
    ("seeds", "mistakes"), [(4, 1), (4, 200), (5, 10), (10, 1), (10, 200)]
)
def test_chance_alone_shows_no_difference(seeds, mistakes):
    """Where all rows are alike, some difference is shown 1 time in 20."""
    rng = np.random.default_rng(0)
    images, wrong = 900, 0
    for _ in range(100):
        # What seeds have in common, and a row of its own.
        shared = rng.poisson(mistakes / 2, seeds)
        runs = runs_of(
            **{
                row: 1 - (shared + rng.poisson(mistakes / 2, seeds)) / images
                for row in ROWS
            }
        )
        found = verdicts_of(runs, images).values()
        wrong += any(text.endswith(", a difference") for text in found)
    # 5 are expected at most; more than 12 of them less than once in 500 times.
    assert wrong <= 12
