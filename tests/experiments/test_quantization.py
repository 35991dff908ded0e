"""The study of quantization: its tables, picture and command, without runs.

What it exports and runs needs the environment `export`: see
tests/export/test_int8.py.
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from experiments import quantization
from experiments.quantization import ROWS, Plan

RESULTS = {
    "parameters": 1000,
    "accuracy": 0.9,
    "LiteRT int8 accuracy": 0.8,
    "onnxruntime int8 accuracy": 0.9,
    "LiteRT float32 bytes": 700_000,
    "LiteRT int8 bytes": 200_000,
    "onnxruntime float32 bytes": 700_000,
    "onnxruntime int8 bytes": 250_000,
    "LiteRT float32 milliseconds": 0.1,
    "LiteRT int8 milliseconds": 0.04,
    "onnxruntime float32 milliseconds": 0.12,
    "onnxruntime int8 milliseconds": 0.25,
}


def runs_of(rows, seeds):
    runs = [
        {"row": row, "seed": seed, **RESULTS}
        for row in rows
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(runs)
    frame["row"] = pd.Categorical(frame["row"], list(ROWS), ordered=True)
    return frame


def test_results_are_what_is_read_from_the_file():
    assert RESULTS.keys() == quantization.READERS.keys()


@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("rows", [list(ROWS), ["ECA"]])
def test_tables(rows, seeds):
    printed = quantization.table(Plan(), runs_of(rows, seeds))
    for row in rows:
        assert printed.count(f"\n| {row} ") == 2
    assert "700 → 200" in printed
    assert "0.120 → 0.250" in printed
    compared = seeds > 1
    assert ("-10.00 ± " in printed) == compared
    assert ("no difference shown" in printed) == compared
    assert ("Nothing to compare" in printed) == (not compared)


def test_picture_shows_the_change(tmp_path):
    figure = quantization.picture(Plan(), runs_of(list(ROWS), 5))
    figure.savefig(tmp_path / "results.png")
    left, right = figure.axes
    means = [
        [container.lines[0].get_xdata()[0] for container in axis.containers]
        for axis in (left, right)
    ]
    np.testing.assert_allclose(means, [[-10] * len(ROWS), [0] * len(ROWS)])


def test_table_of_the_page_is_the_printed_one():
    docs = Path(__file__).parents[2] / "docs"
    runs = pd.read_csv(docs / "deployment" / "quantization_digits.csv")
    runs["row"] = pd.Categorical(runs["row"], list(ROWS), ordered=True)
    assert set(runs.groupby("row", observed=True).size()) == {4}
    accuracies, files, _ = quantization.table(Plan(), runs).split("\n\n", 2)
    page = (docs / "deployment.md").read_text("utf-8")
    assert accuracies in page
    assert files in page
    assert "experiments.quantization --seeds 4`" in page


def test_rows_differ_in_attention_alone():
    plain, *attended = (
        quantization.network(Plan(widths=(8, 16)), row, 0) for row in ROWS
    )
    names = {layer.name for layer in plain.layers}
    for model in attended:
        assert names < {layer.name for layer in model.layers}
        np.testing.assert_array_equal(
            plain.get_layer("head").kernel, model.get_layer("head").kernel
        )


def test_another_backend_is_refused(monkeypatch, capsys):
    assert keras.config.backend() != "tensorflow"
    monkeypatch.setattr("sys.argv", ["quantization"])
    with pytest.raises(SystemExit):
        quantization.main()
    assert "set KERAS_BACKEND" in capsys.readouterr().err
