"""timm loads what we save, strictly, and computes the same logits."""

import pathlib
import re

import keras
import numpy as np
import pytest
import timm
import torch
from peers.compare_networks import randomized
from peers.test_models import GIANTS
from safetensors.torch import load_file, load_model, save_file

import keras_channel_attn
from keras_channel_attn.models import from_timm, save_torch_checkpoint
from keras_channel_attn.models.timm import timm_networks

FIRST = {"classifier_activation": None, "data_format": "channels_first"}
TRAINED = (
    "seresnet18",
    "ecaresnet26t",
    "legacy_seresnet18",
    "seresnext26t_32x4d",
    "gcresnext26ts",
    "regnety_002",
    "ese_vovnet19b_slim_dw",
    "eca_nfnet_l0",
)


@pytest.fixture
def path(tmp_path):
    """A file that is removed: all of them are gigabytes."""
    path = tmp_path / "model.safetensors"
    yield path
    path.unlink(missing_ok=True)


def assert_same_logits(network, peer, images):
    with torch.no_grad():
        expected = network(images, training=False).detach().cpu().numpy()
        actual = peer.eval()(torch.from_numpy(images)).numpy()
    assert np.abs(actual - expected).max() < 1e-4 * np.abs(expected).max()


def images(channels=3, batch=2):
    shape = batch, channels, 64, 64
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize("name", sorted(timm_networks().keys() - GIANTS))
def test_there_and_back(name, path):
    """Every tensor has the same bytes, but for the counters of batches."""
    peer = randomized(name).state_dict()
    save_torch_checkpoint(from_timm(name, peer), path)
    loaded = timm.create_model(name, checkpoint_path=path).state_dict()
    for key, expected in peer.items():
        assert torch.equal(loaded[key], expected), key
    # No name is missing that timm adds itself while it loads.
    assert load_file(path).keys() == peer.keys()


@pytest.mark.parametrize("name", TRAINED)
def test_logits_after_training(name, path):
    network = from_timm(name, randomized(name).state_dict(), **FIRST)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(1e-3), loss)
    before = network.get_weights()
    network.train_on_batch(images(), np.array([1, 2]))
    # A unit that no ReLU passes, or whose gate is saturated, learns nothing.
    same = map(np.array_equal, before, network.get_weights())
    assert np.mean([*same]) < 0.5
    save_torch_checkpoint(network, path)
    assert_same_logits(
        network, timm.create_model(name, checkpoint_path=path), images()
    )


# Our arguments, and those of timm for the same network.
ARGUMENTS = {
    "classes": ({"classes": 7}, {"num_classes": 7}),
    "no dense layer": (
        {"include_top": False, "pooling": "avg"},
        {"num_classes": 0},
    ),
    "maximum": (
        {"include_top": False, "pooling": "max"},
        {"num_classes": 0, "global_pool": "max"},
    ),
    "feature map": (
        {"include_top": False},
        {"num_classes": 0, "global_pool": ""},
    ),
    "channels": ({"input_shape": (4, 64, 64)}, {"in_chans": 4}),
}


@pytest.mark.parametrize(("ours", "theirs"), ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("name", ["seresnet18", "legacy_seresnet18"])
def test_arguments_of_timm(name, ours, theirs, path):
    network = from_timm(name, **{**FIRST, **ours})
    save_torch_checkpoint(network, path)
    peer = timm.create_model(name, checkpoint_path=path, **theirs)
    assert_same_logits(network, peer, images(theirs.get("in_chans", 3)))


def test_other_ways_to_load(path):
    """`load_state_dict`, and the function of safetensors."""
    network = from_timm("ecaresnet26t", **FIRST)
    save_torch_checkpoint(network, path)
    peer = timm.create_model("ecaresnet26t")
    keys = peer.load_state_dict(load_file(path), strict=True)
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    assert_same_logits(network, peer, images())
    assert load_model(timm.create_model("ecaresnet26t"), path) == (set(), [])


PAGE = pathlib.Path(__file__).parents[2] / "docs" / "models.md"


def test_code_of_the_page(tmp_path, monkeypatch):
    """Both directions, in the lines of the section `Back to timm`."""
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text()
    section = page.partition("\n## Back to timm\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    weights = timm.create_model("seresnet50").state_dict()
    save_file(weights, "from_timm.safetensors")
    x, y = images().transpose(0, 2, 3, 1), np.array([1, 2])
    names = {"models": keras_channel_attn.models, "x": x, "y": y}
    exec(compile(block, PAGE.name, "exec"), names)
    expected = names["network"].get_layer("fc").get_weights()[1]
    actual = names["peer"].fc.bias.detach().numpy()
    np.testing.assert_array_equal(actual, expected)
    assert not np.array_equal(actual, weights["fc.bias"].numpy())
