"""Whole runs against what the network itself says, images of all kinds."""

import importlib
import re
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_image

from keras_channel_attn import models

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = "classify_image.py"
# Among them a formula to Matplotlib, and one that is too long to draw.
NAMES = ["red panda", "50 $ or $", "a" * 60, "tea", "cup", "é", "seven"]


@pytest.fixture
def run(run_example):
    """The script; on torch, which has nothing to compile, if it is here."""
    backend = "torch" if find_spec("torch") else keras.config.backend()
    return partial(run_example, SCRIPT, KERAS_BACKEND=backend)


@pytest.fixture
def script(monkeypatch):
    """The script as a module; what it imports lies beside it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    beside = {path.stem for path in EXAMPLES.glob("*.py")}
    yield importlib.import_module("classify_image")
    for name in beside & set(sys.modules):
        del sys.modules[name]


@pytest.fixture(autouse=True)
def channels_last():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    yield
    keras.config.set_image_data_format(before)


@pytest.fixture
def photographs(tmp_path):
    """Two, of the same name in two folders."""
    (tmp_path / "other").mkdir()
    paths = [tmp_path / "photo.png", tmp_path / "other" / "photo.jpg"]
    for path, name in zip(paths, ("china.jpg", "flower.jpg"), strict=True):
        Image.fromarray(load_sample_image(name)).save(path)
    return paths


def seresnet18(classes):
    """A checkpoint with random weights, under the names of timm."""
    rng = np.random.default_rng(0)
    arrays = {}

    def weight(name, *shape):
        size = np.prod(shape[1:])
        values = rng.normal(0, np.sqrt(2 / size), shape)
        arrays[f"{name}.weight"] = values.astype("float32")

    def unit(convolution, normalization, filters, channels, size):
        weight(convolution, filters, channels, size, size)
        for name, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.5, 1.5),
        ):
            values = rng.uniform(low, high, filters).astype("float32")
            arrays[f"{normalization}.{name}"] = values

    unit("conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, (width, reduced) in enumerate(
        ((64, 8), (128, 8), (256, 16), (512, 32)), start=1
    ):
        for block in ("0", "1"):
            name = f"layer{stage}.{block}"
            unit(f"{name}.conv1", f"{name}.bn1", width, channels, 3)
            unit(f"{name}.conv2", f"{name}.bn2", width, width, 3)
            weight(f"{name}.se.fc1", reduced, width, 1, 1)
            weight(f"{name}.se.fc2", width, reduced, 1, 1)
            arrays[f"{name}.se.fc1.bias"] = np.zeros(reduced, "float32")
            arrays[f"{name}.se.fc2.bias"] = np.zeros(width, "float32")
            if channels != width:
                names = f"{name}.downsample.0", f"{name}.downsample.1"
                unit(*names, width, channels, 1)
            channels = width
    # Small, so that more than one class is likely.
    arrays["fc.weight"] = rng.normal(0, 0.02, (classes, 512)).astype("float32")
    arrays["fc.bias"] = np.zeros(classes, "float32")
    return arrays


def printed(done):
    """For each photograph its classes, and its channels open most."""
    results = []
    for line in done.stdout.splitlines():
        if match := re.fullmatch(r" +(\d+\.\d)%  (.+)", line):
            if not results or len(results[-1]) == 5:
                results.append({})
            results[-1][match[2]] = float(match[1])
    most = [
        [int(one) for one in re.findall(r"(\d+) \(", line)]
        for line in done.stdout.splitlines()
        if line.startswith("  channels open most: ")
    ]
    return results, most


def check_classes(found, probabilities, names):
    best = np.argsort(-probabilities)[:5]
    assert list(found) == [names[one] for one in best]
    np.testing.assert_allclose(
        list(found.values()), 100 * probabilities[best], atol=0.1
    )


def certain(classes):
    """A bias that alone decides on the classes, and what it decides."""
    bias = np.random.default_rng(1).normal(0, 3, classes).astype("float32")
    return bias, np.exp(bias) / np.exp(bias).sum()


def check_picture(path):
    picture = imread(path)[..., :3]
    height, width, _ = picture.shape
    assert height > 800
    assert width > 1200
    # The photograph, and the last of the six channels.
    for part in (
        picture[height // 4 : height // 2, : width // 4],
        picture[-height // 5 :, -width // 6 :],
    ):
        colors = np.unique(part.reshape(-1, 3), axis=0)
        assert len(colors) > 500


def test_two_photographs(run, tmp_path, photographs):
    weights = tmp_path / "model.safetensors"
    save_file(seresnet18(len(NAMES)), weights)
    labels = tmp_path / "names.txt"
    labels.write_text("\n".join(NAMES) + "\n\n", encoding="utf-8")
    done = run(
        *(*photographs, "--model", "seresnet18", "--weights", weights),
        *("--labels", labels),
    )
    assert done.returncode == 0, done.stderr
    assert "Glyph" not in done.stderr

    network = models.from_timm("seresnet18", weights, classes=len(NAMES))
    attention = network.get_layer("layer4_1_se")
    both = keras.Model(network.input, [network.output, attention.input])
    prepare = models.ImagePreprocessing()
    results, channels = printed(done)
    for path, found, most in zip(photographs, results, channels, strict=True):
        pixels = np.asarray(Image.open(path))[np.newaxis]
        prepared = keras.ops.convert_to_numpy(prepare(pixels))
        probabilities, features = both.predict(prepared, verbose=0)
        check_classes(found, probabilities[0], NAMES)
        _, gates = attention(features, return_attention_scores=True)
        gates = keras.ops.convert_to_numpy(gates)[0]
        # Sorted by the gates, but two backends may disagree in a tie.
        np.testing.assert_allclose(
            gates[most], np.sort(gates)[: -len(most) - 1 : -1], atol=1e-4
        )
    assert "224 x 224 pixels, by default: no checkpoint of" in done.stdout

    folder = tmp_path / "outputs" / "classify_image"
    pictures = [folder / f"photo_attention{end}.png" for end in ("", "_2")]
    # Nothing else: no half-written file is left.
    assert sorted(folder.iterdir()) == pictures
    for path in pictures:
        assert f"Written: {path.relative_to(tmp_path)}" in done.stdout
        check_picture(path)


def test_file_of_torch_and_names_of_imagenet(run, tmp_path, photographs):
    torch = pytest.importorskip("torch")
    arrays = seresnet18(1000)
    arrays["fc.weight"][:] = 0
    arrays["fc.bias"], probabilities = certain(1000)
    weights = tmp_path / "model.pth"
    tensors = {name: torch.tensor(value) for name, value in arrays.items()}
    torch.save({"state_dict": tensors, "epoch": 3}, weights)
    output = tmp_path / "new" / "folder"
    done = run(
        *(photographs[0], "--model", "seresnet18", "--weights", weights),
        *("--output", output),
    )
    assert done.returncode == 0, done.stderr
    names = (EXAMPLES / "imagenet_classes.txt").read_text().splitlines()
    (found,), _ = printed(done)
    check_classes(found, probabilities, names)
    check_picture(output / "photo_attention.png")


def test_other_mechanism_and_published_preprocessing(
    run, tmp_path, photographs
):
    weights = tmp_path / "model.weights.h5"
    network = models.from_timm("ecaresnet26t", classes=len(NAMES))
    bias, probabilities = certain(len(NAMES))
    dense = network.get_layer("fc")
    dense.set_weights([np.zeros(dense.kernel.shape), bias])
    network.save_weights(weights)
    labels = tmp_path / "names.txt"
    labels.write_text("\n".join(NAMES), encoding="utf-8")
    done = run(
        *(photographs[0], "--model", "ecaresnet26t", "--weights", weights),
        *("--labels", labels),
    )
    assert done.returncode == 0, done.stderr
    assert "320 x 320 pixels, as for timm's checkpoint" in done.stdout
    (found,), _ = printed(done)
    check_classes(found, probabilities, NAMES)
    check_picture(tmp_path / "outputs/classify_image/photo_attention.png")


def test_no_attention_is_no_error(run, tmp_path, photographs):
    weights = tmp_path / "model.weights.h5"
    models.from_timm("resnet18").save_weights(weights)
    done = run(photographs[0], "--model", "resnet18", "--weights", weights)
    assert done.returncode == 0, done.stderr
    (found,), _ = printed(done)
    assert len(found) == 5
    assert "No picture: resnet18 has no channel attention." in done.stdout
    assert not (tmp_path / "outputs").exists()


PIXELS = np.arange(0, 240, 10, "uint8").reshape(2, 4, 3)
GRAY = PIXELS[..., :1]


def turned(path):
    """As a camera that was held upright writes it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(PIXELS)).save(path, exif=exif)


def transparent(path):
    """Half of it: white shines through, and no hidden color."""
    image = np.dstack([PIXELS, np.full((2, 4), 255, "uint8")])
    image[:, :2, 3] = 0
    Image.fromarray(image).save(path)


def deep(path):
    Image.fromarray(GRAY[..., 0].astype("uint16") * 257).save(path)


@pytest.mark.parametrize(
    ("save", "expected"),
    [
        (Image.fromarray(PIXELS).save, PIXELS),
        (Image.fromarray(GRAY[..., 0]).save, GRAY.repeat(3, 2)),
        (Image.new("1", (1, 1)).save, np.zeros((1, 1, 3))),
        (turned, PIXELS),
        (transparent, np.hstack([np.full((2, 2, 3), 255), PIXELS[:, 2:]])),
        (deep, GRAY.repeat(3, 2)),
    ],
    ids=["color", "gray", "tiny", "turned", "transparent", "16 bits"],
)
def test_images(script, tmp_path, save, expected):
    path = tmp_path / "image.png"
    save(path)
    np.testing.assert_array_equal(script.read(path), expected)


def test_images_that_are_none(script, tmp_path, photographs):
    content = photographs[1].read_bytes()
    photographs[1].write_bytes(content[: len(content) // 2])
    text = tmp_path / "text.png"
    text.write_text("no image")
    for path, message in (
        (tmp_path / "other", "other is a folder: name images, as "),
        (photographs[1], "photo.jpg cannot be read: image file is truncated"),
        (text, "text.png cannot be read: cannot identify image file"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            script.read(path)


def test_red_above_zero_and_blue_below(script):
    values = np.array([[2.0, 0.0, -2.0]])
    tinted = script.tinted(np.full((4, 12, 3), 0.5), values)
    red, gray, blue = tinted[2, 1], tinted[2, 6], tinted[2, -2]
    assert red[0] > 2 * red[2]
    assert blue[2] > 2 * blue[0]
    np.testing.assert_allclose(gray, gray[0], atol=0.05)
    # A channel that is off is no error.
    off = script.tinted(np.full((4, 4, 3), 0.5), np.zeros((1, 1)))
    np.testing.assert_allclose(off, 0.65)


def test_names(script, tmp_path, capsys):
    names = script.names_without_labels(1000)
    assert len(set(names)) == len(names) == 1000
    known = {0: "tench", 207: "golden retriever", 999: "toilet tissue"}
    assert {number: names[number] for number in known} == known
    assert capsys.readouterr().out == ""
    assert script.names_without_labels(3) == ["class 0", "class 1", "class 2"]
    assert "--labels gives them names" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a\n\nb", b"\xff\xfe\xff"])
def test_wrong_labels(script, tmp_path, content):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"--labels .*names\.txt"):
        script.read_names(path)


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("seresnet18", "absent.pth", "--weights absent.pth is not a file"),
        ("seresnet18", "text.md", "must be a file that ends in one of"),
        ("seresnet18", "text.safetensors", "with --weights text.safetensors:"),
        ("seresnet18", "text.weights.h5", "with --weights text.weights.h5:"),
        ("seresnet18", "three.safetensors", "name them with --labels."),
        ("seresnet5", "text.md", "Near it: ['seresnet50', "),
        ("seresnet50", "pretrained", "could not be had from the cache"),
    ],
)
def test_wrong_networks(script, tmp_path, monkeypatch, model, weights, message):
    monkeypatch.chdir(tmp_path)
    for suffix in (".md", ".safetensors", ".weights.h5"):
        Path(f"text{suffix}").write_text("no weights")
    save_file(seresnet18(3), "three.safetensors")

    def absent(*arguments):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", absent)
    with pytest.raises(ValueError, match=re.escape(message)) as refusal:
        script.network(model, weights, None)
    assert len(str(refusal.value).splitlines()) == 1


def test_refusals(run, tmp_path, photographs):
    """All of them end in one line."""
    weights = tmp_path / "model.safetensors"
    save_file(seresnet18(3), weights)
    output = tmp_path / "output"
    output.write_text("mine")
    labels = tmp_path / "names.txt"
    labels.write_text("one\ntwo\nthree\n")
    complete = (*photographs, "--model", "seresnet18", "--weights", weights)
    for arguments, message in (
        ((tmp_path / "absent.jpg", *complete), "absent.jpg cannot be read: "),
        ((*complete, "--labels", labels, "--output", output), "File exists"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"{SCRIPT}: error: ")
        assert message in last
        assert "Written" not in done.stdout
    assert output.read_text() == "mine"
