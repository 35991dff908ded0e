"""A training that was killed goes on from its last whole checkpoint."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from distribution.training import (
    assert_equal,
    batches,
    compiled,
    losses,
    network_named,
)

SCRIPT = Path(__file__).with_name("interrupted_training.py")


def run(*arguments):
    tests = str(SCRIPT.parents[1])
    path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def arrays(path):
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = run(folder / "backup", folder / "weights.npz")
    assert done.returncode == 0, done.stderr
    return arrays(folder / "weights.npz")


@pytest.mark.parametrize("when", ["epoch", "writing"])
def test_training_goes_on(uninterrupted, tmp_path, when):
    backup, path = tmp_path / "backup", tmp_path / "weights.npz"
    killed = run(backup, path, when)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not path.exists()
    assert (backup / "latest.weights.h5").exists()

    done = run(backup, path)
    assert done.returncode == 0, done.stderr
    resumed = arrays(path)
    assert resumed.keys() == uninterrupted.keys()
    for name, value in uninterrupted.items():
        np.testing.assert_allclose(
            resumed[name], value, rtol=0, atol=1e-6, err_msg=name
        )


# Keras does not tell Orbax where the arrays are to be placed.
@pytest.mark.filterwarnings("ignore:Sharding info not provided:UserWarning")
def test_orbax_checkpoint(tmp_path):
    network = compiled(network_named("inserted"))
    x, y = (np.concatenate(array) for array in batches(network))
    checkpoint = keras.callbacks.OrbaxCheckpoint(
        tmp_path, save_on_background=False
    )
    network.fit(
        x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[checkpoint]
    )
    loaded = keras.saving.load_model(tmp_path)
    assert_equal(loaded, network, atol=0)
    # The state of the optimizer is in the checkpoint too.
    losses(network)
    losses(loaded)
    assert_equal(loaded, network)
