"""Four processes of torch compute what one does: `DistributedDataParallel`."""

import keras
import numpy as np
import pytest
from distribution.torch_processes import (
    continue_with_ddp,
    spawn,
    train,
    train_with_ddp,
    train_with_fsdp,
)
from distribution.training import (
    NETWORKS,
    assert_equal,
    batches,
    chain,
    frozen_batch_norm,
    network_named,
    weights,
)

PROCESSES = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the networks that the processes trained together."""
    folder = tmp_path_factory.mktemp("ddp")
    spawn(train_with_ddp, PROCESSES, folder)
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_one_process(trained, name):
    expected = frozen_batch_norm(network_named(name))
    train(expected, batches(expected))
    network = keras.saving.load_model(trained / f"{name}.keras")
    tolerance = 1e-5 if name == "seresnet18" else 1e-6
    assert_equal(network, expected, atol=tolerance)


def test_training_goes_on_from_a_file_of_one_process(tmp_path):
    expected = network_named("inserted")
    train(expected, batches(expected))
    path = tmp_path / "model.keras"
    expected.save(path)
    train(expected, batches(expected))

    spawn(continue_with_ddp, PROCESSES, path)
    assert_equal(keras.saving.load_model(path), expected)


def test_training_goes_on_from_a_file_of_four_processes(trained):
    expected = network_named("inserted")
    train(expected, batches(expected))
    train(expected, batches(expected))

    network = keras.saving.load_model(trained / "inserted.keras")
    train(network, batches(network))
    assert_equal(network, expected)


def test_keras_does_not_see_what_fsdp_shards(tmp_path):
    """`fully_shard` replaces the parameters of the modules.

    The variables of Keras refer to the original ones, so that training gives
    other weights, without an error. The network of this test has no attention.
    """
    keras.utils.set_random_seed(0)
    expected = chain()
    train(expected, batches(expected))

    spawn(train_with_fsdp, PROCESSES, tmp_path)
    sharded = np.load(tmp_path / "sharded.npz")
    differences = [
        np.abs(value - sharded[path]).max()
        for path, value in weights(expected).items()
    ]
    assert max(differences) > 1e-3
