"""The code of docs/pruning.md for what follows the pruning."""

import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_channel_attn.pruning import magnitude, prune_channels

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "pruning.md"


def network():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(8, 3, data_format="channels_last")(x)
    y = layers.ReLU()(layers.BatchNormalization(axis=-1)(y))
    backbone = keras.Model(x, y)
    x = keras.Input((6, 6, 3))
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(backbone(x))))


@pytest.mark.parametrize(
    ("with_the_lines", "left"), [(False, 0.99**40), (True, 0.9**40)]
)
def test_moving_averages_after_forty_steps(rng, with_the_lines, left):
    """The share of the old ones that is left."""
    pruned = prune_channels(network(), magnitude)
    if with_the_lines:
        (lines,) = re.findall(
            r"```python\n([^`]*momentum[^`]*)```", PAGE.read_text("utf-8")
        )
        exec(lines, {"pruned": pruned, "keras": keras})
    _, convolution, norm, _ = pruned.layers[1].layers
    x = rng.normal(size=(4, 6, 6, 3)).astype("float32")
    convolved = keras.ops.convert_to_numpy(convolution(x))
    old = np.full(norm.moving_mean.shape, 100.0)
    norm.moving_mean.assign(old)
    for _ in range(40):
        pruned(x, training=True)
    moving = keras.ops.convert_to_numpy(norm.moving_mean)
    mean = convolved.mean((0, 1, 2))
    np.testing.assert_allclose((moving - mean) / (old - mean), left, rtol=1e-3)


@pytest.mark.training
def test_a_file_without_the_state_of_the_optimizer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = network()
    model.save("before.keras")
    pruned = prune_channels(model, magnitude)
    pruned.compile("adam", "mse")
    pruned.train_on_batch(np.ones((2, 6, 6, 3)), np.ones((2, 2)))
    pruned.save("trained.keras")
    (lines,) = re.findall(
        r"```python\n([^`]*small[^`]*)```", PAGE.read_text("utf-8")
    )
    exec(lines, {"pruned": pruned, "keras": keras})
    small = keras.saving.load_model("small.keras")
    x = np.ones((1, 6, 6, 3), "float32")
    np.testing.assert_array_equal(
        small.predict_on_batch(x), pruned.predict_on_batch(x)
    )
    small, trained = (
        (tmp_path / f"{name}.keras").stat().st_size
        for name in ("small", "trained")
    )
    assert small < trained
