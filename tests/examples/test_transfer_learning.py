"""Whole runs, and every refusal. The IDX files are ours."""

import gzip
import re
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.image import imread

import keras_channel_attn

SCRIPT = "transfer_learning.py"
VARIANTS = (
    "no attention",
    "SE, plain start",
    "SE, identity start",
    "ECA, plain start",
    "ECA, identity start",
)
PICTURES = ["attention_scores.png", "learning_curves.png"]
FILES = sorted(
    [
        *(f"{re.sub('[ ,]+', '_', name)}.keras" for name in VARIANTS),
        *PICTURES,
    ]
)
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


def rows_of(done):
    """The table: parameters, accuracy before and after, by variant."""
    rows = {}
    for line in done.stdout.splitlines():
        for name in VARIANTS:
            if line.startswith(f"{name} "):
                parameters, before, after = line.removeprefix(name).split()
                rows[name] = (
                    int(parameters.replace(",", "")),
                    float(before),
                    float(after),
                )
    assert set(rows) == set(VARIANTS)
    return rows


def check_success(done, output):
    assert done.returncode == 0, done.stderr
    rows = rows_of(done)
    plain = rows["no attention"]
    for mechanism in ("SE", "ECA"):
        row = rows[f"{mechanism}, identity start"]
        assert row[1] == plain[1]
        assert rows[f"{mechanism}, plain start"][0] == row[0]
        assert (
            f"- {mechanism}, identity start: +0.0 points, largest change of a "
            "probability 0." in done.stdout
        )
    assert "Largest difference of a prediction: " in done.stdout
    # Nothing else: no half-written file is left.
    assert sorted(path.name for path in output.iterdir()) == FILES
    for name in PICTURES:
        picture = imread(output / name)
        assert min(picture.shape[:2]) > 500
        colors = np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)
        assert len(colors) > 50
    return rows


def test_digits(run, tmp_path):
    done = run("--quick")
    folder = tmp_path / "outputs" / "transfer_learning"
    rows = check_success(done, folder)
    plain = rows["no attention"][0]
    # 2 C C / 8 weights for SE, in two blocks of 32 channels and two of 64.
    assert rows["SE, plain start"][0] - plain == 2 * (256 + 1024)
    assert rows["ECA, plain start"][0] - plain == 4 * 3
    assert "One seed has no spread" in done.stdout
    assert "block_1_2_norm, block_2_2_norm, block_3_2_norm" in done.stdout
    assert "[ 6/6]" in done.stdout
    assert "s left" in done.stdout
    loaded = keras.saving.load_model(folder / "SE_identity_start.keras")
    assert loaded.output_shape == (None, 5)
    attention = keras_channel_attn.SqueezeExcite
    assert sum(isinstance(layer, attention) for layer in loaded.layers) == 4


def test_idx_files(run, tmp_path):
    data = write_fashion(tmp_path / "data", zipped=True)
    output = tmp_path / "new" / "folder"
    done = run(
        *("--dataset", "fashion_mnist", "--data-dir", data),
        *("--output", output, "--quick"),
    )
    check_success(done, output)
    assert "sneaker" in done.stdout


def test_backbone_with_weights_from_a_file(run, tmp_path):
    data = write_fashion(tmp_path / "data")
    weights = tmp_path / "mobile.weights.h5"
    keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    ).save_weights(weights)
    output = tmp_path / "output"
    done = run(
        *("--dataset", "fashion_mnist", "--data-dir", data),
        *("--backbone", "MobileNetV2", "--weights", weights),
        *("--image-size", "32", "--output", output, "--quick"),
        # Five deep networks take JAX minutes to compile.
        KERAS_BACKEND="torch" if find_spec("torch") else keras.config.backend(),
    )
    check_success(done, output)
    assert "Attention goes to 10 places: block_2_project_BN," in done.stdout


@pytest.fixture
def script(import_example):
    return import_example("transfer_learning")


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([0.91, 0.94], "SE: +2.5 ± 0.7 points, beyond the spread: try more"),
        ([0.86, 0.89], "SE: -2.5 ± 0.7 points, beyond the spread: try more"),
        ([0.89, 0.92], "SE: +0.5 ± 0.7 points, within the spread: no diff"),
        # Seed by seed: the accuracies spread, their difference does not.
        ([0.91, 0.93], "SE: +2.0 ± 0.0 points, beyond the spread: try more"),
    ],
)
def test_conclusions(script, after, verdict):
    plain = script.Result("none", None, [0.9, 1.0], 0, [[0.89], [0.91]])
    curves = [[0.1, accuracy] for accuracy in after]
    results = [plain, script.Result("SE", None, [0.5, 0.6], 0.75, curves)]
    lines = script.conclusions(results)
    assert "- SE: -40.0 points, largest change of a probability 0.75." in lines
    assert lines[-1].startswith(f"- {verdict}")


def test_applications_get_the_range_they_want(script):
    """ResNet50 has centered channels, MobileNetV2 numbers from -1 to 1."""
    white = np.ones((1, 8, 8, 1), "float32")
    prepared = {
        name: script.application(name, None, 32).prepare(white)
        for name in ("ResNet50", "MobileNetV2")
    }
    assert all(one.shape == (1, 32, 32, 3) for one in prepared.values())
    np.testing.assert_allclose(prepared["MobileNetV2"], 1, atol=1e-5)
    means = [103.939, 116.779, 123.68]
    np.testing.assert_allclose(
        prepared["ResNet50"][0, 0, 0], np.subtract(255, means), rtol=1e-4
    )


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
        (["--weights", "none"], "--weights and --image-size are for a"),
        (["--image-size", "32"], "--weights and --image-size are for a"),
        (["--backbone", "ResNet"], "has no network 'ResNet'"),
        (["--backbone", "resnet"], "has no network 'resnet'"),
        (
            ["--backbone", "ResNet50", "--weights", "absent.weights.h5"],
            "ResNet50 with --weights absent.weights.h5 and --image-size 64:",
        ),
        (
            ["--backbone", "MobileNet", "--weights", "none"],
            "has no residual branches",
        ),
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
