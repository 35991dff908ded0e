"""Networks saved for timm: the file, and what is refused."""

import json
import pathlib
import random

import keras
import numpy as np
import pytest
from keras import layers
from safetensors import safe_open
from safetensors.numpy import load_file
from support import torch_weights
from support.initial_weights import zero_weights
from support.networks import randomize

from keras_channel_attn import (
    SqueezeExcite,
    expand_attention,
    insert_attention,
    models,
    pruning,
    remove_attention,
    with_dtype_policy,
)
from keras_channel_attn.models.paired_layers import pair_layers
from keras_channel_attn.models.torch_checkpoints import torch_arrays

TIMM = json.loads(
    (pathlib.Path(__file__).parents[1] / "golden" / "timm.json").read_text()
)["networks"]
# Each family, kind of attention and convolution, and both ways of naming.
FEW = (
    "eca_nfnet_l0",
    "ecaresnet26t",
    "ese_vovnet19b_slim_dw",
    "gcresnet33ts",
    "legacy_senet154",
    "legacy_seresnet18",
    "regnety_004",
    "resnet18d",
    "seresnext26t_32x4d",
)


@pytest.fixture(scope="module", autouse=True)
def _zero_weights():
    """Each network gets its numbers afterwards."""
    with zero_weights():
        yield


@pytest.fixture(scope="module")
def network():
    return randomize(models.from_timm("seresnet18", classes=5))


@pytest.fixture(scope="module")
def expected(network, tmp_path_factory):
    """The arrays of the file of `network`."""
    return arrays_of(network, tmp_path_factory.mktemp("expected"))


def arrays_of(network, folder, name=None):
    path = folder / "saved.safetensors"
    models.save_torch_checkpoint(network, path, name)
    return load_file(path)


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


def assert_same_weights(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    for actual, expected in pairs:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "name",
    [
        name if name in FEW else pytest.param(name, marks=pytest.mark.slow)
        for name in TIMM
    ],
)
def test_names_shapes_and_bytes_are_those_of_timm(name):
    expected = torch_weights.filled(TIMM[name]["shapes"])
    few = {"depths": torch_weights.few_blocks(name), "classes": 5}
    network = models.from_timm(name, expected, **few)
    reference = models.from_timm(name, **few)
    paired, problems = pair_layers(network, reference)
    assert problems == []
    actual = torch_arrays(reference, paired)
    counters = {key for key in actual if key.endswith("num_batches_tracked")}
    assert len(counters) == sum(key.endswith("running_var") for key in actual)
    assert_same({k: actual[k] for k in actual.keys() - counters}, expected)


def test_there_and_back(network, tmp_path):
    first, second = (tmp_path / f"{i}.safetensors" for i in range(2))
    models.save_torch_checkpoint(network, str(first))
    again = models.from_timm("seresnet18", first, classes=5)
    models.save_torch_checkpoint(again, second)
    assert first.read_bytes() == second.read_bytes()
    assert_same_weights(again, network)


def test_the_file_is_one_of_torch(network, tmp_path):
    path = tmp_path / "model.safetensors"
    models.save_torch_checkpoint(network, path)
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"format": "pt"}
        assert file.get_slice("fc.weight").get_dtype() == "F32"
        counter = file.get_slice("bn1.num_batches_tracked")
        assert counter.get_dtype() == "I64"


def loaded(network, folder):
    network.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def cloned(network, folder):
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    return clone


def frozen(network, folder):
    clone = cloned(network, folder)
    clone.trainable = False
    return clone


def renamed(network, folder):
    """All layers, as for an ensemble of several networks."""

    def rename(layer):
        config = {**layer.get_config(), "name": f"first_{layer.name}"}
        return type(layer).from_config(config)

    clone = keras.models.clone_model(network, clone_function=rename)
    clone.set_weights(network.get_weights())
    return clone


def with_a_head(network, folder):
    features = network.get_layer("avg_pool").output
    dense = layers.Dense(5, activation="softmax")
    clone = keras.Model(network.input, dense(features))
    dense.set_weights(network.get_layer("fc").get_weights())
    return clone


def mixed(network, folder):
    return with_dtype_policy(network, "mixed_bfloat16")


COPIES = [loaded, cloned, frozen, renamed, with_a_head, mixed]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_has_the_same_file(copy, network, expected, tmp_path):
    actual = arrays_of(copy(network, tmp_path), tmp_path, "seresnet18")
    assert_same(actual, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_saved_in_float32(dtype, tmp_path):
    network = randomize(models.from_timm("resnet18", dtype=dtype))
    bias = keras.ops.cast(network.get_layer("fc").bias, "float32")
    actual = arrays_of(network, tmp_path)
    assert {str(array.dtype) for array in actual.values()} == {
        "float32",
        "int64",
    }
    np.testing.assert_array_equal(
        actual["fc.bias"], keras.ops.convert_to_numpy(bias)
    )


@pytest.mark.parametrize("multiplier", [8, 0.3])
def test_effective_weights_are_saved(multiplier, tmp_path):
    """The stored weights times the multiplier, in a network of `ResNet`."""
    network = models.ResNet(
        (2, 2, 2, 2),
        lambda channels, stage: SqueezeExcite(
            divisor=8, use_bias=True, learning_rate_multiplier=multiplier
        ),
        block="basic",
        name="seresnet18",
    )
    attention = network.get_layer("layer1_0_se")
    stored = torch_weights.filled({"kernel": (64, 8), "bias": (8,)})
    attention.reduce_kernel.assign(stored["kernel"])
    attention.reduce_bias.assign(stored["bias"])
    actual = arrays_of(network, tmp_path)
    # Rounded once.
    kernel, bias = (
        (array.astype("float64") * multiplier).astype("float32")
        for array in stored.values()
    )
    module = "layer1.0.se.fc1"
    np.testing.assert_array_equal(actual[f"{module}.bias"], bias)
    np.testing.assert_array_equal(
        actual[f"{module}.weight"], kernel.T[:, :, None, None]
    )


@pytest.mark.parametrize(
    "options",
    [
        {"classes": 7, "classifier_activation": None},
        {"include_top": False},
        {"include_top": False, "pooling": "avg"},
        {"include_top": False, "pooling": "max"},
        {"input_shape": (64, 48, 1), "data_format": "channels_last"},
        {"input_shape": (4, 64, 64), "data_format": "channels_first"},
    ],
    ids=str,
)
def test_what_timm_has_arguments_for(options, tmp_path):
    network = randomize(models.from_timm("resnet18", **options))
    path = tmp_path / "model.safetensors"
    models.save_torch_checkpoint(network, path)
    again = models.from_timm("resnet18", path, **options)
    assert_same_weights(again, network)


def test_arguments_that_say_the_same_sizes(tmp_path):
    """timm rounds the bottleneck to a multiple of eight, as it is here."""
    arrays = arrays_of(models.SEResNet50(use_bias=True), tmp_path)
    assert arrays["layer1.0.se.fc1.weight"].shape == (16, 256, 1, 1)


@pytest.mark.training
def test_after_a_step_of_training(tmp_path):
    network = models.from_timm("resnet18", classes=2, input_shape=(32, 32, 3))
    randomize(network)
    before = arrays_of(network, tmp_path)
    network.compile("sgd", "sparse_categorical_crossentropy")
    x = torch_weights.images(32).transpose(0, 2, 3, 1)
    network.train_on_batch(x, np.array([0, 1]))
    after = arrays_of(network, tmp_path)
    same = [name for name in after if np.array_equal(after[name], before[name])]
    assert all(name.endswith("num_batches_tracked") for name in same)
    again = models.from_timm("resnet18", after, classes=2)
    assert_same_weights(again, network)


def test_a_name_with_a_tag(network, expected, tmp_path):
    actual = arrays_of(network, tmp_path, "timm/seresnet18.mine")
    assert_same(actual, expected)


def test_nothing_else_changes(network, tmp_path):
    """Names of later layers, and random numbers that are drawn later."""
    name, state = layers.Activation("relu").name, random.getstate()
    models.save_torch_checkpoint(network, tmp_path / "model.safetensors")
    number = int(name.rpartition("_")[2]) if "_" in name else 0
    assert layers.Activation("relu").name == f"activation_{number + 1}"
    assert random.getstate() == state


def resnet18(**options):
    return models.from_timm("resnet18", **options)


def with_dropout():
    backbone = resnet18(include_top=False, pooling="avg")
    x = layers.Dropout(0.2)(backbone.output)
    return keras.Model(backbone.input, layers.Dense(3)(x), name="resnet18")


def with_two_outputs():
    network = resnet18()
    features = network.get_layer("layer3_1_act").output
    return keras.Model(
        network.input, [network.output, features], name="resnet18"
    )


def with_rescaling():
    x = keras.Input((64, 64, 3))
    return resnet18(input_tensor=layers.Rescaling(1 / 255)(x))


def pruned():
    return pruning.remove_channels(resnet18(), {"layer1_0_conv1": [0, 1]})


DIFFERENT = {
    "inserted": (
        lambda: insert_attention(resnet18(), SqueezeExcite()),
        r"8 problems:\n.*\(SqueezeExcite\) in place of 'layer1_0_bn2'",
    ),
    "removed": (
        lambda: remove_attention(models.from_timm("seresnet18")),
        r"'layer1_0_bn2' \(BatchNorm\w+\) in place of 'layer1_0_se'",
    ),
    "expanded": (
        lambda: expand_attention(models.from_timm("seresnet18")),
        r"\(Multiply\) in place of 'layer1_0_se' \(SqueezeExcite\)",
    ),
    "pruned": (
        pruned,
        r"'layer1_0_conv1' \(Conv2D\) with filters=62.* in place of filters=64",
    ),
    "another depth": (
        lambda: resnet18(depths=(2, 1, 2, 2)),
        r"'layer2_0_conv1_pad' .* in place of 'layer2_0_act'",
    ),
    "another pooling": (
        lambda: resnet18(stem_pool="max_ceil"),
        r"'maxpool_pad' .* with padding=\(\(0, 1\), \(0, 1\)\) in place",
    ),
    "another stride": (
        lambda: models.from_timm("seresnext50_32x4d", stride_first=True),
        r"'layer2_0_conv2' .* with strides=\(1, 1\), padding='same'",
    ),
    "no biases": (
        lambda: models.SEResNet50(),
        r"'layer1_0_se' .* with use_bias=False, .* in place of use_bias=True",
    ),
    "another width": (
        lambda: models.SEResNet18(use_bias=True),
        r"'layer1_0_se' .* with shapes=\[\(64, 4\)",
    ),
    "more layers in the head": (
        with_dropout,
        r"1 problems:\n.*'dropout.*' \(Dropout\) in place of 'avg_pool'",
    ),
    "two outputs": (with_two_outputs, "2 outputs in place of 1"),
    "rescaled": (with_rescaling, r"'rescaling.*' \(Rescaling\) in place of"),
}


@pytest.mark.parametrize(
    ("build", "message"), DIFFERENT.values(), ids=DIFFERENT
)
def test_networks_that_differ(build, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        models.save_torch_checkpoint(build(), tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_network_inside_another_model(network, tmp_path):
    outer = keras.Sequential([keras.Input((64, 64, 3)), network])
    with pytest.raises(TypeError, match=r"model.get_layer\('seresnet18'\)"):
        models.save_torch_checkpoint(outer, tmp_path / "model.safetensors")


def test_a_layer(tmp_path):
    with pytest.raises(TypeError, match="`network` must be"):
        models.save_torch_checkpoint(
            SqueezeExcite(), tmp_path / "model.safetensors"
        )


@pytest.mark.parametrize("name", ["se_resnet18", 3])
def test_a_name_that_timm_does_not_have(network, name, tmp_path):
    with pytest.raises(ValueError, match=f"`name` must be.*name={name!r}"):
        models.save_torch_checkpoint(
            network, tmp_path / "model.safetensors", name
        )


def test_a_model_with_a_name_of_its_own(network, tmp_path):
    model = keras.Model(network.input, network.output, name="flowers")
    with pytest.raises(ValueError, match=r"`name` .* the network 'flowers'"):
        models.save_torch_checkpoint(model, tmp_path / "model.safetensors")
