"""Compare networks with timm's of the same names, and print a table.

    KERAS_BACKEND=torch python tests/peers/compare_networks.py
    KERAS_BACKEND=torch python tests/peers/compare_networks.py "regnety_0*"

Both networks have the same random weights, carried through a state dict. The
difference is the largest one of the logits, divided by the largest logit, for
images of 64 and of 97 pixels. The seconds are those of building the network
here and of loading the state dict. Networks with more than `--largest`
parameters are compared by the names and sizes of their modules alone, without
numbers in memory.
"""

import argparse
import sys
import time

import keras
import numpy as np
import timm
import torch

from keras_channel_attn import models
from keras_channel_attn.models.layer_names import torch_module_name

LARGEST = 300e6
SIZES = (64, 97)
HEADER = """\
| network | parameters | in timm | difference | build, s | load, s |
|---|---|---|---|---|---|"""


def randomized(name):
    """timm's network, with other weights than those that it starts with.

    Batch norms have random statistics, so that a swapped pair shows.
    """
    network = timm.create_model(name).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            noise = torch.rand(value.shape, generator=generator)
            if key.endswith(("running_var", ".gain")):
                value.copy_(0.5 + noise)
            elif key.endswith("bias"):
                value.copy_(noise - 0.5)
            elif key == "head.fc.weight":
                # timm starts it so small that the biases decide.
                value.copy_((noise - 0.5) * value.shape[1] ** -0.5 * 12)
            elif value.ndim == 1:
                # Branches smaller than their shortcuts: in a deep network
                # with larger ones every rounding error grows to a percent.
                value.copy_(0.2 + 0.4 * noise)
    return network


def build(name, **arguments):
    return models.from_timm(
        name,
        classifier_activation=None,
        data_format="channels_first",
        **arguments,
    )


def difference(ours, peer):
    """The largest difference of the logits as a share of the largest one."""
    rng = np.random.default_rng(0)
    shares = []
    for size in SIZES:
        images = rng.normal(size=(1, 3, size, size)).astype("float32")
        with torch.no_grad():
            expected = peer(torch.from_numpy(images)).numpy()
            actual = ours(images).detach().cpu().numpy()
        largest = np.abs(expected).max()
        shares.append(np.abs(actual - expected).max() / largest)
    return max(shares)


def parameters(peer):
    return sum(parameter.numel() for parameter in peer.parameters())


def trainable(ours):
    return sum(int(np.prod(weight.shape)) for weight in ours.trainable_weights)


def without_numbers(name):
    """Both networks on torch's device `meta`."""
    with torch.device("meta"):
        peer = timm.create_model(name)
    with keras.device("meta"):
        ours = build(name)
    return ours, peer


def sizes_by_module(ours):
    """Dictionary from torch's name of each layer to its number of weights."""
    return {
        torch_module_name(layer.name): layer.count_params()
        for layer in ours.layers
        if layer.weights
    }


def sizes_in_timm(peer, modules):
    """The same of timm's network; weights in no module count for `None`."""
    sizes = {}
    for key, value in peer.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        module = key.rpartition(".")[0]
        while module and module not in modules:
            module = module.rpartition(".")[0]
        sizes[module or None] = sizes.get(module or None, 0) + value.numel()
    return sizes


def row(name, largest):
    ours, peer = without_numbers(name)
    here, there = trainable(ours), parameters(peer)
    cells = [f"`{name}`", f"{here:,}", f"{there:,}"]
    if there > largest:
        modules = sizes_by_module(ours)
        same = sizes_in_timm(peer, modules) == modules
        return [*cells, "same modules" if same else "other modules", "", ""]
    peer = randomized(name)
    start = time.perf_counter()
    ours = build(name)
    built = time.perf_counter()
    models.load_torch_weights(ours, peer.state_dict())
    loaded = time.perf_counter()
    return [
        *cells,
        f"{difference(ours, peer):.1e}",
        f"{built - start:.1f}",
        f"{loaded - built:.1f}",
    ]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("patterns", nargs="*", default=["*"])
    parser.add_argument("--largest", type=float, default=LARGEST)
    arguments = parser.parse_args()
    # Keras walks through a network by recursion.
    sys.setrecursionlimit(20_000)
    print(HEADER, flush=True)
    for name in models.list_models(arguments.patterns):
        print(f"| {' | '.join(row(name, arguments.largest))} |", flush=True)


if __name__ == "__main__":
    main()
