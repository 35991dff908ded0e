"""Four devices of JAX compute what one computes: `keras.distribution`."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from distribution.training import (
    NETWORKS,
    assert_equal,
    batches,
    compiled,
    losses,
    network_named,
)

from keras_channel_attn import SqueezeExcite, insert_attention

distribution = keras.distribution


@pytest.fixture(autouse=True)
def _one_device_afterwards():
    yield
    distribution.set_distribution(None)


def data_parallel():
    return distribution.DataParallel(devices=distribution.list_devices())


def model_parallel(**patterns):
    mesh = distribution.DeviceMesh(
        (2, 2), ("batch", "model"), distribution.list_devices()
    )
    layout = distribution.LayoutMap(mesh)
    for pattern, axes in patterns.items():
        layout[pattern] = axes
    return distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


# The bottleneck is divided between devices: the first map by its outputs, the
# second by its inputs.
SHARDED = {
    ".*/reduce_kernel": (None, "model"),
    ".*/expand_kernel": ("model", None),
    ".*linear/kernel": (None, "model"),
    ".*conv_2/kernel": (None, None, None, "model"),
}
ENGINES = {
    "data_parallel": data_parallel,
    "replicated": model_parallel,
    "sharded": lambda: model_parallel(**SHARDED),
}
over_engines = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)


def test_there_are_four_devices():
    assert len(distribution.list_devices()) == 4


def trained_on_one_device(name):
    network = compiled(network_named(name))
    return network, losses(network)


@over_engines
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_one_device(name, engine):
    expected, expected_losses = trained_on_one_device(name)
    distribution.set_distribution(engine())
    network = compiled(network_named(name))
    # JAX computes the statistics of batch normalization over all devices.
    tolerance = 1e-5 if name == "seresnet18" else 1e-6
    np.testing.assert_allclose(losses(network), expected_losses, rtol=tolerance)
    assert_equal(network, expected, atol=tolerance)


def test_kernels_are_sharded():
    distribution.set_distribution(model_parallel(**SHARDED))
    layer = network_named("se").get_layer("se")
    kernels = (layer.reduce_kernel, layer.expand_kernel)
    shards = [
        kernel.value.sharding.shard_shape(tuple(kernel.shape))
        for kernel in kernels
    ]
    assert shards == [(16, 2), (2, 16)]


@over_engines
def test_gradient_accumulation(engine):
    expected = compiled(network_named("se"), accumulation=2)
    expected_losses = losses(expected)
    distribution.set_distribution(engine())
    network = compiled(network_named("se"), accumulation=2)
    np.testing.assert_allclose(losses(network), expected_losses, rtol=1e-6)
    assert_equal(network, expected)


@over_engines
def test_bfloat16(engine):
    keras.config.set_dtype_policy("mixed_bfloat16")
    expected, expected_losses = trained_on_one_device("se")
    distribution.set_distribution(engine())
    network = compiled(network_named("se"))
    # Sums of 16-bit numbers are rounded in another order.
    np.testing.assert_allclose(losses(network), expected_losses, rtol=2e-3)
    assert_equal(network, expected, atol=2e-3)


# A file that was written in the middle of training, on four devices or on one,
# with the state of the optimizer.
@over_engines
@pytest.mark.parametrize("written_on", ["one device", "four devices"])
def test_training_goes_on_from_a_file(engine, written_on, tmp_path):
    expected = compiled(network_named("inserted"))
    losses(expected)
    losses(expected)

    first, second = None, engine()
    if written_on == "four devices":
        first, second = second, first
    distribution.set_distribution(first)
    network = compiled(network_named("inserted"))
    losses(network)
    network.save(tmp_path / "model.keras")

    distribution.set_distribution(second)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    losses(loaded)
    assert_equal(loaded, expected)


@over_engines
@pytest.mark.parametrize("written_on", ["one device", "four devices"])
def test_weights_file(engine, written_on, tmp_path):
    engines = [None, engine()]
    if written_on == "four devices":
        engines.reverse()
    distribution.set_distribution(engines[0])
    network = network_named("se")
    network.save_weights(tmp_path / "se.weights.h5")
    distribution.set_distribution(engines[1])
    loaded = NETWORKS["se"]()
    loaded.load_weights(tmp_path / "se.weights.h5")
    assert_equal(loaded, network, atol=0)


@pytest.mark.parametrize("kernel", ["reduce_kernel", "expand_kernel"])
def test_error_of_a_width_that_is_not_divisible(kernel):
    pattern = f".*/{kernel}"
    engine = model_parallel(**{pattern: SHARDED[pattern]})
    distribution.set_distribution(engine)
    network = network_named("se")
    x = batches(network)[0][0]
    expected = network.predict(x, verbose=0)
    message = (
        rf"SqueezeExcite 'conv_1_squeeze_excite': `{kernel}` of shape "
        r"\(\d+, \d+\) cannot be placed.*`divisor` or `bottleneck_units`"
    )
    attention = SqueezeExcite(bottleneck_units=3)
    with pytest.raises(ValueError, match=message):
        insert_attention(network, attention, where="conv_1")
    np.testing.assert_array_equal(network.predict(x, verbose=0), expected)


def test_a_divisor_makes_the_width_divisible():
    distribution.set_distribution(model_parallel(**SHARDED))
    attention = SqueezeExcite(reduction=5, divisor=2, identity_start=True)
    network = insert_attention(network_named("se"), attention, where="conv_1")
    layer = network.get_layer("conv_1_squeeze_excite")
    assert tuple(layer.reduce_kernel.shape) == (16, 4)
    losses(compiled(network))


def test_two_processes_equal_one(tmp_path):
    expected = compiled(network_named("se"))
    losses(expected)

    with socket.socket() as server:  # A port that is free.
        server.bind(("127.0.0.1", 0))
        port = str(server.getsockname()[1])
    script = Path(__file__).with_name("jax_process.py")
    path = tmp_path / "weights.npz"
    folders = [str(script.parents[1]), os.environ.get("PYTHONPATH", "")]
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(rank), port, path],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        )
        for rank in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    with np.load(path) as trained:
        for weight in expected.weights:
            np.testing.assert_allclose(
                trained[weight.path], weight.numpy(), rtol=0, atol=1e-6
            )
