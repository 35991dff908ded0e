"""The page shows what the studies print from the files beside it."""

from pathlib import Path

import pandas as pd
import pytest

from experiments import ablation, context, transfer
from experiments.statistics import comparisons, verdict

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "choosing.md").read_text(encoding="utf-8")


def published_runs(module):
    name = module.__name__.rpartition(".")[2]
    runs = pd.read_csv(DOCS / "choosing" / f"{name}_digits.csv")
    runs["row"] = pd.Categorical(runs["row"], module.ROWS, ordered=True)
    return runs


@pytest.mark.parametrize(
    ("module", "plan"),
    [(ablation, ablation.QUICK), (transfer, transfer.Plan())],
)
def test_table_of_the_page_is_the_printed_one(module, plan):
    runs = published_runs(module)
    assert set(runs.groupby("row", observed=True).size()) == {10}
    printed = module.table(plan, runs).splitlines()
    start = next(n for n, line in enumerate(printed) if line.startswith("|"))
    table = printed[start : start + 2 + len(module.ROWS)]
    assert all(line.startswith("|") for line in table)
    assert "\n".join(table) in PAGE
    assert "--seeds 10\n" in PAGE


def test_tables_of_the_context_study_are_the_printed_ones():
    runs = published_runs(context)
    assert set(runs.groupby("row", observed=True).size()) == {5}
    printed = context.table(context.Plan(), runs).split("\n\n")
    tables = [part for part in printed if part.startswith("|")]
    accuracies, _, costs = tables  # The second is that of the verdicts.
    assert f"\n{accuracies}\n" in PAGE
    assert f"\n{costs}\n" in PAGE


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
