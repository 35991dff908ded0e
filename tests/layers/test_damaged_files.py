"""A file that was cut or changed is an error, and changes nothing."""

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


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.999])
@pytest.mark.parametrize(
    ("suffix", "damage"),
    [(".keras", cut), (".weights.h5", cut), (".keras", overwrite)],
)
def test_load_weights(tmp_path, suffix, damage, share):
    if damage is overwrite and share == 0:
        pytest.skip("the first bytes of an archive are not needed")
    path = tmp_path / f"model{suffix}"
    model = network()
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    path.write_bytes(damage(path.read_bytes(), share))
    other = network()
    before = other.get_weights()
    # An OSError of h5py, or a BadZipFile, which is an Exception.
    with pytest.raises(Exception, match=r"zip|CRC-32|open file"):
        other.load_weights(path)
    for value, old in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.999])
def test_load_model(tmp_path, share):
    path = tmp_path / "model.keras"
    network().save(path)
    path.write_bytes(cut(path.read_bytes(), share))
    with pytest.raises(ValueError, match=r"not found|accessible|zip"):
        keras.saving.load_model(path)
