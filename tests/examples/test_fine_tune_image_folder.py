"""A folder of the script's own, a folder of the user's, and errors."""

import importlib.util
import os
import re

import numpy as np
import pytest
from PIL import Image

SCRIPT = "fine_tune_image_folder.py"
needs_grain = pytest.mark.skipif(
    not importlib.util.find_spec("grain"), reason="grain reads the images"
)


@needs_grain
def test_digits(run_example, tmp_path):
    done = run_example(SCRIPT, "--epochs", 3)
    assert done.returncode == 0, done.stderr
    assert "Classes: digit 0, digit 1, digit 2," in done.stdout
    accuracies = re.findall(r"val_accuracy: (\S+)", done.stdout)
    # Ten classes: chance is 0.1.
    assert float(accuracies[-1]) > 0.5
    assert "The loaded model makes the same predictions." in done.stdout
    assert (tmp_path / "outputs/image_folder/model.keras").is_file()


@needs_grain
def test_folder(run_example, tmp_path):
    """Two classes that differ in brightness, in images of several shapes."""
    for name, value in (("dark", 20), ("light", 230)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(25):
            pixels = np.full((40, 50 + number, 3), value, "uint8")
            path = tmp_path / "images" / name / f"{number}.jpg"
            Image.fromarray(pixels).save(path)
    # On torch, which has nothing to compile, if it is here.
    backend = "torch" if importlib.util.find_spec("torch") else "jax"
    done = run_example(SCRIPT, "images", "--epochs", 1, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    assert "Classes: dark, light\n" in done.stdout
    assert re.search(r"  (dark|light): (dark|light) with ", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image-size", 8], "--image-size must be at least 32"),
        (["--epochs", 0], "--epochs at least 1"),
        (["absent"], "absent"),
    ],
)
def test_errors(run_example, arguments, message):
    done = run_example(SCRIPT, *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{SCRIPT}: error: " in done.stderr
    assert message in done.stderr


def test_without_grain(run_example, tmp_path):
    (tmp_path / "grain.py").write_text("raise ImportError('No grain')")
    done = run_example(SCRIPT, PYTHONPATH=search_path(tmp_path))
    assert done.returncode == 2, done.stderr
    assert "error: the package grain is missing: pip install grain" in (
        done.stderr
    )


def search_path(folder):
    """The folder, before those where the package may be found."""
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(
        [str(folder), *(os.path.abspath(path) for path in others if path)]
    )
