"""Four devices of TensorFlow compute what one does: `MirroredStrategy`."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from distribution.training import (
    NETWORKS,
    assert_equal,
    chain,
    compiled,
    frozen_batch_norm,
    greatest_difference,
    losses,
    network_named,
)
from support.limits import known_limit, report_change

from keras_channel_attn import SqueezeExcite

DEVICES = 4


# One for all tests: the collective operations of a second strategy would be
# taken for those of the first.
@pytest.fixture(scope="module")
def strategy():
    (cpu,) = tf.config.list_physical_devices("CPU")
    device = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [device] * DEVICES)
    names = [f"CPU:{number}" for number in range(DEVICES)]
    return tf.distribute.MirroredStrategy(names)


def trained_on_one_device(name):
    network = compiled(frozen_batch_norm(network_named(name)))
    return network, losses(network)


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_one_device(strategy, name):
    expected, expected_losses = trained_on_one_device(name)
    assert strategy.num_replicas_in_sync == DEVICES
    with strategy.scope():
        network = compiled(frozen_batch_norm(network_named(name)))
    tolerance = 1e-5 if name == "seresnet18" else 1e-6
    np.testing.assert_allclose(losses(network), expected_losses, rtol=tolerance)
    assert_equal(network, expected, atol=tolerance)


# Each device normalizes with the statistics of its part of the batch, unless
# the layer is told to synchronize them. The difference shows that the batch is
# divided.
@pytest.mark.parametrize("synchronized", [False, True])
def test_batch_normalization(strategy, synchronized):
    def network():
        keras.utils.set_random_seed(0)
        normalization = keras.layers.BatchNormalization(
            synchronized=synchronized, name="normalization"
        )
        attention = SqueezeExcite(reduction=4, name="se")
        return compiled(chain(normalization, attention))

    expected = network()
    (expected_loss,) = losses(expected)
    with strategy.scope():
        distributed = network()
    (loss,) = losses(distributed)
    if synchronized:
        assert_equal(distributed, expected, atol=1e-5)
    else:
        assert abs(loss - expected_loss) > 1e-4


def test_bfloat16(strategy):
    keras.config.set_dtype_policy("mixed_bfloat16")
    expected, expected_losses = trained_on_one_device("se")
    with strategy.scope():
        network = compiled(network_named("se"))
    np.testing.assert_allclose(losses(network), expected_losses, rtol=2e-3)
    assert_equal(network, expected, atol=2e-3)


# Keras can do so on several devices only with `run_eagerly`: see the next test.
@pytest.mark.parametrize("name", ["se", "eca", "linear"])
def test_gradient_accumulation(strategy, name):
    expected = compiled(network_named(name), accumulation=2)
    expected_losses = losses(expected)
    with strategy.scope():
        network = compiled(
            network_named(name), accumulation=2, run_eagerly=True
        )
    np.testing.assert_allclose(losses(network), expected_losses, rtol=1e-6)
    assert_equal(network, expected)


def test_keras_cannot_accumulate_gradients_in_a_compiled_step(strategy):
    """The optimizer exchanges gradients in a branch of the graph.

    TensorFlow permits no exchange there. The network of this test has no
    attention.
    """
    with strategy.scope():
        network = compiled(chain(), accumulation=2)
    then = "See gradient accumulation in docs/scaling.md."
    with known_limit("`merge_call` called while", then):
        losses(network)


@pytest.mark.parametrize(("steps", "complete"), [(2, True), (3, False)])
def test_keras_saves_the_accumulated_gradients_of_one_device(
    strategy, tmp_path, steps, complete
):
    """Those of the other devices are lost when a file is written.

    After an even number of steps no gradients are accumulated, and the file is
    complete. The network of this test has no attention.
    """

    def network(**arguments):
        keras.utils.set_random_seed(0)
        return compiled(chain(), accumulation=2, **arguments)

    expected = network()
    with strategy.scope():
        distributed = network(run_eagerly=True)
    losses(expected, steps)
    losses(distributed, steps)
    distributed.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    losses(expected, steps)
    losses(loaded, steps)
    difference = greatest_difference(loaded, expected)
    if complete:
        assert difference < 1e-6
    elif difference < 1e-3:
        report_change(
            "the file has the gradients of all devices",
            "See gradient accumulation in docs/scaling.md.",
        )


def scopes(strategy, written_on):
    """Where a file is written, and where it is read."""
    scopes = [contextlib.nullcontext(), strategy.scope()]
    return scopes if written_on == "one device" else reversed(scopes)


over_writers = pytest.mark.parametrize(
    "written_on", ["one device", "four devices"]
)


@over_writers
def test_training_goes_on_from_a_file(strategy, written_on, tmp_path):
    first, second = scopes(strategy, written_on)
    with first:
        network = compiled(network_named("inserted"))
    losses(network)
    network.save(tmp_path / "model.keras")
    with second:
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(loaded, network, atol=0)
    losses(network)
    losses(loaded)
    assert_equal(loaded, network)


@over_writers
def test_weights_file(strategy, written_on, tmp_path):
    first, second = scopes(strategy, written_on)
    with first:
        network = compiled(network_named("inserted"))
    losses(network)
    network.save_weights(tmp_path / "inserted.weights.h5")
    with second:
        loaded = network_named("inserted")
        loaded.load_weights(tmp_path / "inserted.weights.h5")
    assert_equal(loaded, network, atol=0)
