"""Checkpoints in files, and published checkpoints by their names."""

import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file
from support import models_page, torch_weights

from keras_channel_attn import models
from keras_channel_attn.models.timm import timm_networks

ROWS = models_page.rows()
SMALL = {"depths": (1, 1, 1, 1), "data_format": "channels_last"}


def shapes(classes=5):
    """By timm's names, of `resnet18` with one block in each stage."""
    known = {"conv1.weight": (64, 3, 7, 7)}
    norms = {"bn1": 64}
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        block = f"layer{stage}.0"
        known[f"{block}.conv1.weight"] = (channels, before, 3, 3)
        known[f"{block}.conv2.weight"] = (channels, channels, 3, 3)
        norms |= {f"{block}.bn1": channels, f"{block}.bn2": channels}
        if channels != before:
            known[f"{block}.downsample.0.weight"] = (channels, before, 1, 1)
            norms[f"{block}.downsample.1"] = channels
        before = channels
    for name, channels in norms.items():
        for one in ("weight", "bias", "running_mean", "running_var"):
            known[f"{name}.{one}"] = (channels,)
        known[f"{name}.num_batches_tracked"] = ()
    return {**known, "fc.weight": (classes, 512), "fc.bias": (classes,)}


@pytest.fixture(scope="module")
def checkpoint():
    return torch_weights.filled(shapes())


@pytest.fixture(scope="module")
def expected(checkpoint):
    """The weights of a network that was given the checkpoint as a mapping."""
    return models.from_timm(
        "resnet18", checkpoint, classes=5, **SMALL
    ).get_weights()


TOP = "fc.weight", "fc.bias"


def without(arrays, *names):
    return {key: value for key, value in arrays.items() if key not in names}


def assert_has(model, expected):
    for actual, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def contiguous(arrays):
    return {name: np.ascontiguousarray(one) for name, one in arrays.items()}


def test_safetensors(tmp_path, checkpoint, expected):
    path = tmp_path / "model.safetensors"
    save_file(contiguous(checkpoint), path)
    for given in (path, str(path)):
        assert_has(
            models.from_timm("resnet18", given, classes=5, **SMALL), expected
        )


def test_half_precision_in_safetensors(tmp_path, checkpoint):
    path = tmp_path / "model.safetensors"
    save_file(
        {
            name: one.astype("float16" if one.ndim > 1 else one.dtype)
            for name, one in contiguous(checkpoint).items()
        },
        path,
    )
    model = models.from_timm("resnet18", path, classes=5, **SMALL)
    kernel = model.get_layer("conv1").kernel
    assert keras.backend.standardize_dtype(kernel.dtype) == "float32"
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(kernel),
        checkpoint["conv1.weight"].astype("float16").transpose(2, 3, 1, 0),
    )


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", ["model.pth", "model.bin", "best.pth.tar"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_files_of_torch(tmp_path, checkpoint, expected, name, wrapped):
    import torch

    state = {key: torch.from_numpy(one) for key, one in checkpoint.items()}
    path = tmp_path / name
    torch.save({"epoch": 3, "state_dict": state} if wrapped else state, path)
    model = models.from_timm("resnet18", path, classes=5, **SMALL)
    assert_has(model, expected)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_damaged_files(tmp_path, kind):
    path = tmp_path / f"model.{kind}"
    path.write_bytes(b"\x08\x00half a file")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        models.from_timm("resnet18", path, **SMALL)


@pytest.mark.backend("torch")
def test_no_code_of_a_file_is_run(tmp_path):
    import torch

    ran = tmp_path / "ran"

    class Harmful:
        def __reduce__(self):
            return pathlib.Path.touch, (ran,)

    torch.save({"conv1.weight": Harmful()}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"model\.pth' cannot be read"):
        models.from_timm("resnet18", tmp_path / "model.pth", **SMALL)
    assert not ran.exists()


@pytest.mark.backend("torch")
def test_bfloat16_of_torch(checkpoint, expected):
    import torch

    state = {
        key: torch.from_numpy(one).bfloat16() if one.ndim > 1 else one
        for key, one in checkpoint.items()
    }
    model = models.from_timm("resnet18", state, classes=5, **SMALL)
    for actual, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=2**-8)


def test_the_network_has_memory_of_its_own(checkpoint, expected):
    arrays = {name: np.array(one) for name, one in checkpoint.items()}
    model = models.from_timm("resnet18", arrays, classes=5, **SMALL)
    for array in arrays.values():
        array[...] = 9
    assert_has(model, expected)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda arrays: {"state_dict": arrays, "epoch": 3},
        lambda arrays: {"model": arrays},
        lambda arrays: {f"_orig_mod.{name}": arrays[name] for name in arrays},
    ],
    ids=["state_dict", "model", "compiled"],
)
def test_as_training_scripts_write_it(checkpoint, expected, wrap):
    assert_has(
        models.from_timm("resnet18", wrap(checkpoint), classes=5, **SMALL),
        expected,
    )


def test_a_name_in_front_and_without(checkpoint):
    doubled = {**checkpoint, "module.fc.bias": np.zeros(5)}
    with pytest.raises(ValueError, match=r"two arrays for 'fc\.bias'"):
        models.from_timm("resnet18", doubled, classes=5, **SMALL)


def test_checkpoints_of_caffe_are_refused(checkpoint):
    """Shapes match, but outputs would be different: another pooling."""
    names = {"conv1.weight": "layer0.conv1.weight"}
    names |= {f"fc.{one}": f"last_linear.{one}" for one in ("weight", "bias")}
    caffe = {names.get(key, key): one for key, one in checkpoint.items()}
    with pytest.raises(ValueError, match="legacy_"):
        models.from_timm("resnet18", caffe, classes=5, **SMALL)
    models.from_timm(
        "resnet18", caffe, classes=5, stem_pool="max_ceil", **SMALL
    )


def test_a_checkpoint_of_ecanet(tmp_path):
    """Trained on several devices, with the kernel sizes 3-5-7-7 of ECANet."""
    known = {}
    for key, shape in shapes().items():
        known[f"module.{key}"] = shape
        second = key.replace(".0.", ".1.")
        if key.startswith("layer") and "downsample" not in key:
            if second.endswith(".conv1.weight"):
                shape = (shape[0], shape[0], 3, 3)
            known[f"module.{second}"] = shape
    for stage, size in enumerate((3, 5, 7, 7), start=1):
        for block in (0, 1):
            known[f"module.layer{stage}.{block}.eca.conv.weight"] = (1, 1, size)
    arrays = torch_weights.filled(known)
    save_file(contiguous(arrays), tmp_path / "eca.safetensors")
    model = models.ECAResNet18(
        weights=tmp_path / "eca.safetensors",
        classes=5,
        kernel_sizes=(3, 5, 7, 7),
    )
    for stage, size in enumerate((3, 5, 7, 7), start=1):
        (kernel,) = model.get_layer(f"layer{stage}_1_se").get_weights()
        np.testing.assert_array_equal(
            kernel.ravel(),
            arrays[f"module.layer{stage}.1.eca.conv.weight"].ravel(),
        )
        assert kernel.shape == (size, 1, 1)


def test_without_top_the_dense_layer_is_left_out(checkpoint, expected):
    model = models.from_timm("resnet18", checkpoint, include_top=False, **SMALL)
    assert_has(model, expected[:-2])


def test_the_dense_layer_is_left_out_only_if_said_so(checkpoint):
    model = models.from_timm("resnet18", include_top=False, **SMALL)
    with pytest.raises(ValueError, match=r"left over: fc\.weight"):
        models.load_torch_weights(model, checkpoint)
    models.load_torch_weights(model, checkpoint, include_top=False)


@pytest.mark.parametrize("has_top", [True, False])
def test_the_dense_layer_of_the_network_is_kept(checkpoint, expected, has_top):
    """Of another number of classes, whether the checkpoint has one or not."""
    model = models.from_timm("resnet18", classes=7, **SMALL)
    top = model.get_weights()[-2:]
    arrays = checkpoint if has_top else without(checkpoint, *TOP)
    models.load_torch_weights(model, arrays, include_top=False)
    assert_has(model, [*expected[:-2], *top])


ALL_BUT_THE_TOP = r"load_torch_weights\(network, weights, include_top=False\)"


def test_other_classes(checkpoint):
    message = (
        r"shape: fc\.weight is \(5, 512\)(.|\n)*`classes=5`"
        rf"(.|\n)*{ALL_BUT_THE_TOP}"
    )
    with pytest.raises(ValueError, match=message):
        models.from_timm("resnet18", checkpoint, classes=7, **SMALL)


def test_no_dense_layer_in_the_checkpoint(checkpoint):
    message = rf"missing: fc\.weight(.|\n)*{ALL_BUT_THE_TOP}"
    arrays = without(checkpoint, *TOP)
    with pytest.raises(ValueError, match=message) as error:
        models.from_timm("resnet18", arrays, classes=5, **SMALL)
    assert "`classes=" not in str(error.value)


def test_a_checkpoint_of_another_network(checkpoint):
    """Hundreds of problems are counted, and the first are listed."""
    arrays = {f"blocks.{name}": checkpoint[name] for name in checkpoint}
    with pytest.raises(ValueError, match="problems:") as error:
        models.from_timm("resnet18", arrays, classes=5, **SMALL)
    lines = str(error.value).splitlines()
    count = int(re.search(r"(\d+) problems:$", lines[0])[1])
    assert len(lines) == 12
    assert lines[-1] == f"  and {count - 10} others"
    assert count == 2 * sum("tracked" not in name for name in checkpoint)


def test_other_problems_than_the_dense_layer(checkpoint):
    """Leaving it out would not be enough."""
    arrays = without(checkpoint, "fc.bias", "conv1.weight")
    with pytest.raises(ValueError, match="2 problems") as error:
        models.from_timm("resnet18", arrays, classes=5, **SMALL)
    assert "include_top" not in str(error.value)


def test_weights_of_keras(tmp_path, checkpoint, expected):
    model = models.from_timm("resnet18", checkpoint, classes=5, **SMALL)
    model.save_weights(tmp_path / "model.weights.h5")
    assert_has(
        models.from_timm(
            "resnet18", tmp_path / "model.weights.h5", classes=5, **SMALL
        ),
        expected,
    )


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        models.from_timm("resnet18", tmp_path / "model.safetensors", **SMALL)


@pytest.mark.backend("jax", "tensorflow", "numpy", "openvino")
def test_no_torch_is_imported_for_safetensors(tmp_path):
    path = tmp_path / "eca.safetensors"
    save_file({"conv.weight": np.ones((1, 1, 3), "float32")}, path)
    code = (
        "import sys\n"
        "from keras_channel_attn import EfficientChannelAttention, models\n"
        "layer = EfficientChannelAttention(kernel_size=3)\n"
        "layer.build((None, 6, 6, 8))\n"
        f"models.load_torch_weights(layer, {str(path)!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def cached(folder, repository, arrays):
    """Write a file into a folder like the cache of the Hugging Face Hub."""
    name = "models--" + repository.replace("/", "--")
    commit = "0" * 40
    snapshot = folder / name / "snapshots" / commit
    snapshot.mkdir(parents=True)
    save_file(contiguous(arrays), snapshot / "model.safetensors")
    (folder / name / "refs").mkdir()
    (folder / name / "refs" / "main").write_text(commit)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No connection to the Hugging Face Hub, and an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_pretrained_from_the_cache(offline):
    arrays = torch_weights.filled(shapes(1000))
    cached(offline, "timm/resnet18.tv_in1k", arrays)
    expected = models.from_timm("resnet18", arrays, **SMALL).get_weights()
    model = models.from_timm("resnet18.tv_in1k", "pretrained", **SMALL)
    assert model.name == "resnet18"
    assert_has(model, expected)
    model = models.from_timm(
        "resnet18.tv_in1k", "pretrained", include_top=False, **SMALL
    )
    assert_has(model, expected[:-2])


def test_pretrained_without_a_network(offline):
    with pytest.raises(ConnectionError, match=r"'timm/resnet18\.a1_in1k'"):
        models.from_timm("resnet18", "pretrained", **SMALL)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("seresnet18", {}, "No checkpoint is published for name='seresnet18'"),
        ("resnet18.a9_in1k", {}, r"'resnet18\.a1_in1k'"),
        ("resnet18", {"classes": 10}, "include_top=False"),
        ("resnetaa50d.sw_in12k", {"classes": 1000}, "has 11821"),
    ],
)
def test_what_is_not_published(offline, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        models.from_timm(name, "pretrained", **arguments)


def test_a_tag_says_how_many_classes():
    # Basic blocks, for a narrower dense layer.
    model = models.from_timm(
        "resnetaa50d.sw_in12k", depths=(1, 1, 1, 1), block="basic"
    )
    assert model.output_shape == (None, 11821)


def test_a_tag_that_nobody_knows():
    with pytest.raises(ValueError, match=r"'seresnet50\.ra2_in1k'"):
        models.from_timm("seresnet50.ra2")


@pytest.mark.parametrize("missing", ["huggingface_hub", "safetensors"])
def test_without_the_packages_for_it(monkeypatch, tmp_path, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, f"{missing}.numpy", None)
    weights = "pretrained"
    if missing == "safetensors":
        weights = tmp_path / "model.safetensors"
        weights.touch()
    with pytest.raises(ImportError, match=r"keras-channel-attn\[pretrained\]"):
        models.from_timm("resnet18", weights, **SMALL)


def test_the_table():
    """Every row has a known name, numbers and an interpolation."""
    assert len(ROWS) == len({row["checkpoint"] for row in ROWS})
    for row in ROWS:
        name = row["checkpoint"].partition(".")[0]
        assert name in timm_networks()
        assert int(row["classes"]) in (1000, 11821)
        assert models.preprocessing(row["checkpoint"]).size == int(row["size"])


# Test size and top-1 accuracy in timm's results/results-imagenet.csv.
PUBLISHED = {
    "seresnet50.ra2_in1k": ("288", 81.29),
    "ecaresnet50t.ra2_in1k": ("320", 82.37),
    "ecaresnet50d.miil_in1k": ("288", 81.65),
    "ecaresnet101d.miil_in1k": ("288", 83.01),
    "ecaresnet269d.ra2_in1k": ("352", 84.97),
    "seresnext50_32x4d.racm_in1k": ("288", 82.19),
    "seresnet152d.ra2_in1k": ("320", 84.34),
}


@pytest.mark.parametrize(("name", "expected"), PUBLISHED.items(), ids=PUBLISHED)
def test_published_accuracy(name, expected):
    (row,) = (row for row in ROWS if row["checkpoint"] == name)
    assert (row["size"], round(float(row["top1"]), 2)) == expected


def test_classes_without_a_dense_layer_are_an_error():
    with pytest.raises(ValueError, match="`classes` has no effect"):
        models.from_timm("resnet18", classes=3, include_top=False)


def test_the_name_of_the_argument_in_timm():
    with pytest.raises(TypeError, match=r"`num_classes`.*Pass `classes`"):
        models.from_timm("resnet18", num_classes=3)


def test_a_network_inside_another_model(checkpoint):
    inputs = keras.Input((32, 32, 3))
    network = models.from_timm("resnet18", classes=5, **SMALL)
    outer = keras.Model(inputs, network(inputs))
    with pytest.raises(TypeError, match=r"model.get_layer\('resnet18'\)"):
        models.load_torch_weights(outer, checkpoint)
