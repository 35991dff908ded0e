"""The pages show what the studies print from the files beside them."""

import re
from pathlib import Path

import pandas as pd
import pytest

from experiments import ablation, context, transfer
from experiments.statistics import Measure, comparisons, verdict

DOCS = Path(__file__).parents[2] / "docs"
STUDIES = DOCS / "studies"


def page(name):
    return (STUDIES / f"{name}.md").read_text(encoding="utf-8")


def published_runs(module, name):
    runs = pd.read_csv(STUDIES / f"{name}.csv")
    runs["row"] = pd.Categorical(runs["row"], module.ROWS, ordered=True)
    return runs


def tables(printed):
    return [part for part in printed.split("\n\n") if part.startswith("|")]


@pytest.mark.parametrize(
    ("module", "plan", "name"),
    [
        (ablation, ablation.QUICK, "ablation_digits"),
        (transfer, transfer.Plan(), "transfer_digits"),
    ],
)
def test_table_of_ten_seeds(module, plan, name):
    runs = published_runs(module, name)
    assert set(runs.groupby("row", observed=True).size()) == {10}
    assert f"\n{tables(module.table(plan, runs))[0]}\n" in page(name)
    assert "--seeds 10\n" in page(name)


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
        assert f"\n{table}\n" in page(name)
    assert len(printed[::2]) == (2 if module is context else 1)


def means(path, row):
    """The numbers before `±` in a row of a page."""
    lines = path.read_text(encoding="utf-8").splitlines()
    (line,) = [
        line for line in lines if re.match(rf"\| {re.escape(row)} +\|.*±", line)
    ]
    return [float(number) for number in re.findall(r"([\d.]+) ±", line)]


@pytest.mark.parametrize(
    ("page_of_study", "row", "percent"),
    [
        ("transfer_learning", "all layers: no attention", "49.1"),
        ("transfer_learning", "all layers: ECA", "93.1"),
        ("transfer_learning", "dilated: no attention", "90.0"),
        ("transfer_learning", "dilated: ECA", "98.2"),
        ("studies/context_fashion-mnist", "none", "43.1"),
        ("studies/context_fashion-mnist", "ECA", "66.1"),
        ("studies/context_mosaic_digits", "none", "73.4"),
        ("studies/context_mosaic_digits", "ECA", "75.9"),
        ("studies/context_mosaic_digits", "deeper", "92.2"),
        ("studies/ablation_digits", "vanilla", "98.9"),
        ("studies/ablation_digits", "SE", "99.0"),
        ("studies/ablation_digits", "ECA", "99.1"),
        ("studies/transfer_digits", "no attention", "90.4"),
        ("studies/transfer_digits", "ECA, identity start", "90.1"),
        ("studies/detection_digits", "none", "75.0"),
        ("studies/detection_digits", "SE, before the head", "75.5"),
    ],
)
def test_figures_of_the_advice_are_those_of_the_studies(
    page_of_study, row, percent
):
    measured = [
        f"{mean:.1f}" for mean in means(DOCS / f"{page_of_study}.md", row)
    ]
    assert percent in measured
    advice = (DOCS / "choosing.md").read_text(encoding="utf-8")
    assert any(
        line.startswith("|") and f" {percent} %" in line
        for line in advice.splitlines()
    )


def test_each_study_has_a_page_and_a_line():
    index = page("index")
    for path in STUDIES.glob("*.csv"):
        assert f"]({path.name})" in page(path.stem)
        assert f"]({path.stem}.md)" in index
        command = r"\n    (KERAS_BACKEND=\w+ )?python -m experiments\."
        assert re.search(command, page(path.stem))


@pytest.mark.parametrize(
    ("seeds", "beginning", "expected"),
    [
        (10, "a difference", []),
        (10, "may be chance", [("ECA", "vanilla"), ("SE-GC-16", "SE")]),
        (8, "a difference", [("ECA", "vanilla")]),
    ],
)
def test_verdicts_that_the_page_names(seeds, beginning, expected):
    runs = published_runs(ablation, "ablation_digits")
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
