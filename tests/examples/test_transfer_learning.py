"""A short run, the optimizer that the page shows, and errors."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_channel_attn
from keras_channel_attn import EfficientChannelAttention, insert_attention

SCRIPT = "transfer_learning.py"
PAGE = Path(__file__).parents[2] / "docs" / "transfer_learning.md"


def test_short_run(run_example, tmp_path):
    done = run_example(SCRIPT, "--seeds", 1, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r"\| ([^|]+) \| \S+ \| (\S+) \|", done.stdout))
    trained = rows["trained network"]
    for name in ("SE", "ECA"):
        assert rows[f"{name} inserted, identity start"] == trained
        assert rows[f"{name} inserted, plain start"] != trained
    assert done.stdout.count("largest difference") == 3

    folder = tmp_path / "outputs" / "transfer_learning"
    for name in ("label_maps", "learning_curves", "attention_scores"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
    loaded = keras.saving.load_model(folder / "ECA.keras")
    kinds = [type(layer) for layer in loaded.layers]
    assert kinds.count(keras_channel_attn.EfficientChannelAttention) == 3
    # Only the attention and the last layer were trained.
    other = keras.saving.load_model(folder / "none.keras")
    for layer in other.layers:
        if layer.name != "classes":
            for before, after in zip(
                layer.get_weights(),
                loaded.get_layer(layer.name).get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(before, after)


def test_attention_rate():
    """The optimizer of the page, on this backend."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = (one for one in blocks if "class AdamWithAttentionRate" in one)
    # What follows the class trains the page's own model.
    block = block[: block.index("\noptimizer")]
    namespace = {
        "keras": keras,
        "attention_layers": keras_channel_attn.attention_layers,
    }
    exec(block, namespace)
    inputs = keras.Input((4, 4, 8))
    x = keras.layers.Conv2D(8, 3, name="conv")(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    attention = EfficientChannelAttention(identity_start=True)
    model = insert_attention(model, attention, ["conv"])
    before = model.get_layer("conv").get_weights()[0]
    optimizer = namespace["AdamWithAttentionRate"](0.01, model, factor=30)
    model.compile(optimizer, "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(8, 4, 4, 8)), np.ones((8, 8)), verbose=0)
    # The first step of Adam is the learning rate times the gradient's sign.
    (kernel,) = model.layers[-2].get_weights()
    np.testing.assert_allclose(np.abs(kernel), 0.3, rtol=0.02)
    step = model.get_layer("conv").get_weights()[0] - before
    # Smaller where a gradient is near Adam's epsilon.
    assert np.median(np.abs(step)) == pytest.approx(0.01, rel=0.01)
    assert np.abs(step).max() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--seeds", 0], {}, "--seeds and --epochs must be at least 1"),
        (["--epochs", "two"], {}, "invalid int value: 'two'"),
        (["--output", "file"], {}, "--output: "),
        ([], {"KERAS_BACKEND": "numpy"}, "KERAS_BACKEND must be one of jax"),
    ],
)
def test_errors(run_example, tmp_path, arguments, environment, message):
    (tmp_path / "file").write_text("mine")
    done = run_example(SCRIPT, *arguments, **environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr
    assert (tmp_path / "file").read_text() == "mine"
