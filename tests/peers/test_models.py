"""Our networks equal timm's: same weights, same logits, same parameters.

Batch norms have random statistics, so that a swapped pair shows.
"""

import sys

import numpy as np
import pytest
import timm
import torch

from keras_channel_attn.models import from_timm, load_torch_weights
from keras_channel_attn.models.timm import timm_networks


def randomized(name):
    network = timm.create_model(name).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            noise = torch.rand(value.shape, generator=generator)
            if key.endswith("running_var"):
                value.copy_(0.5 + noise)
            elif key.endswith("bias"):
                value.copy_(noise - 0.5)
            elif value.ndim == 1:
                # Branches smaller than their shortcuts: in a deep network
                # with larger ones every rounding error grows to a percent.
                value.copy_(0.2 + 0.4 * noise)
    return network


@pytest.fixture
def deep_networks():
    """Keras walks through a network by recursion."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", sorted(timm_networks()))
def test_logits(name, deep_networks):
    peer = randomized(name)
    ours = from_timm(
        name,
        peer.state_dict(),
        classifier_activation=None,
        data_format="channels_first",
    )
    parameters = sum(parameter.numel() for parameter in peer.parameters())
    assert parameters == sum(
        int(np.prod(weight.shape)) for weight in ours.trainable_weights
    )
    rng = np.random.default_rng(0)
    for size in (64, 97):
        images = rng.normal(size=(1, 3, size, size)).astype("float32")
        with torch.no_grad():
            expected = peer(torch.from_numpy(images)).numpy()
            actual = ours(images).detach().cpu().numpy()
        scale = np.abs(expected).max()
        assert np.abs(actual - expected).max() < 1e-4 * scale


@pytest.mark.parametrize("name", ["seresnet50", "ecaresnet50t"])
def test_gradients(name):
    """Of every parameter of a whole network."""
    peer = randomized(name).double()
    ours = from_timm(
        name,
        peer.state_dict(),
        classifier_activation=None,
        data_format="channels_first",
    )
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
