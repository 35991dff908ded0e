"""The study of frozen attention: what is compared, and its tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import frozen
from experiments.frozen import Plan
from keras_channel_attn import attention_layers

PLAN = replace(
    Plan(),
    width=8,
    widths=(8, 16),
    epochs=2,
    tuning_epochs=1,
    images_per_class=20,
)
ROWS = ("pixels, SE", "digits, ECA")
STUDIES = Path(__file__).parents[2] / "docs" / "studies"


@pytest.fixture(scope="module")
def results():
    return {row: frozen.run(PLAN, row, 0) for row in ROWS}


def test_results_are_what_is_read_from_the_file(results):
    for result in results.values():
        assert result.keys() == frozen.READERS.keys()
        for name, reader in frozen.READERS.items():
            assert reader(str(result[name])) == pytest.approx(result[name])


def test_frozen_network_is_smaller(results):
    """By the weights and the multiply-adds of three SE, of 8 channels each."""
    result = results["pixels, SE"]
    assert result["parameters"] - result["frozen_parameters"] == 3 * 2 * 8 * 2
    assert result["macs"] - result["frozen_macs"] == 3 * 2 * 8 * 2


def test_run_does_not_depend_on_earlier_ones(results):
    frozen.run(PLAN, "pixels, SE", 1)
    again = frozen.run(PLAN, "pixels, SE", 0)
    times = {"milliseconds": 0, "frozen_milliseconds": 0}
    assert {**again, **times} == {**results["pixels, SE"], **times}


@pytest.mark.parametrize(
    "row", [row for row in frozen.ROWS.values() if row.attention]
)
def test_networks_differ_in_attention_alone(row):
    attended = frozen.network(PLAN, row, 0)
    plain = frozen.network(PLAN, replace(row, attention=None), 0)
    assert attention_layers(attended)
    assert not attention_layers(plain)
    for layer in plain.layers:
        pairs = zip(
            layer.get_weights(),
            attended.get_layer(layer.name).get_weights(),
            strict=True,
        )
        for weights, others in pairs:
            np.testing.assert_array_equal(weights, others)


@pytest.mark.parametrize(
    ("row", "label", "images"),
    [
        ("pixels, SE", "accuracy", 200),
        ("detector, SE", "mAP 0.5", None),
        ("person, SE", "IoU", 48),
        ("another person, SE", "IoU", 24),
    ],
)
def test_what_is_measured(row, label, images):
    measure = frozen.measure_of(PLAN, frozen.ROWS[row])
    assert (measure.label, measure.images) == (label, images)


def test_table_and_picture():
    """Also of the network that has no network without attention."""
    person = dict.fromkeys(frozen.READERS, 0.9) | {"plain": np.nan}
    digits = dict.fromkeys(frozen.READERS, 0.8) | {"frozen_trained": 0.5}
    runs = pd.DataFrame(
        {"row": row, "seed": seed, **result}
        for row, result in (("digits, SE", digits), ("person, SE", person))
        for seed in (0, 1)
    )
    accuracies, costs, verdicts = frozen.table(PLAN, runs).split("\n\n")
    line = accuracies.splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[3:8]] == [
        "80.00 ± 0.00",
        "50.00 ± 0.00",
        "80.00 ± 0.00",
        "80.00 ± 0.00",
        "80.00 ± 0.00",
    ]
    assert costs.count(" → ") == 2 * 3
    assert verdicts.count("too few seeds") == 3 + 2
    left, right = frozen.picture(PLAN, runs).axes
    (change,) = left.containers[0].lines[0].get_xdata()
    assert change == pytest.approx(-30)
    (change,) = right.containers[0].lines[0].get_xdata()
    assert change == pytest.approx(0)


def test_tables_of_the_page_are_the_printed_ones():
    runs = pd.read_csv(STUDIES / "frozen.csv")
    page = (STUDIES / "frozen.md").read_text(encoding="utf-8")
    # Digits, a detector and people have tables of their own.
    parts = [
        "people" if row.tested_on else "scenes" * (row.task == "scenes")
        for row in runs["row"].map(frozen.ROWS)
    ]
    assert set(runs.groupby("row").size()) == {5}
    for _, part in runs.groupby(parts):
        accuracies, costs, verdicts = frozen.table(Plan(), part).split(
            "\n\n", 2
        )
        assert accuracies in page
        assert costs in page
        assert verdicts.partition("\n\n")[0] in page
