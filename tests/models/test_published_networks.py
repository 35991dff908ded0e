"""timm's networks, compared with stored outputs of timm: golden/make_logits.py.

Here each network has few blocks; `tests/peers` compares whole networks with
timm itself.
"""

import json
import pathlib

import keras
import numpy as np
import pytest
from support import torch_weights
from support.autodiff import outputs_and_gradients

from keras_channel_attn import models
from keras_channel_attn.models.layer_names import torch_module_name
from keras_channel_attn.models.timm import timm_networks

TIMM = json.loads(
    (pathlib.Path(__file__).parents[1] / "golden" / "timm.json").read_text()
)
NETWORKS = TIMM["networks"]
# Each weight is loaded from an array.
pytestmark = pytest.mark.usefixtures("zero_weights")
# Those that have each kind of block, stem, shortcut and attention; the others
# are combinations of these.
FEW = (
    "eca_nfnet_l0",
    "ecaresnet26t",
    "ese_vovnet19b_slim",
    "ese_vovnet19b_slim_dw",
    "gcresnet33ts",
    "legacy_senet154",
    "legacy_seresnet18",
    "regnety_004",
    "resnet18d",
    "resnetaa50d",
    "resnext26ts",
    "seresnet18",
    "seresnext26t_32x4d",
)
OVER_NETWORKS = [
    name if name in FEW else pytest.param(name, marks=pytest.mark.slow)
    for name in NETWORKS
]
DIFFERENTIATED = [name for name in NETWORKS if "gradients" in NETWORKS[name]]
# TensorFlow convolves no channels_first images on a CPU.
CHANNELS_FIRST = keras.config.backend() in ("torch", "jax")


def network(name, data_format="channels_last"):
    weights = torch_weights.filled(NETWORKS[name]["shapes"])
    return models.from_timm(
        name,
        weights,
        depths=torch_weights.few_blocks(name),
        classes=5,
        classifier_activation=None,
        data_format=data_format,
    )


def images(size, data_format="channels_last"):
    x = torch_weights.images(size)
    return x if data_format == "channels_first" else x.transpose(0, 2, 3, 1)


def test_every_name_is_held_to_timm():
    names = [name for network in NETWORKS.values() for name in network["names"]]
    assert sorted(names) == sorted(timm_networks())


def sizes(architecture):
    """As the golden file has them: the depths, and more of a RegNet."""
    known = {"depths": [*architecture["depths"]]}
    if "group_width" in architecture and "widths" in architecture:
        widths, group = architecture["widths"], architecture["group_width"]
        known["widths"] = [*widths]
        known["groups"] = [width // min(group, width) for width in widths]
    return known


def test_depths_and_widths():
    ours = {
        name: sizes(network.architecture)
        for name, network in timm_networks().items()
    }
    assert ours == TIMM["sizes"]


@pytest.mark.backend("tensorflow", "torch", "jax")
@pytest.mark.parametrize("name", OVER_NETWORKS)
def test_logits(name):
    """An even and an odd size, in both data formats if the backend has them."""
    models_by_format = {"channels_last": network(name)}
    odd = "channels_first" if CHANNELS_FIRST else "channels_last"
    if CHANNELS_FIRST:
        models_by_format[odd] = network(name, odd)
    for size, data_format in ((64, "channels_last"), (33, odd)):
        model = models_by_format[data_format]
        actual = model.predict_on_batch(images(size, data_format))
        expected = np.array(NETWORKS[name]["logits"][str(size)])
        assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()


# The names that torch has for the weights of a layer.
NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "kernel": "weight",
    "bias": "bias",
    "gain": "gain",
    "reduce_kernel": "fc1.weight",
    "reduce_bias": "fc1.bias",
    "expand_kernel": "fc2.weight",
    "expand_bias": "fc2.bias",
}


def torch_name(weight):
    layer, _, name = weight.path.rpartition("/")
    layer = torch_module_name(layer)
    if layer.endswith((".se", ".attn_last")) and name == "kernel":
        return f"{layer}.conv.weight"
    return f"{layer}.{NAMES[name]}"


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradients(name):
    """Of every parameter, compared as its product with a random array."""
    model = network(name)
    x = images(64)
    _, _, gradients = outputs_and_gradients(
        model, x, np.ones((2, 5), "float32"), training=False
    )
    by_name = {
        torch_name(weight): np.asarray(gradient, "float64")
        for weight, gradient in zip(
            model.trainable_weights, gradients, strict=True
        )
    }
    expected = NETWORKS[name]["gradients"]
    assert by_name.keys() == expected.keys()
    # Arranged as checkpoints are: so are the projections.
    models.load_torch_weights(
        model, torch_weights.projections(NETWORKS[name]["shapes"])
    )
    for weight in model.trainable_weights:
        key = torch_name(weight)
        projection = keras.ops.convert_to_numpy(weight)
        actual = (by_name[key] * projection).sum()
        tolerance = 1e-4 * np.linalg.norm(by_name[key])
        assert abs(actual - expected[key]) < tolerance, key


NAMES_FILE = pathlib.Path(__file__).parents[1] / "golden" / "names.json"
NAMED = json.loads(NAMES_FILE.read_text())


@pytest.mark.parametrize("name", NAMED)
def test_names_are_those_of_saved_files(name):
    model = models.from_timm(name, depths=torch_weights.few_blocks(name))
    layers = [layer.name for layer in model.layers[1:]]
    assert layers == NAMED[name]["layers"]
    weights = [weight.path for weight in model.weights]
    assert weights == NAMED[name]["weights"]
