"""The promise of CONTRIBUTING: a file that was saved once loads for ever."""

import json
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_channel_attn  # noqa: F401, registers the layers

GOLDEN = pathlib.Path(__file__).parent / "golden"


def test_loads_and_computes_the_same():
    model = keras.models.load_model(GOLDEN / "golden.keras")
    arrays = np.load(GOLDEN / "golden.npz")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(arrays["x"])),
        arrays["y"],
        rtol=1e-5,
        atol=1e-6,
    )


SQUEEZE_EXCITE = {
    "activation",
    "bias_constraint",
    "bias_initializer",
    "bias_regularizer",
    "bottleneck_units",
    "data_format",
    "divisor",
    "dtype",
    "gate_activation",
    "identity_start",
    "kernel_constraint",
    "kernel_initializer",
    "kernel_regularizer",
    "name",
    "pooling",
    "reduction",
    "trainable",
    "use_bias",
}
EFFICIENT = {
    "b",
    "data_format",
    "dtype",
    "gamma",
    "gate_activation",
    "identity_start",
    "kernel_constraint",
    "kernel_initializer",
    "kernel_regularizer",
    "kernel_size",
    "name",
    "padding",
    "pooling",
    "trainable",
}


@pytest.mark.parametrize(
    ("name", "config_keys"),
    [
        ("SqueezeExcite", SQUEEZE_EXCITE),
        ("EfficientChannelAttention", EFFICIENT),
    ],
)
def test_config_keys_of_the_file_and_of_today(name, config_keys):
    with zipfile.ZipFile(GOLDEN / "golden.keras") as archive:
        config = json.loads(archive.read("config.json"))
    layers = [
        layer
        for layer in config["config"]["layers"]
        if layer["class_name"] == name
    ]
    assert len(layers) == 2
    for layer in layers:
        assert layer["registered_name"] == f"keras_channel_attn>{name}"
        assert set(layer["config"]) == config_keys
    registered = keras.saving.get_registered_object(
        f"keras_channel_attn>{name}"
    )
    assert set(registered().get_config()) == config_keys


def test_weight_paths_of_the_file_and_of_today(tmp_path):
    """A `.keras` file finds weights by class name and order of creation."""
    with zipfile.ZipFile(GOLDEN / "golden.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    model = keras.models.load_model(GOLDEN / "golden.keras")
    model.save_weights(tmp_path / "today.weights.h5")
    golden = datasets(tmp_path / "model.weights.h5")
    assert golden == {
        "layers/squeeze_excite/vars/0": (32, 8),
        "layers/squeeze_excite/vars/1": (8,),
        "layers/squeeze_excite/vars/2": (8, 32),
        "layers/squeeze_excite/vars/3": (32,),
        "layers/efficient_channel_attention/vars/0": (3, 1, 1),
        "layers/squeeze_excite_1/vars/0": (32, 3),
        "layers/squeeze_excite_1/vars/1": (3, 32),
        "layers/efficient_channel_attention_1/vars/0": (5, 1, 1),
    }
    assert datasets(tmp_path / "today.weights.h5") == golden


def datasets(path):
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item.shape

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_weight_names():
    model = keras.models.load_model(GOLDEN / "golden.keras")
    assert [weight.path for weight in model.weights] == [
        "first/reduce_kernel",
        "first/reduce_bias",
        "first/expand_kernel",
        "first/expand_bias",
        "second/kernel",
        "third/reduce_kernel",
        "third/expand_kernel",
        "efficient_channel_attention/kernel",
    ]
