"""The two routes: each page is one script, whose lines run in order."""

import pathlib
import re

import keras
import numpy as np
import pytest

# Other libraries warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def run_page(name):
    """The names that the code of a page leaves behind."""
    text = (DOCS / name).read_text("utf-8")
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, name, "exec"), namespace)
    return namespace


def write_photographs(folder):
    """Noisy images of two colors, as a stand-in for two classes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, color in (("blue", (40, 80, 200)), ("red", (200, 80, 40))):
        (folder / name).mkdir(parents=True)
        for number in range(16):
            pixels = rng.normal(color, 40, size=(80, 80, 3)).clip(0, 255)
            image = Image.fromarray(pixels.astype("uint8"))
            image.save(folder / name / f"{number}.png")


@pytest.mark.backend("torch")
def test_photographs(tmp_path, monkeypatch):
    pytest.importorskip("grain")
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photographs")
    names = run_page("vision_route.md")
    assert names["classes"] == ["blue", "red"]
    assert len(names["scores"]) == 16
    assert len(names["labels"]) == 8
    before, after = (
        names["model_costs"](names[name]).macs for name in ("model", "pruned")
    )
    assert after <= 0.7 * before
    np.testing.assert_allclose(
        names["probabilities"], names["expected"], atol=1e-5
    )
    assert (tmp_path / "scores.png").stat().st_size > 1000


@pytest.mark.backend("tensorflow", "jax")
def test_signals(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("signal_route.md")
    assert names["accuracy"] > 0.9
    predict, model = names["predict"], names["model"]
    # Any length of the padding, and the file.
    for other, length in ((model, 401), (names["restored"], 200)):
        np.testing.assert_allclose(
            predict(other, length), predict(model, 200), atol=1e-5
        )
    if keras.config.backend() == "tensorflow":
        check_litert(names)


def check_litert(names):
    """The file predicts what the network does for a window of full length."""
    from ai_edge_litert.interpreter import Interpreter

    signal = np.random.default_rng(1).normal(size=(1, 200, 4))
    signal = signal.astype("float32")
    run = Interpreter("signals.tflite").get_signature_runner()
    (name,) = run.get_input_details()
    (outputs,) = run(**{name: signal}).values()
    inputs = {"signal": signal, "mask": np.ones((1, 200), bool)}
    np.testing.assert_allclose(
        outputs, names["model"].predict(inputs, verbose=0), atol=1e-5
    )
