"""The examples of a network that finds people, run as readers run them."""

import re
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from support.scripts import run_script

from examples import selfie_segmentation

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module", autouse=True)
def _network_file():
    try:
        selfie_segmentation.network_file()
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture
def run(tmp_path):
    return partial(
        run_script, folder=tmp_path, KERAS_BACKEND=keras.config.backend()
    )


def test_segment_a_person(run, tmp_path):
    """It prints the figures at the top of docs/analysis.md, and a report."""
    done = run("segment_a_person.py")
    assert done.returncode == 0, done.stderr
    overlaps = dict(
        re.findall(r"^(.+): IoU .* ([\d.]+)$", done.stdout, re.MULTILINE)
    )
    assert list(overlaps) == [
        "with SE",
        "SE removed",
        "gates 1/2",
        "gates constant",
    ]
    same, *others = map(float, overlaps.values())
    assert same == 1
    page = (DOCS / "analysis.md").read_text("utf-8").partition("\n## ")[0]
    figures = [float(figure) for figure in re.findall(r" 0\.\d{3} ", page)]
    # Versions of Pillow decode the photograph differently.
    np.testing.assert_allclose(others, figures, atol=0.005)
    # A row for each layer, and one for all.
    assert len(re.findall(r"^(?:multiply\S*|all) ", done.stdout, re.M)) == 7
    picture = tmp_path / "outputs" / "segment_a_person" / "person.webp"
    assert picture.stat().st_size < 200_000
    with Image.open(picture) as image:
        assert image.width == 1280
        colors = np.unique(np.asarray(image).reshape(-1, 3), axis=0)
    assert len(colors) > 10_000


@pytest.mark.parametrize(
    "script", ["segment_a_person.py", "deploy_segmentation.py"]
)
def test_image_that_cannot_be_read(run, tmp_path, script):
    done = run(script, "--image", "absent.jpg", KERAS_BACKEND="tensorflow")
    assert done.returncode == 2, done.stderr
    assert "absent.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.backend("tensorflow")
def test_deploy_segmentation(run, tmp_path):
    done = run("deploy_segmentation.py", "--crops", 4)
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r"^\| (.+) \| `(.+)` \| (.+) \| (.+) \| (.+) \|$",
        done.stdout,
        re.MULTILINE,
    )
    files = ["float32.tflite", "int8.tflite", "network.onnx", "network.xml"]
    assert [(network, file) for network, file, *_ in rows] == [
        (network, file)
        for network in ("with SE", "gates constant")
        for file in files
    ]
    sizes = {(network, file): float(size) for network, file, size, *_ in rows}
    for file in files:
        assert sizes["gates constant", file] < sizes["with SE", file]
    for network, file, _, milliseconds, agreement in rows:
        assert float(milliseconds) > 0
        exact = network == "with SE" and file != "int8.tflite"
        assert float(agreement) > (0.999 if exact else 0.8)


@pytest.mark.backend("torch", "jax")
def test_files_need_tensorflow(run):
    done = run("deploy_segmentation.py")
    assert done.returncode == 2
    assert "set KERAS_BACKEND" in done.stderr
