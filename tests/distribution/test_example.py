"""The example trains on the engine of each backend."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BACKEND

SCRIPT = Path(__file__).parents[2] / "examples" / "distributed_training.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, "--engine", BACKEND, *arguments],
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )


def losses(devices):
    # One batch in an epoch: the order of the samples has no effect.
    done = run("--devices", devices, "--batch", "1796", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    return [
        float(value) for value in re.findall(r"loss: ([\d.]+)", done.stdout)
    ]


def test_two_devices_have_the_losses_of_one():
    one, two = losses("1"), losses("2")
    assert len(two) == 2
    assert one[1] < one[0] < 2.5
    assert two == pytest.approx(one, abs=2e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--devices", "0"], "must be at least 1"),
        (["--devices", "3"], "--batch must be a multiple of --devices"),
    ],
)
def test_errors(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
