"""
Title: Where attention goes in a network of keras.applications
Date created: 2026/11/22
Description: Prints the sites, and draws the graph before and after.

    pip install "keras-channel-attn[examples]" pydot
    python examples/insert_attention.py ResNet50
    python examples/insert_attention.py ResNet50 --until conv2_block1_out
    python examples/insert_attention.py VGG16 --where "block?_conv2"
    python examples/insert_attention.py MobileNetV2 --attention ECA

Without `--where` the sites are the ends of the residual branches. The whole
graph of a deep network is a tall picture: `--until` draws it up to a layer.

The pictures are Keras' own, of `keras.utils.plot_model`. They need pydot and
the program Graphviz. Weights are random, nothing is downloaded.
"""

import argparse
import os
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

# Keras takes TensorFlow if nobody says otherwise, installed or not.
if "KERAS_BACKEND" not in os.environ and not find_spec("tensorflow"):
    os.environ["KERAS_BACKEND"] = "torch" if find_spec("torch") else "jax"

import applications
import keras
import numpy as np
from outputs import written_whole

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    insert_attention,
)

MECHANISMS = {"SE": SqueezeExcite, "ECA": EfficientChannelAttention}


def sites_of(patterns):
    """What `insert_attention` takes as `where`."""
    if patterns is None:
        return "residual"
    return lambda layer: any(
        fnmatchcase(layer.name, pattern) for pattern in patterns
    )


def largest_change(model, attended):
    """Of a prediction for noise, by the insertion."""
    shape = [size or 64 for size in model.input.shape[1:]]
    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape))
    before, after = (
        keras.ops.convert_to_numpy(one(noise.astype("float32")))
        for one in (model, attended)
    )
    return np.abs(after - before).max()


def check_layer(model, name):
    known = [layer.name for layer in model.layers]
    if name is not None and name not in known:
        near = get_close_matches(name, known)
        raise ValueError(
            f"--until: {model.name} has no layer {name!r}. Near it: {near}"
        )


def draw(model, until, path):
    if until is not None:
        model = keras.Model(model.input, model.get_layer(until).output)
    with written_whole(path) as partial:
        keras.utils.plot_model(model, partial, show_layer_names=True, dpi=80)
    print(f"Written: {path}")


def parse():
    parser = argparse.ArgumentParser(
        description="Where attention goes in a network of keras.applications."
    )
    add = parser.add_argument
    add("name", help="name of the network, such as ResNet50")
    add(
        "--where",
        nargs="+",
        metavar="PATTERN",
        help="names of layers to put attention behind, * and ? allowed",
    )
    add("--attention", choices=MECHANISMS, default="SE")
    add("--until", metavar="LAYER", help="draw the graph up to this layer")
    add("--output", type=Path, default=Path("outputs"), metavar="DIR")
    return parser, parser.parse_args()


def main():
    parser, arguments = parse()
    # TensorFlow has no convolution with channels first on a CPU.
    keras.config.set_image_data_format("channels_last")
    attention = MECHANISMS[arguments.attention](identity_start=True)
    try:
        model = applications.builder(arguments.name)(weights=None)
        check_layer(model, arguments.until)
        where = sites_of(arguments.where)
        sites = attention_sites(model, where)
        attended = insert_attention(model, attention, where)
        arguments.output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    print(f"{model.name} has {len(sites)} sites. Attention goes behind:")
    print(*(f"  {site}" for site in sites), sep="\n")
    before, after = model.count_params(), attended.count_params()
    print(f"Parameters: {before:,}, and {after - before:,} of the attention.")
    print(f"Largest change of a prediction: {largest_change(model, attended)}")
    try:
        for when, one in (("before", model), ("after", attended)):
            path = arguments.output / f"{arguments.name}_{when}.png"
            draw(one, arguments.until, path)
    except ImportError as error:
        print(f"No pictures: {error}")


if __name__ == "__main__":
    main()
