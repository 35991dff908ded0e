"""Our networks equal timm's: same weights, same logits, same parameters.

Batch norms have random statistics, so that a swapped pair shows.
"""

import numpy as np
import pytest
import timm
import torch

from keras_channel_attn.models import from_timm

# One of each way to build; the others differ in depth and width.
NAMES = (
    "seresnet18",
    "seresnet50",
    "seresnet50t",
    "seresnetaa50d",
    "resnetaa50",
    "seresnext26d_32x4d",
    "seresnext26t_32x4d",
    "ecaresnet26t",
    "ecaresnet50d",
    "ecaresnetlight",
    "ecaresnext26t_32x4d",
    "resnetrs50",
    "legacy_seresnet18",
    "legacy_seresnet50",
    "legacy_seresnext26_32x4d",
    "resnet26d",
    "wide_resnet50_2",
)


def randomized(name):
    network = timm.create_model(name).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            noise = torch.rand(value.shape, generator=generator)
            if key.endswith("running_var"):
                value.copy_(0.5 + noise)
            elif value.ndim == 1:
                value.copy_(noise - 0.5 + (key.endswith("weight")))
    return network


@pytest.mark.parametrize("name", NAMES)
def test_logits(name):
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
