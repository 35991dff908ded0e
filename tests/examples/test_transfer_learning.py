"""A short run, and errors."""

import re

import keras
import pytest

from keras_channel_attn import attention_layers

SCRIPT = "transfer_learning.py"


def test_short_run(run_example, tmp_path):
    done = run_example(SCRIPT, "--seeds", 1, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r"\| ([^|]+) \| \S+ \| (\S+) \|", done.stdout))
    trained = rows["trained network"]
    for name in ("SE", "ECA"):
        assert rows[f"{name} inserted, identity start"] == trained
        assert rows[f"{name} inserted, plain start"] != trained
    assert done.stdout.count("largest difference") == 1

    folder = tmp_path / "outputs" / "transfer_learning"
    for name in ("label_maps", "learning_curves"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
    loaded = keras.saving.load_model(folder / "ECA.keras")
    multipliers = [x.multiplier for x in attention_layers(loaded).values()]
    assert multipliers == 3 * [32]
    # It can be trained further: the files have the optimizer.
    assert type(loaded.optimizer) is keras.optimizers.Adam
    assert loaded.optimizer.iterations == 2 * 850 // 50


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
