"""A truncated file is an error; checksums find changed bytes."""

import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite


def network():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Dense(16)(inputs)
    x = SqueezeExcite(reduction=4)(x)
    x = EfficientChannelAttention()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def cut(data, share):
    return data[: int(len(data) * share)]


def overwrite(data, share):
    """Other bytes in place of sixteen: a `.keras` has checksums."""
    start = int(len(data) * share)
    other = bytes(255 - byte for byte in data[start : start + 16])
    return data[:start] + other + data[start + 16 :]


def check_error_and_unchanged_weights(path):
    other = network()
    before = other.get_weights()
    # An OSError of h5py, or a BadZipFile, which is an Exception.
    with pytest.raises(Exception, match=r"zip|CRC-32|open file"):
        other.load_weights(path)
    for value, old in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_load_weights(tmp_path, suffix, share):
    path = tmp_path / f"model{suffix}"
    model = network()
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    path.write_bytes(cut(path.read_bytes(), share))
    check_error_and_unchanged_weights(path)


@pytest.fixture(params=[0.3, 0.6, 0.9])
def changed_file(request, tmp_path):
    path = tmp_path / "model.keras"
    network().save(path)
    path.write_bytes(overwrite(path.read_bytes(), request.param))
    return path


def test_checksums_find_changed_bytes(changed_file):
    """`python -m zipfile -t model.keras`, as docs/scaling.md advises."""
    with zipfile.ZipFile(changed_file) as archive:
        assert archive.testzip() == "model.weights.h5"


@pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="Python 3.12 checks no checksum of a file that is read in jumps",
)
def test_changed_bytes_are_an_error(changed_file):
    check_error_and_unchanged_weights(changed_file)


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.999])
def test_load_model(tmp_path, share):
    path = tmp_path / "model.keras"
    network().save(path)
    path.write_bytes(cut(path.read_bytes(), share))
    with pytest.raises(ValueError, match=r"not found|accessible|zip"):
        keras.saving.load_model(path)
