"""A whole run for each data set, and every refusal. The IDX files are ours."""

import gzip
import runpy
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.image import imread

import keras_channel_attn

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = "transfer_learning.py"
MECHANISMS = ("no attention", "SqueezeExcite", "EfficientChannelAttention")
FILES = [
    "EfficientChannelAttention.keras",
    "SqueezeExcite.keras",
    "attention_scores.png",
    "no_attention.keras",
]
TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"


@pytest.fixture
def run(run_example):
    return partial(run_example, SCRIPT)


def idx(array):
    """The bytes of an IDX file."""
    header = bytes([0, 0, 8, array.ndim])
    header += b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype("uint8").tobytes()


def write_fashion(folder, per_class=12, zipped=False):
    """Images of noise, brighter with each class, as the four IDX files."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), per_class)
    images = rng.integers(0, 100, (len(labels), 28, 28))
    images += 15 * labels[:, np.newaxis, np.newaxis]
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx(array)
            name = f"{part}-{kind}-ubyte"
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def check_success(done, output):
    assert done.returncode == 0, done.stderr
    rows = {
        name: line.split()
        for line in done.stdout.splitlines()
        for name in MECHANISMS
        if line.startswith(name) and ":" not in line
    }
    assert set(rows) == set(MECHANISMS)
    parameters = {
        name: int(row[len(name.split())].replace(",", ""))
        for name, row in rows.items()
    }
    # 2 C C / 8 weights for SE with 32, 64 and 64 channels; 3 taps for ECA.
    plain = parameters["no attention"]
    assert parameters["SqueezeExcite"] - plain == 256 + 1024 + 1024
    assert parameters["EfficientChannelAttention"] - plain == 9
    assert "Largest difference of a prediction: " in done.stdout
    # Nothing else: no half-written file is left.
    assert sorted(path.name for path in output.iterdir()) == FILES
    picture = imread(output / "attention_scores.png")
    assert min(picture.shape[:2]) > 500
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 50


def test_digits(run, tmp_path):
    done = run("--quick")
    check_success(done, tmp_path / "outputs" / "transfer_learning")
    assert "One seed has no spread" in done.stdout
    assert "[ 6/6]" in done.stdout
    assert "s left" in done.stdout
    folder = tmp_path / "outputs" / "transfer_learning"
    loaded = keras.saving.load_model(folder / "SqueezeExcite.keras")
    assert loaded.output_shape == (None, 5)
    attention = keras_channel_attn.SqueezeExcite
    assert sum(isinstance(layer, attention) for layer in loaded.layers) == 3


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(run, tmp_path, zipped):
    data = write_fashion(tmp_path / "data", zipped=zipped)
    output = tmp_path / "new" / "folder"
    done = run(
        *("--dataset", "fashion_mnist", "--data-dir", data),
        *("--output", output, "--quick"),
    )
    check_success(done, output)
    assert "sneaker" in done.stdout


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [
        ([0.91, 0.93], "SE: +2.0, beyond the spread: try more seeds."),
        ([0.87, 0.89], "SE: -2.0, beyond the spread: try more seeds."),
        ([0.90, 0.92], "SE: +1.0, within the spread: no difference."),
        # The larger spread of the two counts.
        ([0.85, 0.99], "SE: +2.0, within the spread: no difference."),
    ],
)
def test_conclusions(accuracies, verdict):
    script = runpy.run_path(str(EXAMPLES / SCRIPT))
    lines = script["conclusions"](
        [
            {"mechanism": "none", "accuracies": [0.89, 0.91]},
            {"mechanism": "SE", "accuracies": accuracies},
        ]
    )
    assert lines[-1] == verdict


def check_refusal(done, message, output):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{SCRIPT}: error: " in done.stderr
    assert message in done.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "--seeds: must be a whole number of at least 1"),
        (["--seeds", "two"], "Received: 'two'"),
        (["--epochs", "-1"], "--epochs: must be a whole number of at least 1"),
        (["--epochs", "1.5", "--quick"], "Received: '1.5'"),
        (["--dataset", "cifar"], "invalid choice: 'cifar'"),
        (["--data-dir", "."], "--data-dir is for --dataset fashion_mnist"),
        (
            ["--dataset", "fashion_mnist", "--data-dir", "absent"],
            "--data-dir absent is not a folder",
        ),
    ],
)
def test_wrong_arguments(run, tmp_path, arguments, message):
    output = tmp_path / "output"
    done = run(*arguments, "--output", output)
    check_refusal(done, message, output)


def shape_of(path, *shape):
    path.write_bytes(idx(np.zeros(shape, "uint8")))


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def zipped_badly(path, content):
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(content)


def relabel(path, label):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([label]))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (TEST_IMAGES, Path.unlink, f"neither {TEST_IMAGES} nor"),
        (TRAIN_IMAGES, lambda path: cut(path, 0), "starts with nothing, not"),
        (TRAIN_IMAGES, lambda path: cut(path, 10), "is truncated: 10 bytes"),
        (TRAIN_IMAGES, lambda path: cut(path, -1), "is truncated: 94095 bytes"),
        (
            TRAIN_LABELS,
            lambda path: path.write_bytes(path.read_bytes() + b"\0"),
            "is wrong: 129 bytes, but its header says shape (120,)",
        ),
        (
            TRAIN_LABELS,
            lambda path: shape_of(path, 3, 28, 28),
            "not an IDX file of bytes of rank 1: it starts with 00 00 08 03",
        ),
        (
            TRAIN_LABELS,
            lambda path: path.write_bytes(b"<!DOCTYPE html>"),
            "it starts with 3c 21 44 4f",
        ),
        (
            TRAIN_IMAGES,
            lambda path: shape_of(path, 120, 8, 8),
            "images of (8, 8), not (28, 28)",
        ),
        (
            TRAIN_LABELS,
            lambda path: shape_of(path, 60),
            "120 images, but 60 labels",
        ),
        (
            TRAIN_LABELS,
            lambda path: shape_of(path, 120),
            "0 images of class 1, but each class needs 10",
        ),
        (
            TRAIN_LABELS,
            lambda path: relabel(path, 10),
            "label 10, but 9 is the largest",
        ),
        (
            TEST_IMAGES,
            lambda path: zipped_badly(path, b"no gzip"),
            f"{TEST_IMAGES}.gz cannot be read: Not a gzipped file",
        ),
        (
            TEST_IMAGES,
            lambda path: zipped_badly(path, gzip.compress(b"x" * 99)[:-9]),
            f"{TEST_IMAGES}.gz cannot be read: Compressed file ended",
        ),
        (
            TEST_IMAGES,
            lambda path: zipped_badly(
                path, gzip.compress(b"")[:10] + b"\xff" * 20
            ),
            f"{TEST_IMAGES}.gz cannot be read: Error",
        ),
    ],
)
def test_wrong_files(run, tmp_path, name, damage, message):
    data = write_fashion(tmp_path / "data")
    damage(data / name)
    output = tmp_path / "output"
    done = run(
        *("--dataset", "fashion_mnist", "--data-dir", data),
        *("--output", output),
    )
    check_refusal(done, message, output)


def test_output_is_a_file(run, tmp_path):
    output = tmp_path / "output"
    output.write_text("mine")
    done = run("--output", output)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "output" in done.stderr
    assert output.read_text() == "mine"


def test_no_download(run, tmp_path):
    output = tmp_path / "output"
    done = run(
        *("--dataset", "fashion_mnist", "--output", output),
        KERAS_HOME=str(tmp_path / "keras"),
        # Nothing listens there.
        https_proxy="http://127.0.0.1:9",
    )
    check_refusal(done, "pass their folder as --data-dir", output)


def test_backend_that_cannot_train(run, tmp_path):
    output = tmp_path / "output"
    done = run("--output", output, KERAS_BACKEND="numpy")
    check_refusal(done, "the numpy backend of Keras cannot train", output)
