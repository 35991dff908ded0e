"""The command: stopped, resumed, refused; its table and its picture."""

import csv
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from experiments import ablation, context, transfer
from experiments.runs import ResultsFile, settings_of

ROOT = Path(__file__).parents[2]
ABLATION = {
    "attention_parameters": 12,
    "parameters": 1000,
    "accuracy": 0.9,
    "epoch_seconds": 0.5,
}
TRANSFER = {
    "parameters": 1000,
    "old_accuracy": 0.9,
    "largest_change": 0.25,
    "new_accuracy": 0.7,
    "learning_curve": " ".join(["0.5000"] * 9 + ["0.7000"]),
}
CONTEXT = {
    "parameters": 1000,
    "macs": 2000,
    "milliseconds": 0.5,
    "learning_rate": 0.01,
    "accuracy": 0.9,
}
STUDIES = [
    (ablation, ("--quick",), ABLATION),
    (ablation, ("--quick", "--task", "pixels"), ABLATION),
    (context, ("--task", "mosaic"), CONTEXT),
    (transfer, (), TRANSFER),
]


def results_file(path, plan=ablation.QUICK):
    return ResultsFile(path, ablation.ROWS, ablation.READERS, settings_of(plan))


def check_picture(path):
    picture = imread(path)
    assert min(picture.shape[:2]) > 400
    colors = np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)
    assert len(colors) > 50


@pytest.fixture
def command(monkeypatch, tmp_path):
    """The command in this process, with runs that take no time."""

    def execute(module, *arguments, run):
        quick = replace(module.STUDY, run=run)
        monkeypatch.setattr(module, "STUDY", quick)
        monkeypatch.setattr(
            "sys.argv",
            ["study", "--output", str(tmp_path / "results"), *arguments],
        )
        with pytest.raises(SystemExit) as end:
            module.main()
        return end.value.code

    return execute


@pytest.mark.parametrize(("module", "arguments", "results"), STUDIES)
@pytest.mark.parametrize("rows", [1, 2])
def test_table_and_picture(
    command, tmp_path, capsys, module, arguments, results, rows
):
    # A warning is an error: of constrained layout, too small a figure.
    names = list(module.ROWS)[:rows]
    arguments = (*arguments, "--rows", *names)
    code = command(module, *arguments, run=lambda plan, row, seed: results)
    assert code is None
    printed = capsys.readouterr().out
    for name in names:
        assert f"\n| {name} " in printed
    assert "90.00 ± 0.00" in printed
    assert ("no difference shown" in printed) == (rows == 2)
    folder = tmp_path / "results"
    check_picture(folder / "results.png")
    assert {path.name for path in folder.iterdir()} == {
        "results.csv",
        "results.png",
    }


@pytest.mark.skipif(
    find_spec("tensorflow") is not None,
    reason="TensorFlow is installed, which Keras takes by default",
)
def test_without_a_backend_in_the_environment():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("KERAS_BACKEND", None)
    done = subprocess.run(
        [sys.executable, "-m", "experiments.rates", "--help"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


def test_interrupted(command, tmp_path, capsys):
    def run(plan, row, seed):
        if seed == 1:
            raise KeyboardInterrupt
        return ABLATION

    rows = ("--rows", "vanilla", "ECA")
    assert command(ablation, "--quick", *rows, run=run).startswith("Stopped")
    printed = capsys.readouterr().out
    assert "\n| vanilla " in printed
    assert "\n| ECA " in printed
    check_picture(tmp_path / "results" / "results.png")


def test_interrupted_before_the_first_run(command, tmp_path):
    def run(plan, row, seed):
        raise KeyboardInterrupt

    assert command(ablation, "--quick", run=run).startswith("Stopped")
    assert not list((tmp_path / "results").iterdir())


def test_disk_full(command, monkeypatch):
    def write_line(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ResultsFile, "write_line", write_line)
    message = command(ablation, "--quick", run=lambda *arguments: ABLATION)
    assert "results.csv could not be written: " in message
    assert message.endswith("No space left on device")
    assert "\n" not in message


def test_runs_of_another_process_are_in_the_table(command, tmp_path, capsys):
    def run(plan, row, seed):
        path = tmp_path / "results" / "results.csv"
        results_file(path).append("SE", seed, ABLATION)
        return ABLATION

    command(ablation, "--quick", "--rows", "ECA", run=run)
    assert "\n| SE " in capsys.readouterr().out


def test_own_data_has_the_name_of_its_folder(tmp_path, monkeypatch):
    digits = ablation.data(ablation.QUICK)
    monkeypatch.setattr(ablation, "data", lambda plan: digits)
    plan = replace(ablation.FULL, dataset="data/of_$ours$")
    file = results_file(tmp_path / "results.csv", ablation.QUICK)
    file.append("ECA", 0, ABLATION)
    title = ablation.picture(plan, file.frame()).axes[0].get_title()
    assert title.startswith("Ours: of_$ours$, classes, ")


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (ablation, ["--rows", "CBAM"], "invalid choice: 'CBAM'"),
        (ablation, ["--seeds", "0"], "--seeds: must be a whole number of at"),
        (ablation, ["--epochs", "few"], "Received: 'few'"),
        (context, ["--images-per-class", "0"], "must be a whole number of at"),
        (context, ["--task", "classes"], "invalid choice: 'classes'"),
        (ablation, ["--quick", "--data-dir", "."], "not for --quick"),
        (ablation, ["--data-dir", "absent"], "absent is not a folder"),
        (transfer, ["--dataset", "cifar"], "invalid choice: 'cifar'"),
        (transfer, ["--output", __file__], "File exists"),
    ],
)
def test_wrong_arguments(command, tmp_path, capsys, module, arguments, message):
    assert command(module, *arguments, run=None) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_backend_that_cannot_train(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("keras.config.backend", lambda: "numpy")
    assert command(transfer, run=None) == 2
    message = "the numpy backend of Keras cannot train"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_file_of_other_settings(command, tmp_path, capsys):
    path = tmp_path / "results" / "results.csv"
    path.parent.mkdir()
    results_file(path).append("ECA", 0, ABLATION)
    content = path.read_bytes()
    assert command(ablation, "--quick", "--epochs", "3", run=None) == 2
    message = "holds runs of other settings: epochs 10, not 3. Take"
    assert message in capsys.readouterr().err
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("module", [ablation, context, transfer])
def test_help(command, capsys, monkeypatch, module):
    monkeypatch.setenv("COLUMNS", "500")
    assert command(module, "--help", run=None) == 0
    printed = capsys.readouterr().out
    assert "; ".join(module.ROWS) in printed
    assert "(default: 5;" in printed


"""
## Killed
"""

ROWS = ("vanilla", "SE-GC-16")


def start(output, seeds):
    """The command as its readers run it, with runs of seconds."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "experiments.ablation", "--quick"),
            *("--epochs", "2", "--rows", *ROWS),
            *("--seeds", str(seeds), "--output", str(output)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
    )


def kill_after_a_run(process, path, limit=300):
    end = time.monotonic() + limit
    try:
        while not path.exists() or path.read_bytes().count(b"\n") < 2:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()


def test_killed_and_resumed(tmp_path):
    """Some runs are there, and half a line, when it is resumed."""
    path = tmp_path / "results.csv"
    # So many that it cannot be done when it is killed.
    kill_after_a_run(start(tmp_path, 1000), path)
    content = path.read_bytes()
    before = content[: content.rindex(b"\n") + 1]
    path.write_bytes(before + b"SE-GC-16,0,640,171434,0.9")

    finished = before.count(b"\n") - 1
    seeds = finished // 2 + 1
    process = start(tmp_path, seeds)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert f"{finished} of {2 * seeds} runs are in" in printed
    assert path.read_bytes().startswith(before)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["row"], line["seed"]) for line in lines] == [
        (row, str(seed)) for seed in range(seeds) for row in ROWS
    ]
    for line in lines:
        # One class of ten is one tenth.
        assert 0.5 < float(line["accuracy"]) <= 1
        assert float(line["epoch_seconds"]) > 0
    check_picture(tmp_path / "results.png")
