"""The page shows what the studies print from the files beside it."""

from pathlib import Path

import pandas as pd
import pytest

from experiments import ablation, context, transfer
from experiments.statistics import Measure, comparisons, verdict

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "choosing.md").read_text(encoding="utf-8")


def published_runs(module, name=None):
    name = name or f"{module.__name__.rpartition('.')[2]}_digits"
    runs = pd.read_csv(DOCS / "choosing" / f"{name}.csv")
    runs["row"] = pd.Categorical(runs["row"], module.ROWS, ordered=True)
    return runs


def tables(printed):
    return [part for part in printed.split("\n\n") if part.startswith("|")]


@pytest.mark.parametrize(
    ("module", "plan"),
    [(ablation, ablation.QUICK), (transfer, transfer.Plan())],
)
def test_table_of_the_page_is_the_printed_one(module, plan):
    runs = published_runs(module)
    assert set(runs.groupby("row", observed=True).size()) == {10}
    assert f"\n{tables(module.table(plan, runs))[0]}\n" in PAGE
    assert "--seeds 10\n" in PAGE


@pytest.mark.parametrize(
    ("module", "name", "test_images"),
    [
        (ablation, "ablation_pixels_digits", 899),
        (ablation, "ablation_pixels_fashion-mnist", 1000),
        (context, "context_digits", 899),
        (context, "context_mosaic_digits", 224),
        (context, "context_fashion-mnist", 1000),
    ],
)
def test_tables_of_five_seeds(module, name, test_images, monkeypatch):
    runs = published_runs(module, name)
    assert set(runs.groupby("row", observed=True).size()) == {5}
    # Without the data, which may not be here.
    label = module.measure(context.Plan()).label
    measure = Measure("accuracy", label, test_images)
    monkeypatch.setattr(module, "measure", lambda plan: measure)
    printed = tables(module.table(None, runs))
    # The second table is that of the verdicts.
    for table in printed[::2]:
        assert f"\n{table}\n" in PAGE
    assert len(printed[::2]) == (2 if module is context else 1)


def test_numbers_of_the_main_job_are_those_of_its_page():
    transfer_page = (DOCS / "transfer_learning.md").read_text(encoding="utf-8")
    for row, percent in (
        ("all layers: ECA, attention rate x30", "92.9"),
        ("all layers: no attention", "49.0"),
        ("dilated: ECA, attention rate x30", "98.2"),
        ("dilated: no attention", "90.0"),
    ):
        line = next(
            line
            for line in transfer_page.splitlines()
            if line.startswith(f"| {row} |")
        )
        assert f" {percent} ± " in line
        assert f" {percent} % " in PAGE


@pytest.mark.parametrize(
    ("seeds", "beginning", "expected"),
    [
        (10, "a difference", []),
        (10, "may be chance", [("ECA", "vanilla"), ("SE-GC-16", "SE")]),
        (8, "a difference", [("ECA", "vanilla")]),
    ],
)
def test_verdicts_that_the_page_names(seeds, beginning, expected):
    runs = published_runs(ablation)
    measure = ablation.measure(ablation.QUICK)
    compared = comparisons(
        runs[runs["seed"] < seeds], [measure], ablation.REFERENCES
    )
    assert len(compared) == 17
    assert [
        (one.row, one.reference)
        for one in compared
        if verdict(one, 17).startswith(beginning)
    ] == expected
