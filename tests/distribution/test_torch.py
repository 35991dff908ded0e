"""Four processes of torch compute what one does: `DistributedDataParallel`."""

import json

import keras
import numpy as np
import pytest
from distribution.torch_processes import (
    CASES,
    FILES,
    STEPS_BEFORE_FILE,
    network_with,
    read,
    spawn,
    train,
    write,
)
from distribution.training import assert_equal, batches, chain, weights
from support.limits import report_change

PROCESSES = 4
# Of losses and weights. In bfloat16 each process rounds the gradients of its
# part of the batch. That changed weights by 3e-4, while a process that trains
# on its part alone differs by 1e-1.
TOLERANCES = {"float32": 1e-6, "accumulation": 1e-6, "bfloat16": 2e-3}


def trained_before_file(file):
    network = network_with(FILES[file], "inserted")
    train(network, batches(network, STEPS_BEFORE_FILE))
    return network


def train_further(network):
    train(network, batches(network, STEPS_BEFORE_FILE))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with what the processes trained together.

    In its folders are files of one process, of four, and of four that continued
    from those of one.
    """
    folder = tmp_path_factory.mktemp("trained")
    for name in ("one", "four", "continued"):
        (folder / name).mkdir()
    for file in FILES:
        write(trained_before_file(file), folder / "one" / file)
    spawn(PROCESSES, folder)
    return folder


@pytest.mark.parametrize(("option", "name"), CASES)
def test_equals_one_process(trained, option, name):
    expected = network_with(option, name)
    expected_losses = train(expected, batches(expected))
    losses = json.loads((trained / f"{option}_{name}.json").read_text())
    network = keras.saving.load_model(trained / f"{option}_{name}.keras")
    tolerance = 1e-5 if name == "seresnet18" else TOLERANCES[option]
    np.testing.assert_allclose(losses, expected_losses, rtol=tolerance)
    assert_equal(network, expected, atol=tolerance)


over_files = pytest.mark.parametrize("file", FILES)


@over_files
def test_training_goes_on_from_a_file_of_one_process(trained, file):
    expected = trained_before_file(file)
    train_further(expected)
    assert_equal(read(trained / "continued" / file), expected)


@over_files
def test_training_goes_on_from_a_file_of_four_processes(trained, file):
    expected = trained_before_file(file)
    network = read(trained / "four" / file)
    assert_equal(network, expected)
    train_further(expected)
    train_further(network)
    assert_equal(network, expected)


def test_keras_does_not_see_what_fsdp_shards(trained):
    """`fully_shard` replaces the parameters of the modules.

    The variables of Keras refer to the original ones, so that training gives
    other weights, without an error. The network of this test has no attention.
    """
    keras.utils.set_random_seed(0)
    expected = chain()
    train(expected, batches(expected))

    sharded = np.load(trained / "sharded.npz")
    differences = [
        np.abs(value - sharded[path]).max()
        for path, value in weights(expected).items()
    ]
    if max(differences) < 1e-3:
        report_change(
            "`fully_shard` trains the variables of Keras",
            "See FSDP2 in docs/scaling.md.",
        )
