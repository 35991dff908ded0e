"""Our networks equal timm's: same weights, same logits, same parameters."""

import sys

import numpy as np
import pytest
import torch
from peers.compare_networks import (
    LARGEST,
    build,
    difference,
    parameters,
    randomized,
    sizes_by_module,
    sizes_in_timm,
    trainable,
    without_numbers,
)

from keras_channel_attn.models import load_torch_weights
from keras_channel_attn.models.checkpoints import checkpoint_rows
from keras_channel_attn.models.timm import timm_networks

# Too large to compute.
GIANTS = {
    row["checkpoint"].partition(".")[0]
    for row in checkpoint_rows().values()
    if int(row["parameters"]) > LARGEST
}


@pytest.fixture
def deep_networks():
    """Keras walks through a network by recursion."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", sorted(timm_networks().keys() - GIANTS))
def test_logits(name, deep_networks):
    peer = randomized(name)
    ours = build(name, weights=peer.state_dict())
    assert parameters(peer) == trainable(ours)
    assert difference(ours, peer) < 1e-4


@pytest.mark.parametrize("name", sorted(GIANTS))
def test_sizes(name, deep_networks):
    """Of every module, by its name."""
    ours, peer = without_numbers(name)
    assert parameters(peer) == trainable(ours)
    modules = sizes_by_module(ours)
    assert sizes_in_timm(peer, modules) == modules


@pytest.mark.parametrize(
    "name", ["seresnet50", "ecaresnet50t", "regnety_002", "eca_nfnet_l0"]
)
def test_gradients(name):
    """Of every parameter of a whole network."""
    peer = randomized(name).double()
    ours = build(name, weights=peer.state_dict())
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(2, 3, 64, 64)))
    peer(x).sum().backward()
    ours(x.float(), training=False).sum().backward()
    # The same loader brings their gradients into our order of axes.
    gradients = {key: value.grad for key, value in peer.named_parameters()} | {
        key: value
        for key, value in peer.state_dict().items()
        if "running" in key
    }
    actual = [weight.value.grad.numpy() for weight in ours.trainable_weights]
    load_torch_weights(ours, gradients)
    for weight, gradient in zip(ours.trainable_weights, actual, strict=True):
        expected = weight.numpy()
        error = np.linalg.norm(gradient - expected)
        assert error < 1e-3 * np.linalg.norm(expected), weight.path
