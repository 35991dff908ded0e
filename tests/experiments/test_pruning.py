"""The pruning study: what is pruned, and what each row starts from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import pruning
from experiments.pruning import Plan
from experiments.statistics import Measure

PLAN = replace(
    Plan(), widths=(8,), epochs=1, fine_tuning_epochs=1, probe_epochs=1
)
ROWS = (pruning.UNPRUNED, *(f"{name} 0.5" for name in pruning.CRITERIA))
STUDIES = Path(__file__).parents[2] / "docs" / "studies"


@pytest.fixture(scope="module")
def results():
    return {row: pruning.run(PLAN, row, 0) for row in ROWS}


def test_multiply_adds(results):
    whole = results[pruning.UNPRUNED]["macs"]
    for row in ROWS[1:]:
        assert 0.35 * whole < results[row]["macs"] <= 0.5 * whole


def test_results_are_what_is_read_from_the_file(results):
    for result in results.values():
        assert result.keys() == pruning.READERS.keys()
        for name, reader in pruning.READERS.items():
            assert reader(str(result[name])) == pytest.approx(result[name])


def test_criteria_choose_different_channels(results):
    """Accuracies before fine-tuning are of four different networks."""
    scores = [
        pruning.pruned_network(PLAN, row, 0).get_layer("stem").get_weights()[0]
        for row in ROWS[1:]
    ]
    assert len({kernel.tobytes() for kernel in scores}) == len(scores)


def test_run_does_not_depend_on_earlier_ones(results):
    """Not even with another seed in between, and trained again."""
    pruning.run(PLAN, "random 0.5", 1)
    again = pruning.run(PLAN, "attention 0.5", 0)
    times = {"milliseconds": 0}
    assert {**again, **times} == {**results["attention 0.5"], **times}


def test_table_and_picture(results):
    lines = [
        {"row": row, "seed": seed, **result}
        for row, result in results.items()
        for seed in (0, 1)
    ]
    runs = pd.DataFrame(lines)
    runs["row"] = pd.Categorical(runs["row"], pruning.ROWS, ordered=True)
    table = pruning.table(PLAN, runs)
    # Attention against three others, twice, and five against scratch.
    assert table.count("too few seeds") == 3 * 2 + 5
    axes = pruning.picture(PLAN, runs).axes
    percent = 100 * results["random 0.5"]["after"]
    (line,) = [x for x in axes[1].containers if x.get_label() == "random"]
    np.testing.assert_allclose(line[0].get_ydata()[0], percent)


@pytest.mark.parametrize(
    ("name", "test_images"), [("digits", 899), ("fashion-mnist", 3000)]
)
def test_tables_of_the_page_are_the_printed_ones(
    name, test_images, monkeypatch
):
    runs = pd.read_csv(STUDIES / f"pruning_{name}.csv")
    runs["row"] = pd.Categorical(runs["row"], pruning.ROWS, ordered=True)
    assert set(runs.groupby("row", observed=True).size()) == {5}
    page = (STUDIES / f"pruning_{name}.md").read_text(encoding="utf-8")
    # Without the data, which may not be here.
    measures = [
        Measure(column, label, test_images)
        for column, label in pruning.MEASURES.items()
    ]
    monkeypatch.setattr(pruning, "measures_of", lambda plan: measures)
    table, _, rest = pruning.table(None, runs).partition("\n\n")
    assert table in page
    for line in rest.splitlines():
        if line.endswith("| a difference |") or "a difference  " in line:
            assert line in page
