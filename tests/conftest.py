"""What all tests share: the backend, the device and a clean Keras state."""

import os

import keras
import numpy as np
import pytest
from support import programs
from support.initial_weights import zero_weights as with_zero_weights

BACKEND = keras.config.backend()


def visible_gpus():
    """How many GPUs the backend of this run sees."""
    if BACKEND == "tensorflow":
        import tensorflow

        return len(tensorflow.config.list_physical_devices("GPU"))
    if BACKEND == "torch":
        import torch

        return torch.cuda.device_count()
    if BACKEND == "jax":
        import jax

        return sum(device.platform == "gpu" for device in jax.devices())
    return 0


def pytest_configure(config):
    """Fail at once where a run was asked for a GPU and would not use one."""
    wanted = os.environ.get("TEST_DEVICE", "cpu")
    if wanted not in ("cpu", "gpu"):
        raise pytest.UsageError(f"TEST_DEVICE is {wanted!r}, not cpu or gpu")
    if wanted == "gpu" and visible_gpus() == 0:
        raise pytest.UsageError(
            f"TEST_DEVICE=gpu, but the {BACKEND} backend sees no GPU"
        )


def pytest_report_header():
    return (
        f"keras {keras.__version__}, backend {BACKEND}, "
        f"device {os.environ.get('TEST_DEVICE', 'cpu')}"
    )


def pytest_collection_modifyitems(config, items):
    """Deselect the tests that cannot run on this backend."""
    kept, deselected = [], []
    for item in items:
        only = item.get_closest_marker("backend")
        trains = item.get_closest_marker("training")
        other = only is not None and BACKEND not in only.args
        inference_only = trains and BACKEND in ("numpy", "openvino")
        (deselected if other or inference_only else kept).append(item)
    config.hook.pytest_deselected(items=deselected)
    items[:] = kept
    programs.skip_without_programs(items)
    if BACKEND == "numpy":
        # Keras finds shapes there by calling layers on uninitialized memory,
        # which may hold anything.
        ignored = "ignore:.* encountered in:RuntimeWarning"
        for item in items:
            item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report):
    """Tests without their program have a number of their own at the end."""
    if programs.is_without_program(report):
        return programs.CATEGORY, "s", "SKIPPED"
    return None


def pytest_terminal_summary(terminalreporter):
    for reason in programs.reasons(terminalreporter):
        terminalreporter.write_line(f"Some tests were {reason}")


@pytest.fixture(autouse=True)
def _fresh_keras():
    """Each test starts with Keras' default names, seed, policy and format."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    data_format = keras.config.image_data_format()
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_image_data_format(data_format)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def zero_weights():
    """All random weights start at zero."""
    with with_zero_weights():
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)
