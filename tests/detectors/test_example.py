"""The example that trains a YOLO: its data, its measure, whole runs."""

import functools
import gzip
import re

import keras
import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image
from sklearn.datasets import load_digits
from support.scripts import run_script

from examples import detection
from keras_channel_attn import attention_layers

SHORT = ("--image-size", 64, "--epochs", 1, "--tuning-epochs", 1)


@pytest.fixture
def scenes():
    images, classes, _, _ = detection.digits()
    return detection.scenes(8, images, classes, 96, seed=0)


"""
## Scenes
"""


def test_boxes_of_scenes_are_whole_and_apart(scenes):
    images, objects = scenes
    assert images.shape == (8, 96, 96, 3)
    assert images.dtype == "uint8"
    assert images.min() < 10 < 200 < images.max()
    for rows in objects:
        rows = np.array(rows)
        assert 1 <= len(rows) <= 5
        covered = np.zeros((96, 96), int)
        for index, left, top, right, bottom in rows:
            assert 0 <= index < 10
            assert 0 <= left < right <= 96
            assert 0 <= top < bottom <= 96
            covered[top:bottom, left:right] += 1
        assert covered.max() == 1


def test_a_box_ends_at_the_digit():
    """The left half of a square: a box as high as the square, half as wide."""
    rng = np.random.default_rng(0)
    piece = np.zeros((1, 8, 8))
    piece[0, :, :4] = 1
    image, objects = detection.scene(rng, piece, [7], 96)
    for index, left, top, right, bottom in objects:
        assert index == 7
        assert bottom - top in detection.SIDES
        # The edge is blurred by the enlargement.
        assert right - left == pytest.approx((bottom - top) / 2, abs=2)
        assert image[top:bottom, left:right].max() >= 0.6 * 255


def test_same_seed_same_scenes(scenes):
    images, classes, _, _ = detection.digits()
    again, objects = detection.scenes(8, images, classes, 96, seed=0)
    np.testing.assert_array_equal(again, scenes[0])
    assert np.array_equal(np.concatenate(objects), np.concatenate(scenes[1]))


def test_each_digit_is_in_one_part():
    images, classes, others, other_classes = detection.digits()
    bunch = load_digits()
    together = np.empty_like(bunch.images)
    together[::2], together[1::2] = images, others
    np.testing.assert_array_equal(together * 16, bunch.images)
    together = np.empty_like(bunch.target)
    together[::2], together[1::2] = classes, other_classes
    np.testing.assert_array_equal(together, bunch.target)


def write_fashion_mnist(folder, images):
    for part, count in (("train", 20), ("t10k", 10)):
        labels = np.arange(count, dtype="uint8") % 10
        for name, array, header in (
            ("images-idx3", images[:count], 16),
            ("labels-idx1", labels, 8),
        ):
            content = bytes(header) + array.tobytes()
            path = folder / f"{part}-{name}-ubyte.gz"
            path.write_bytes(gzip.compress(content))


def test_files_of_fashion_mnist(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), "uint8")
    write_fashion_mnist(tmp_path, images)
    read, classes, test, test_classes = detection.fashion_mnist(tmp_path)
    np.testing.assert_array_equal(read, images / 255)
    np.testing.assert_array_equal(test, images[:10] / 255)
    assert (len(classes), len(test_classes)) == (20, 10)


def test_files_of_another_size(tmp_path):
    write_fashion_mnist(tmp_path, np.zeros((20, 14, 14), "uint8"))
    with pytest.raises(ValueError, match="28x28"):
        detection.fashion_mnist(tmp_path)


"""
## Images and labels in folders
"""


@pytest.fixture
def folder(tmp_path, scenes):
    """Sixteen images of 100x50 to train with, two to validate with."""
    images, _ = scenes
    for part, count in (("train", 16), ("val", 2)):
        for kind in ("images", "labels"):
            (tmp_path / "data" / kind / part).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(images[number % 8]).resize((100, 50))
            image.save(tmp_path / "data/images" / part / f"{number}.png")
            path = tmp_path / "data/labels" / part / f"{number}.txt"
            path.write_text(f"{number % 3} 0.5 0.25 0.2 0.5\n")
    return tmp_path / "data"


def test_boxes_of_a_folder(folder):
    """100x50 in 64x64: a scale of 0.64, and 16 pixels above and below."""
    images, objects = detection.read_folder(folder, "val", 64)
    assert images.shape == (2, 64, 64, 3)
    np.testing.assert_array_equal(images[:, :16], 114)
    assert (images[:, 16:48] != 114).any(axis=(1, 2)).all()
    # Center 50, 12.5 and sides of 20, 25 pixels: 40, 0, 60, 25.
    np.testing.assert_allclose(objects[0], [[0, 25.6, 16, 38.4, 32]])


def test_boxes_of_a_rounded_height(folder):
    """100x51 in 96x96 is 96x49: 23 pixels above, 24 below."""
    for path in (folder / "images/val").iterdir():
        Image.new("RGB", (100, 51), "white").save(path)
    images, objects = detection.read_folder(folder, "val", 96)
    rows = np.flatnonzero((images[0] == 255).all(axis=(1, 2)))
    assert (rows[0], rows[-1] + 1) == (23, 72)
    # From 0 to 1/2 of the height.
    assert objects[0][0][2::2] == [23, 47.5]


def test_a_box_ends_with_the_image(folder):
    path = folder / "labels/val/0.txt"
    path.write_bytes(b"\xef\xbb\xbf0 0.1 0.5 0.4 1\r\n\r\n")
    _, objects = detection.read_folder(folder, "val", 64)
    np.testing.assert_allclose(objects[0], [[0, 0, 16, 19.2, 48]])


def test_an_image_without_a_file_has_no_objects(folder, capsys):
    (folder / "labels/val/1.txt").unlink()
    (folder / "images/val/1.png").rename(folder / "images/val/1.PNG")
    _, objects = detection.read_folder(folder, "val", 64)
    assert list(map(len, objects)) == [1, 0]
    assert "val: 1 of 2 images have a file of labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "0 0.5 0.25 0.2",
        "0 0.5 0.25 0.2 0.5 0.1 0.1",  # a polygon
        "cat 0.5 0.25 0.2 0.5",
        "-1 0.5 0.25 0.2 0.5",
        "0.5 0.5 0.25 0.2 0.5",
        "0 50 12.5 20 25",  # pixels
        "0 0.5 0.25 0 0.5",
        "0 0.5 nan 0.2 0.5",
    ],
)
def test_lines_that_do_not_fit(folder, line):
    path = folder / "labels/val/1.txt"
    path.write_text(f"0 0.5 0.25 0.2 0.5\n{line}\n")
    message = re.escape(f"{path}, line 2: ") + ".*" + re.escape(repr(line))
    with pytest.raises(ValueError, match=message):
        detection.read_folder(folder, "val", 64)


def test_a_folder_without_objects(folder):
    for path in (folder / "labels/val").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="no objects in"):
        detection.read_folder(folder, "val", 64)


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ValueError, match=r"0 images in .* but 16 are needed"):
        detection.read_folder(tmp_path, "train", 64, minimum=16)


def write_sixteen_bits(path):
    Image.fromarray(np.full((8, 8), 300, "uint16")).save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", [write_sixteen_bits, cut])
def test_images_that_cannot_be_read(folder, damage):
    path = folder / "images/val/0.png"
    damage(path)
    message = re.escape(f"{path} cannot be read: ")
    with pytest.raises(ValueError, match=message):
        detection.read_folder(folder, "val", 64)


def test_labels_that_cannot_be_read(folder):
    path = folder / "labels/val/0.txt"
    path.write_bytes("0 0.5 0.25 0.2 0.5".encode("utf-16"))
    message = re.escape(f"{path} cannot be read: ")
    with pytest.raises(ValueError, match=message):
        detection.read_folder(folder, "val", 64)


"""
## Targets and the measure
"""


def test_targets_have_as_many_rows():
    padded = detection.targets([[], [[3, 0, 1, 4, 5], [2, 6, 6, 9, 8]]])
    np.testing.assert_array_equal(padded["mask"], [[0, 0], [1, 1]])
    np.testing.assert_array_equal(padded["labels"], [[0, 0], [3, 2]])
    np.testing.assert_array_equal(
        padded["boxes"][1], [[0, 1, 4, 5], [6, 6, 9, 8]]
    )


OBJECTS = [[[0, 10, 10, 30, 30]], [[0, 40, 40, 60, 60]]]


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        # Each is found exactly.
        ([[(10, 10, 30, 30, 0.9, 0)], [(40, 40, 60, 60, 0.8, 0)]], (1, 1)),
        # Nothing is found.
        ([[], []], (0, 0)),
        ([[(10, 10, 30, 30, 0.9, 1)], []], (0, 0)),
        # One of two is found, after a wrong one: the precision is 1/2 up to a
        # recall of 1/2, at 51 of 101 recalls.
        (
            [[(10, 10, 30, 30, 0.8, 0)], [(0, 0, 9, 9, 0.9, 0)]],
            (51 / 202, 51 / 202),
        ),
        # Overlaps of 3/4: six of ten thresholds, 0.5 to 0.75.
        (
            [[(10, 10, 30, 25, 0.9, 0)], [(40, 45, 60, 60, 0.8, 0)]],
            (1, 0.6),
        ),
    ],
)
def test_mean_average_precision(detections, expected):
    found = detection.mean_average_precision(
        [np.array(rows).reshape(-1, 6) for rows in detections], OBJECTS
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


"""
## Training
"""


@functools.cache
def network():
    keras.utils.set_random_seed(0)
    return detection.yolov9t(nc=10, input_shape=(64, 64, 3))


def test_a_copy_detects_the_same(scenes):
    images = scenes[0][:2, :64, :64]
    expected = detection.detect(detection.YOLODetector(network()), images)
    assert min(map(len, expected)) > 10
    for attention in detection.ATTENTION.values():
        copy = detection.with_attention(network(), attention)
        found = detection.detect(detection.YOLODetector(copy), images)
        for rows, expected_rows in zip(found, expected, strict=True):
            np.testing.assert_array_equal(rows, expected_rows)


def test_batches_have_each_image_once_in_an_epoch():
    images = np.arange(40, dtype="uint8")[:, None, None, None]
    objects = [[[number, 0, 0, 1, 1]] for number in range(40)]
    batches = detection.Batches(images, objects, seed=0)
    epochs = []
    for _ in range(2):
        parts = [batches[number] for number in range(len(batches))]
        seen = np.concatenate([255 * x["images"].ravel() for x, _ in parts])
        labels = np.concatenate([y["labels"].ravel() for _, y in parts])
        np.testing.assert_allclose(seen, labels, atol=1e-4)
        assert len(np.unique(labels)) == len(labels) == 32
        epochs.append(labels)
        batches.on_epoch_end()
    assert not np.array_equal(*epochs)


"""
## Whole runs
"""


def table(done):
    """Name: parameters, MACs, mAP 0.5, mAP 0.5:0.95."""
    lines = re.findall(r"^\| (\w.*?) \| (.*) \|$", done.stdout, re.MULTILINE)
    return {
        name: [float(cell.replace(",", "")) for cell in cells.split(" | ")]
        for name, cells in lines
    }


def test_digits(tmp_path):
    done = run_script("detection.py", "--scenes", 32, *SHORT, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = table(done)
    assert len(rows) == 6
    # The identity start changes no detection.
    assert rows["SE inserted"][2:] == rows["trained"][2:]
    assert rows["ECA inserted"][2:] == rows["trained"][2:]
    # Nine blocks: docs/detection.md.
    parameters = {name: values[0] for name, values in rows.items()}
    assert parameters["SE inserted"] - parameters["trained"] == 10_752
    assert parameters["ECA inserted"] - parameters["trained"] == 33
    output = tmp_path / "outputs/detection"
    for name in ("detections", "scores_SE", "scores_ECA"):
        assert min(imread(output / f"{name}.png").shape[:2]) > 400
    for name in ("SE", "ECA"):
        loaded = keras.saving.load_model(output / f"{name}.keras")
        assert loaded.nc == 10
        assert loaded.optimizer.iterations == 2
        for layer in attention_layers(loaded).values():
            assert layer.learning_rate_multiplier == 10


def test_a_folder_and_a_checkpoint(folder, tmp_path):
    weights = tmp_path / "yolov9t.weights.h5"
    network = detection.yolov9t(nc=80, input_shape=(64, 64, 3))
    network.save_weights(weights)
    done = run_script(
        "detection.py",
        *("--image-folder", folder, "--weights", weights, *SHORT),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Loaded" in done.stdout  # by kyolo: all but the layers of classes
    assert len(table(done)) == 6
    loaded = keras.saving.load_model(tmp_path / "outputs/detection/SE.keras")
    assert loaded.nc == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image-folder", "nowhere"], "0 images in nowhere"),
        (["--data-dir", "nowhere"], "nowhere"),
        (["--image-size", 100], "multiple of 32"),
        (["--epochs", 0], "at least 1"),
        (["--tuning-epochs", 0], "at least 1"),
        (["--scenes", 15], "at least 16"),
        (["--weights", "nowhere.weights.h5"], "nowhere.weights.h5"),
    ],
)
def test_errors(tmp_path, arguments, message):
    done = run_script("detection.py", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
