"""Whole runs against what the network itself gives, images of all kinds."""

import re
from functools import partial
from importlib.util import find_spec

import keras
import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image
from sklearn.datasets import load_sample_image

from keras_channel_attn import models

SCRIPT = "classify_image.py"
# Among them what Matplotlib would take for a formula.
NAMES = ["red panda", "50 $ or $", "a" * 60, "tea", "cup", "é", "seven"]


@pytest.fixture
def run(run_example):
    """The script; on torch, which has nothing to compile, if it is here."""
    backend = "torch" if find_spec("torch") else keras.config.backend()
    return partial(run_example, SCRIPT, KERAS_BACKEND=backend)


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(NAMES) + "\n\n", encoding="utf-8")
    return path


def save_network(name, path):
    """A network with random weights; all seven classes are possible."""
    keras.utils.set_random_seed(0)
    network = models.from_timm(name, classes=len(NAMES))
    dense = network.get_layer("fc")
    bias = np.linspace(-1, 1, len(NAMES))
    dense.set_weights([0.1 * dense.get_weights()[0], bias])
    network.save_weights(path)
    return network


def printed(done):
    """For each photograph a dictionary of its five classes."""
    rows = re.findall(r"^ +(\d+\.\d)%  (.+)$", done.stdout, re.MULTILINE)
    assert len(rows) % 5 == 0
    return [
        {name: float(value) for value, name in rows[at : at + 5]}
        for at in range(0, len(rows), 5)
    ]


def save_images(folder):
    """Three pairs of files that look the same."""
    pixels = load_sample_image("china.jpg")
    gray = np.asarray(Image.fromarray(pixels).convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was held upright.
    transparent = np.dstack([pixels, np.full(gray.shape, 255, "uint8")])
    transparent[:, :200, 3] = 0
    white = pixels.copy()
    white[:, :200] = 255
    images = {
        "photo": Image.fromarray(pixels),
        "turned": Image.fromarray(np.rot90(pixels)),
        "gray": Image.fromarray(gray),
        "sixteen_bits": Image.fromarray(gray.astype("uint16") * 257),
        "white": Image.fromarray(white),
        "transparent": Image.fromarray(transparent),
    }
    paths = [folder / f"{name}.png" for name in images]
    for path, image in zip(paths, images.values(), strict=True):
        image.save(path, exif=exif if path.stem == "turned" else None)
    return paths


def test_photographs(run, tmp_path, labels):
    weights = tmp_path / "model.weights.h5"
    network = save_network("seresnet18", weights)
    paths = save_images(tmp_path)
    done = run(
        *(*paths, "--model", "seresnet18", "--weights", weights),
        *("--labels", labels),
    )
    assert done.returncode == 0, done.stderr
    results = printed(done)
    assert results[0::2] == results[1::2]
    assert results[0] != results[2] != results[4]

    pixels = np.asarray(Image.open(paths[0]))[np.newaxis]
    prepared = models.ImagePreprocessing()(pixels)
    (probabilities,) = network.predict(prepared, verbose=0)
    best = np.argsort(-probabilities)[:5]
    assert list(results[0]) == [NAMES[one] for one in best]
    np.testing.assert_allclose(
        list(results[0].values()), 100 * probabilities[best], atol=0.1
    )
    pictures = sorted((tmp_path / "outputs/classify_image").iterdir())
    assert [path.name for path in pictures] == [
        f"{number}_{path.stem}_attention.png"
        for number, path in enumerate(paths)
    ]
    picture = imread(pictures[0])[..., :3]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000


def test_no_attention_is_no_error(run, tmp_path, labels):
    weights = tmp_path / "model.weights.h5"
    save_network("resnet18", weights)
    path = tmp_path / "photo.png"
    Image.new("RGB", (60, 40)).save(path)
    done = run(
        *(path, "--model", "resnet18", "--weights", weights),
        *("--labels", labels),
    )
    assert done.returncode == 0, done.stderr
    assert len(printed(done)) == 1
    assert "No picture: resnet18 has no channel attention." in done.stdout


@pytest.mark.parametrize(
    ("image", "model", "weights", "message"),
    [
        ("absent.png", "seresnet18", "text.pth", "absent.png cannot be read"),
        ("text.pth", "seresnet18", "text.pth", "cannot identify image file"),
        ("photo.png", "seresnet5", "text.pth", "'seresnet50'"),
        ("photo.png", "seresnet18", "absent.pth", "absent.pth"),
        ("photo.png", "seresnet18", "text.pth", "with text.pth: "),
    ],
)
def test_errors(run, tmp_path, image, model, weights, message):
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")
    (tmp_path / "text.pth").write_text("neither an image nor weights")
    done = run(image, "--model", model, "--weights", weights)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{SCRIPT}: error: " in done.stderr
    assert message in done.stderr
