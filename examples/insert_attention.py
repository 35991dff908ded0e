"""
Title: Where attention goes in a network of keras.applications
Date created: 2026/11/22
Description: Lists the sites and draws the graph before and after insertion.

    python examples/insert_attention.py ResNet50
    python examples/insert_attention.py ResNet50 \\
        --from pool1_pool --until conv2_block1_out
    python examples/insert_attention.py VGG16 --where "block?_conv2"
    python examples/insert_attention.py MobileNetV2 --attention ECA

The weights are random, nothing is downloaded. The pictures are made by
`keras.utils.plot_model`. It needs pydot, which the extra `examples` installs,
and the program Graphviz (package `graphviz` in apt and Homebrew). Set the
environment variable `KERAS_BACKEND` to `tensorflow`, `torch` or `jax`.
"""

import argparse
from fnmatch import fnmatchcase
from inspect import isfunction
from pathlib import Path

import keras
import numpy as np

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    insert_attention,
)

MECHANISMS = {"SE": SqueezeExcite, "ECA": EfficientChannelAttention}
NETWORKS = {
    name: network
    for name, network in vars(keras.applications).items()
    if isfunction(network)
}

parser = argparse.ArgumentParser(description="Attention in keras.applications.")
parser.add_argument("name", choices=sorted(NETWORKS), metavar="NAME")
parser.add_argument(
    "--where",
    nargs="+",
    metavar="PATTERN",
    help="names of layers that attention follows, * and ? allowed; without it "
    "attention goes to the end of each residual branch",
)
parser.add_argument("--attention", choices=MECHANISMS, default="SE")
parser.add_argument(
    "--from", dest="first", metavar="LAYER", help="draw from its output on"
)
parser.add_argument(
    "--until", metavar="LAYER", help="draw the graph up to this layer"
)
parser.add_argument("--output", type=Path, default="outputs", metavar="DIR")
arguments = parser.parse_args()

"""
## Insertion

A site is a layer whose output is attended to. It is chosen by name, by a
predicate, or by `"residual"`: the end of each residual branch. The callable
`attention_sites` only lists the sites; `insert_attention` returns a new model
and leaves the original as it is.
"""


def matches(layer):
    return any(fnmatchcase(layer.name, name) for name in arguments.where)


# TensorFlow has no convolution with channels first on a CPU.
keras.config.set_image_data_format("channels_last")
where = matches if arguments.where else "residual"
attention = MECHANISMS[arguments.attention](identity_start=True)
try:
    model = NETWORKS[arguments.name](weights=None)
    first = model.get_layer(arguments.first or model.layers[0].name)
    last = model.get_layer(arguments.until or model.layers[-1].name)
    sites = attention_sites(model, where)
    attended = insert_attention(model, attention, where)
except ValueError as error:
    parser.error(str(error))

try:
    keras.Model(first.output, last.output)
except ValueError:
    parser.error(
        f"the outputs of {first.name} alone do not give those of {last.name}: "
        "name as --from a layer that all paths to --until pass through"
    )
try:
    arguments.output.mkdir(parents=True, exist_ok=True)
except OSError as error:
    parser.error(str(error))

print(f"{model.name} has {len(sites)} sites. Attention follows the layers:")
for site in sites:
    print(f"  {site}")
count = model.count_params()
print(f"Parameters: {count:,}, attention: {attended.count_params() - count:,}")

"""
## The identity start

With `identity_start=True` each gate is exactly 1 at first. The new network
gives the same outputs until it is trained.
"""

shape = [size or 64 for size in model.input.shape[1:]]
noise = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
before, after = (
    keras.ops.convert_to_numpy(network(noise)) for network in (model, attended)
)
print(f"Largest difference of an output: {np.abs(after - before).max()}")

"""
## The graph before and after

The graph of a deep network makes a tall picture: `--from` and `--until` choose
a part of it, such as one block.
"""

for when, network in (("before", model), ("after", attended)):
    path = arguments.output / f"{arguments.name}_{when}.png"
    part = keras.Model(
        network.get_layer(first.name).output,
        network.get_layer(last.name).output,
    )
    try:
        keras.utils.plot_model(part, path, show_layer_names=True, dpi=80)
    except ImportError as error:
        print(f"No pictures: {error}")
        break
    print(f"Written: {path}")
