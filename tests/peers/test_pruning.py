"""The same groups as Torch-Pruning, and the same outputs after removal."""

import numpy as np
import pytest
import timm
import torch
import torch_pruning
from torch import nn

from keras_channel_attn.models import from_timm
from keras_channel_attn.pruning import channel_groups, remove_channels

SIZE = 64


def both(name):
    """The network of timm, and ours with its weights."""
    peer = random_weights(timm.create_model(name))
    ours = from_timm(
        name,
        peer.state_dict(),
        classifier_activation=None,
        data_format="channels_first",
    )
    return peer, ours


def random_weights(network):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            noise = torch.rand(value.shape, generator=generator)
            if key.endswith("running_var"):
                value.copy_(0.5 + noise)
            elif value.ndim == 1:
                value.copy_(0.2 + 0.4 * noise)
    return network.eval()


def dependency_graph(peer):
    example = torch.zeros(1, 3, SIZE, SIZE)
    return torch_pruning.DependencyGraph().build_dependency(peer, example)


def makers_of(graph, peer, name):
    """Names of the modules whose outputs are pruned with those of another."""
    names = {module: name for name, module in peer.named_modules()}
    group = graph.get_pruning_group(
        peer.get_submodule(name), torch_pruning.prune_conv_out_channels, [0]
    )
    return {
        names[dependency.target.module]
        for dependency, _ in group
        if graph.is_out_channel_pruning_fn(dependency.handler)
        and isinstance(dependency.target.module, nn.Conv2d)
    }


@pytest.mark.parametrize("name", ["resnet50", "seresnet50"])
def test_same_groups(name):
    """Squeeze-and-Excitation is convolutions there, and one layer here."""
    peer, ours = both(name)
    graph = dependency_graph(peer)
    groups = [x for x in channel_groups(ours).values() if not x.locked]
    assert len(groups) == 1 + 16 * 2 + 4
    for group in groups:
        names = {name.replace("_", ".") for name in group.producers}
        theirs = makers_of(graph, peer, group.producers[0].replace("_", "."))
        assert names == {name for name in theirs if ".se." not in name}


@pytest.mark.parametrize("name", ["resnet50", "seresnet50"])
def test_same_outputs(name):
    """A third of the channels of each group removed, silent or not."""
    peer, ours = both(name)
    rng = np.random.default_rng(0)
    removed = {
        group.name: rng.permutation(group.channels)[: group.channels // 3]
        for group in channel_groups(ours).values()
        if not group.locked
    }
    for group, channels in removed.items():
        dependency_graph(peer).get_pruning_group(
            peer.get_submodule(group.replace("_", ".")),
            torch_pruning.prune_conv_out_channels,
            channels.tolist(),
        ).prune()
    narrower = remove_channels(ours, removed)
    images = rng.normal(size=(1, 3, SIZE, SIZE)).astype("float32")
    with torch.no_grad():
        expected = peer(torch.from_numpy(images)).numpy()
        actual = narrower(images).detach().cpu().numpy()
    scale = np.abs(expected).max()
    assert np.abs(actual - expected).max() < 1e-4 * scale
