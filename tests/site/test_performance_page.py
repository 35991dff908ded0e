"""The ratios of docs/performance.md are those of the files with all times."""

import pathlib

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "performance.md").read_text("utf-8")


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def file_rows(name, heading):
    """The rows of the first table that has a heading, as dictionaries."""
    text = (DOCS / "performance" / name).read_text("utf-8")
    table = next(
        block
        for block in text.split("\n\n")
        if block.startswith("|") and heading in block.partition("\n")[0]
    )
    head, _, *rows = table.strip().splitlines()
    return [dict(zip(cells(head), cells(row), strict=True)) for row in rows]


def page_row(name):
    (line,) = [
        line for line in PAGE.splitlines() if line.startswith(f"| {name} |")
    ]
    return cells(line)[1:]


def lowest_to_highest(ratios):
    if set(ratios) == {"-"}:
        return "-"
    return f"{min(ratios, key=float)} to {max(ratios, key=float)}"


over_modes = pytest.mark.parametrize(
    ("backend", "mode"),
    [
        ("torch", "eager"),
        ("torch", "compiled"),
        ("jax", "jit"),
        ("tensorflow", "function"),
        ("tensorflow", "XLA"),
    ],
)


@over_modes
def test_ratios_of_the_layers(backend, mode):
    rows = file_rows(f"layers_{backend}.md", "SE / best peer")
    expected = [
        lowest_to_highest(
            [
                row[ratio]
                for row in rows
                if row["mode"] == mode and row["step"] == step
            ]
        )
        for ratio in ("SE / best peer", "ECA / best ECA peer")
        for step in ("forward", "training")
    ]
    assert page_row(f"{backend}, {mode}") == expected


@over_modes
def test_ratios_of_the_layers_that_attend_to_positions(backend, mode):
    """Of training steps, for inputs of a million numbers or more."""
    rows = [
        row
        for row in file_rows(f"layers_{backend}.md", "CBAM / peer")
        if (row["mode"], row["step"]) == (mode, "training")
        and row["shape"] != "32x7x7x512"
    ]
    expected = [
        lowest_to_highest([row[f"{name} / peer"] for row in rows])
        for name in ("CBAM", "scSE", "coordinate", "context")
    ]
    assert page_row(f"{backend}, {mode}, positions") == expected


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_ratios_of_the_networks(backend):
    text = (DOCS / "performance" / "networks.md").read_text("utf-8")
    measured = text[text.index(f"\n{backend}, batch") :].splitlines()
    expected = []
    for name in ("seresnet50", "ecaresnet50"):
        row = next(x for x in measured if x.startswith(f"| {name} / resnet50"))
        expected += cells(row)[1:]
    assert page_row(backend) == expected


@pytest.mark.parametrize(
    ("row", "backend", "way"),
    [
        ("OpenVINO, exported on TensorFlow", "tensorflow", "OpenVINO"),
        ("ONNX Runtime, exported on TensorFlow", "tensorflow", "ONNX Runtime"),
        ("LiteRT, exported on TensorFlow", "tensorflow", "LiteRT"),
        (
            "torch: channels_first, exported, frozen",
            "torch",
            "channels_first, exported, frozen",
        ),
        (
            "TensorFlow: `predict_on_batch`",
            "tensorflow",
            "Keras, `predict_on_batch`",
        ),
        ("JAX: `jax.jit(network)`", "jax", "`jax.jit(network)`"),
        ("torch: `predict_on_batch`", "torch", "Keras, `predict_on_batch`"),
    ],
)
def test_ratios_of_the_ways_to_predict(row, backend, way):
    (measured,) = [
        x
        for x in file_rows("prediction.md", "way")
        if (x["backend"], x["way"]) == (backend, way)
    ]
    assert page_row(row) == [measured["shortest / timm's best"]]
