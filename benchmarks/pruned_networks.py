"""Multiply-adds and time of a network that loses some of its channels.

    python -m benchmarks.pruned_networks
    python -m benchmarks.pruned_networks --network MobileNetV2 --batch 8

A network of `keras.applications` with random weights, pruned by `magnitude`.
The times of the networks are taken in turn, and the shortest one of each
counts: another process on the machine makes them longer, never shorter.
"""

import argparse
import time

import keras
import numpy as np

from keras_channel_attn import model_costs
from keras_channel_attn.pruning import magnitude, prune_channels

SHARES = (1, 0.75, 0.5, 0.25)


def shortest_times(networks, images, rounds):
    """Seconds of the fastest prediction of each network."""
    times = [[] for _ in networks]
    # The first round compiles.
    for _ in range(rounds + 1):
        for network, seconds in zip(networks, times, strict=True):
            start = time.perf_counter()
            network.predict_on_batch(images)
            seconds.append(time.perf_counter() - start)
    return [min(seconds[1:]) for seconds in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--network", default="ResNet50", metavar="NAME")
    add("--size", type=int, default=128, help="of the images, in pixels")
    add("--batch", type=int, default=4, help="images in a batch")
    add("--multiple-of", type=int, default=8, help="channels that stay")
    add("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    shape = (arguments.size, arguments.size, 3)
    build = getattr(keras.applications, arguments.network)
    model = build(weights=None, input_shape=shape)
    networks = [
        prune_channels(
            model,
            magnitude,
            share,
            multiple_of=arguments.multiple_of,
            verbose=0,
        )
        for share in SHARES
    ]
    images = np.random.default_rng(0).normal(size=(arguments.batch, *shape))
    seconds = shortest_times(
        networks, images.astype("float32"), arguments.rounds
    )
    print(
        f"{arguments.network}, keras {keras.__version__}, "
        f"{keras.config.backend()}, {arguments.batch} images of "
        f"{arguments.size}x{arguments.size}, shortest of {arguments.rounds}\n"
    )
    print("| MACs | share of MACs | parameters | ms | share of time |")
    print("|---|---|---|---|---|")
    whole = model_costs(model).macs
    for network, duration in zip(networks, seconds, strict=True):
        costs = model_costs(network)
        print(
            f"| {costs.macs:,} | {costs.macs / whole:.0%} | "
            f"{costs.parameters:,} | {1000 * duration:.1f} | "
            f"{duration / seconds[0]:.0%} |"
        )


if __name__ == "__main__":
    main()
