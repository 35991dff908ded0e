"""Four devices of TensorFlow compute what one does: `MirroredStrategy`."""

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
    losses,
    network_named,
    weights,
)

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
    np.testing.assert_allclose(losses(network), expected_losses, rtol=2e-2)
    assert_equal(network, expected, atol=2e-2)


def test_file_of_four_devices_is_read_by_one(strategy, tmp_path):
    with strategy.scope():
        network = compiled(network_named("inserted"))
    losses(network)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(loaded, network, atol=0)
    losses(network)
    losses(loaded)
    assert_equal(loaded, network)


def test_file_of_one_device_is_read_by_four(strategy, tmp_path):
    network = compiled(network_named("inserted"))
    losses(network)
    network.save(tmp_path / "model.keras")
    with strategy.scope():
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(loaded, network, atol=0)
    losses(network)
    losses(loaded)
    assert_equal(loaded, network)
    assert weights(loaded)
