"""The promise of CONTRIBUTING: a file that was saved once loads for ever."""

import functools
import hashlib
import json
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_channel_attn  # noqa: F401, registers the layers

GOLDEN = pathlib.Path(__file__).parent / "golden"


# Written once, with the oldest supported Keras, and never again: users have
# files like these.
DIGESTS = {
    "golden.keras": (
        "681a1e3a9a96b4ff6027108759919bb8d30e13b31634a74b5a8f35ca5b21a8de"
    ),
    "variants.keras": (
        "6cf5a5a8ede2626231c9fac866b7828bae45494b6046c423ca6f70aa5144bd80"
    ),
    "positions.keras": (
        "7390d219ffe8a9d2197a524ddca999f9cdc5b9c778112a63eadc8013a2b0912a"
    ),
    "convolutions.keras": (
        "6e2a78b9d22872c449a02a65f874410d60a4f9a4d43b317eaf2976e759ae795a"
    ),
    "photographs.keras": (
        "6defe58b6de2766de820dc6190611a20773d392bfaa4bfa81f55cac2285aa2d8"
    ),
}


@pytest.mark.parametrize("file", DIGESTS)
def test_file_is_unchanged(file):
    digest = hashlib.sha256((GOLDEN / file).read_bytes()).hexdigest()
    assert digest == DIGESTS[file]


@functools.cache
def golden_model(file):
    return keras.models.load_model(GOLDEN / f"{file}.keras")


@pytest.mark.parametrize(
    "file", ["golden", "variants", "positions", "convolutions", "photographs"]
)
def test_loads_and_computes_the_same(file):
    model = golden_model(file)
    arrays = np.load(GOLDEN / f"{file}.npz")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(arrays["x"])),
        arrays["y"],
        rtol=1e-5,
        atol=1e-6,
    )


COMMON = {
    "data_format",
    "dtype",
    "gate_activation",
    "identity_start",
    "name",
    "pooling",
    "trainable",
}
KERNEL = {"kernel_constraint", "kernel_initializer", "kernel_regularizer"}
AFFINE = {
    *KERNEL,
    "bias_constraint",
    "bias_initializer",
    "bias_regularizer",
    "use_bias",
}
SQUEEZE_EXCITE = {
    *COMMON,
    *AFFINE,
    "activation",
    "bottleneck_units",
    "divisor",
    "reduction",
}
FIRST_EFFICIENT = {*COMMON, *KERNEL, "b", "gamma", "kernel_size", "padding"}
EFFICIENT = {*FIRST_EFFICIENT, "shared_kernel"}
SPATIAL = SQUEEZE_EXCITE - {"pooling"}
# A file may have fewer keys than a layer of the current version writes.
FROZEN = {
    ("golden", "SqueezeExcite"): SQUEEZE_EXCITE,
    ("golden", "EfficientChannelAttention"): FIRST_EFFICIENT,
    ("variants", "SqueezeExcite"): SQUEEZE_EXCITE,
    ("variants", "EfficientChannelAttention"): EFFICIENT,
    ("variants", "LinearSqueezeExcite"): {*COMMON, *AFFINE, "groups"},
    ("variants", "SqueezeGate"): COMMON,
    ("positions", "ConvolutionalBlockAttention"): {
        *SPATIAL,
        "kernel_size",
        "batch_normalization",
    },
    ("positions", "ConcurrentSqueezeExcite"): {*SPATIAL, "combination"},
    ("positions", "CoordinateAttention"): {*SPATIAL, "batch_normalization"},
    ("positions", "GlobalContext"): {*SPATIAL, "fuse"},
    ("convolutions", "ScaledStandardizedConv2D"): {
        *AFFINE,
        "activation",
        "activation_gain",
        "activity_regularizer",
        "data_format",
        "dilation_rate",
        "dtype",
        "epsilon",
        "filters",
        "gain_initializer",
        "groups",
        "kernel_size",
        "name",
        "padding",
        "strides",
        "trainable",
    },
    ("photographs", "ImagePreprocessing"): {
        "crop",
        "data_format",
        "dtype",
        "interpolation",
        "mean",
        "name",
        "size",
        "standard_deviation",
        "trainable",
    },
}
# What a layer cannot be made without.
REQUIRED = {"ScaledStandardizedConv2D": (8, 3)}
# The newest file has the keys that the current version writes.
NEWEST = {name: keys for (_, name), keys in FROZEN.items()}


def config_keys(file, name):
    with zipfile.ZipFile(GOLDEN / f"{file}.keras") as archive:
        config = json.loads(archive.read("config.json"))
    keys = [
        set(layer["config"])
        for layer in config["config"]["layers"]
        if layer["registered_name"] == f"keras_channel_attn>{name}"
    ]
    assert keys
    return keys


@pytest.mark.parametrize(("file", "name"), FROZEN)
def test_config_keys_of_the_file(file, name):
    for keys in config_keys(file, name):
        assert keys == FROZEN[file, name]


@pytest.mark.parametrize("name", NEWEST)
def test_config_keys_of_the_current_version(name):
    layer_class = keras.saving.get_registered_object(
        f"keras_channel_attn>{name}"
    )
    layer = layer_class(*REQUIRED.get(name, ()))
    assert set(layer.get_config()) == NEWEST[name]


WEIGHTS = {
    "golden": {
        "layers/squeeze_excite/vars/0": (32, 8),
        "layers/squeeze_excite/vars/1": (8,),
        "layers/squeeze_excite/vars/2": (8, 32),
        "layers/squeeze_excite/vars/3": (32,),
        "layers/efficient_channel_attention/vars/0": (3, 1, 1),
        "layers/squeeze_excite_1/vars/0": (32, 3),
        "layers/squeeze_excite_1/vars/1": (3, 32),
        "layers/efficient_channel_attention_1/vars/0": (5, 1, 1),
    },
    "variants": {
        "layers/linear_squeeze_excite/vars/0": (32, 32),
        "layers/linear_squeeze_excite/vars/1": (32,),
        "layers/linear_squeeze_excite_1/vars/0": (8, 32),
        "layers/linear_squeeze_excite_2/vars/0": (1, 32),
        "layers/efficient_channel_attention/vars/0": (3, 32),
        "layers/efficient_channel_attention_1/vars/0": (5, 32),
        "layers/squeeze_excite/vars/0": (32, 8),
        "layers/squeeze_excite/vars/1": (8, 32),
    },
    "convolutions": {
        "layers/scaled_standardized_conv2d/vars/0": (3, 3, 16, 8),
        "layers/scaled_standardized_conv2d/vars/1": (8,),
        "layers/scaled_standardized_conv2d/vars/2": (8,),
        "layers/scaled_standardized_conv2d_1/vars/0": (1, 1, 8, 6),
        "layers/scaled_standardized_conv2d_1/vars/1": (6,),
    },
    "positions": {
        "layers/concurrent_squeeze_excite/vars/0": (32, 4),
        "layers/concurrent_squeeze_excite/vars/1": (4,),
        "layers/concurrent_squeeze_excite/vars/2": (4, 32),
        "layers/concurrent_squeeze_excite/vars/3": (32,),
        "layers/concurrent_squeeze_excite/vars/4": (32, 1),
        "layers/concurrent_squeeze_excite/vars/5": (1,),
        "layers/concurrent_squeeze_excite_1/vars/0": (32, 4),
        "layers/concurrent_squeeze_excite_1/vars/1": (4, 32),
        "layers/concurrent_squeeze_excite_1/vars/2": (32, 1),
        "layers/concurrent_squeeze_excite_2/vars/0": (32, 1),
        "layers/convolutional_block_attention/vars/0": (32, 8),
        "layers/convolutional_block_attention/vars/1": (8, 32),
        "layers/convolutional_block_attention/vars/2": (3, 3, 2, 1),
        "layers/convolutional_block_attention_1/vars/0": (32, 3),
        "layers/convolutional_block_attention_1/vars/1": (3,),
        "layers/convolutional_block_attention_1/vars/2": (3, 32),
        "layers/convolutional_block_attention_1/vars/3": (32,),
        "layers/convolutional_block_attention_1/vars/4": (7, 7, 2, 1),
        "layers/convolutional_block_attention_1/vars/5": (1,),
        "layers/convolutional_block_attention_1/vars/6": (1,),
        "layers/convolutional_block_attention_1/vars/7": (1,),
        "layers/convolutional_block_attention_1/vars/8": (1,),
        "layers/coordinate_attention/vars/0": (32, 4),
        "layers/coordinate_attention/vars/1": (4,),
        "layers/coordinate_attention/vars/2": (4,),
        "layers/coordinate_attention/vars/3": (4, 32),
        "layers/coordinate_attention/vars/4": (4, 32),
        "layers/coordinate_attention/vars/5": (4,),
        "layers/coordinate_attention/vars/6": (4,),
        "layers/coordinate_attention_1/vars/0": (32, 8),
        "layers/coordinate_attention_1/vars/1": (8,),
        "layers/coordinate_attention_1/vars/2": (8, 32),
        "layers/coordinate_attention_1/vars/3": (32,),
        "layers/coordinate_attention_1/vars/4": (8, 32),
        "layers/coordinate_attention_1/vars/5": (32,),
        "layers/global_context/vars/0": (32, 1),
        "layers/global_context/vars/1": (1,),
        "layers/global_context/vars/2": (32, 4),
        "layers/global_context/vars/3": (4,),
        "layers/global_context/vars/4": (4,),
        "layers/global_context/vars/5": (4,),
        "layers/global_context/vars/6": (4, 32),
        "layers/global_context/vars/7": (32,),
        "layers/global_context_1/vars/0": (32, 1),
        "layers/global_context_1/vars/1": (32, 4),
        "layers/global_context_1/vars/2": (4,),
        "layers/global_context_1/vars/3": (4,),
        "layers/global_context_1/vars/4": (4, 32),
    },
}


@pytest.mark.parametrize("file", WEIGHTS)
def test_weight_paths_of_the_file_and_of_the_current_version(tmp_path, file):
    """A `.keras` file finds weights by class name and order of creation."""
    with zipfile.ZipFile(GOLDEN / f"{file}.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    model = golden_model(file)
    model.save_weights(tmp_path / "today.weights.h5")
    assert datasets(tmp_path / "model.weights.h5") == WEIGHTS[file]
    assert datasets(tmp_path / "today.weights.h5") == WEIGHTS[file]


def datasets(path):
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item.shape

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "golden",
            [
                "first/reduce_kernel",
                "first/reduce_bias",
                "first/expand_kernel",
                "first/expand_bias",
                "second/kernel",
                "third/reduce_kernel",
                "third/expand_kernel",
                "efficient_channel_attention/kernel",
            ],
        ),
        (
            "variants",
            [
                "first/kernel",
                "first/bias",
                "second/kernel",
                "third/kernel",
                "fifth/kernel",
                "sixth/kernel",
                "seventh/reduce_kernel",
                "seventh/expand_kernel",
            ],
        ),
        (
            "convolutions",
            [
                "first/kernel",
                "first/bias",
                "first/gain",
                "second/kernel",
                "second/gain",
            ],
        ),
        (
            "positions",
            [
                "convolutional_block_attention/reduce_kernel",
                "convolutional_block_attention/expand_kernel",
                "convolutional_block_attention/spatial_kernel",
                "convolutional_block_attention_1/reduce_kernel",
                "convolutional_block_attention_1/reduce_bias",
                "convolutional_block_attention_1/expand_kernel",
                "convolutional_block_attention_1/expand_bias",
                "convolutional_block_attention_1/spatial_kernel",
                "convolutional_block_attention_1/gamma",
                "convolutional_block_attention_1/beta",
                "convolutional_block_attention_1/moving_mean",
                "convolutional_block_attention_1/moving_variance",
                "concurrent_squeeze_excite/reduce_kernel",
                "concurrent_squeeze_excite/reduce_bias",
                "concurrent_squeeze_excite/expand_kernel",
                "concurrent_squeeze_excite/expand_bias",
                "concurrent_squeeze_excite/spatial_kernel",
                "concurrent_squeeze_excite/spatial_bias",
                "concurrent_squeeze_excite_1/reduce_kernel",
                "concurrent_squeeze_excite_1/expand_kernel",
                "concurrent_squeeze_excite_1/spatial_kernel",
                "concurrent_squeeze_excite_2/spatial_kernel",
                "coordinate_attention/reduce_kernel",
                "coordinate_attention/gamma",
                "coordinate_attention/beta",
                "coordinate_attention/expand_kernel_0",
                "coordinate_attention/expand_kernel_1",
                "coordinate_attention/moving_mean",
                "coordinate_attention/moving_variance",
                "coordinate_attention_1/reduce_kernel",
                "coordinate_attention_1/reduce_bias",
                "coordinate_attention_1/expand_kernel_0",
                "coordinate_attention_1/expand_bias_0",
                "coordinate_attention_1/expand_kernel_1",
                "coordinate_attention_1/expand_bias_1",
                "global_context/context_kernel",
                "global_context/context_bias",
                "global_context/reduce_kernel",
                "global_context/reduce_bias",
                "global_context/gamma",
                "global_context/beta",
                "global_context/expand_kernel",
                "global_context/expand_bias",
                "global_context_1/context_kernel",
                "global_context_1/reduce_kernel",
                "global_context_1/gamma",
                "global_context_1/beta",
                "global_context_1/expand_kernel",
            ],
        ),
    ],
)
def test_weight_names(file, expected):
    model = golden_model(file)
    assert [weight.path for weight in model.weights] == expected
