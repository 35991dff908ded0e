"""Time to list attention sites, to insert attention, and to prune.

    python -m benchmarks.surgery
    python -m benchmarks.surgery --networks ResNet50 InceptionResNetV2

For networks of `keras.applications` with random weights, beside what Keras
needs to clone the same network without its weights.
"""

import argparse
import statistics
import time

import keras

from keras_channel_attn import (
    EfficientChannelAttention,
    attention_sites,
    insert_attention,
)
from keras_channel_attn.pruning import magnitude, prune_channels

NETWORKS = (
    "ResNet50",
    "InceptionResNetV2",
    "ResNet152",
    "DenseNet201",
    "EfficientNetB7",
    "NASNetMobile",
)


def seconds(function, rounds):
    """Median time of a call."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def is_convolution(layer):
    return isinstance(layer, keras.layers.Conv2D)


def row(name, size, rounds):
    build = getattr(keras.applications, name)
    model = build(weights=None, include_top=False, input_shape=(size, size, 3))
    attention = EfficientChannelAttention(identity_start=True)
    try:
        where, sites = "residual", len(attention_sites(model))
    except ValueError:
        # DenseNet concatenates; it has no residual branches.
        where, sites = (
            is_convolution,
            len(attention_sites(model, is_convolution)),
        )
    return {
        "network": name,
        "layers": len(model.layers),
        "where": "residual" if where == "residual" else "convolutions",
        "sites": sites,
        "attention_sites, s": seconds(
            lambda: attention_sites(model, where), rounds
        ),
        "insert_attention, s": seconds(
            lambda: insert_attention(model, attention, where), rounds
        ),
        "prune_channels, s": seconds(
            lambda: prune_channels(model, magnitude, verbose=0), rounds
        ),
        "clone_model, s": seconds(
            lambda: keras.models.clone_model(model), rounds
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    add("--size", type=int, default=128, help="of the images, in pixels")
    add("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(
        f"keras {keras.__version__}, {keras.config.backend()}, images of "
        f"{arguments.size}x{arguments.size}, median of {arguments.rounds}\n"
    )
    header = None
    for name in arguments.networks:
        columns = row(name, arguments.size, arguments.rounds)
        if header is None:
            header = list(columns)
            print("| " + " | ".join(header) + " |")
            print("|" + "---|" * len(header))
        cells = [
            f"{value:.3f}" if isinstance(value, float) else str(value)
            for value in columns.values()
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
