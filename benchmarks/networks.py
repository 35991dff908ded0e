"""What attention costs inside a ResNet-50: the time of a training step.

    python -m benchmarks.networks --backend torch

One network without attention, one with SE and one with ECA at the end of each
residual branch, timed in turn; on torch, timm's in the same run. Prints
milliseconds and what attention adds.
"""

import argparse

from benchmarks.layers import THREADS, median, prepare, versions
from benchmarks.timing import tell, time_in_turn


def resnet50(attention, size):
    """ResNet-50 with `attention()` before each addition, or without."""
    import keras
    from keras import layers

    def convolution(x, filters, kernel_size, strides=1):
        x = layers.Conv2D(
            filters, kernel_size, strides, padding="same", use_bias=False
        )(x)
        return layers.BatchNormalization()(x)

    def block(x, filters, strides):
        shortcut = x
        if strides > 1 or x.shape[-1] != 4 * filters:
            shortcut = convolution(x, 4 * filters, 1, strides)
        x = layers.ReLU()(convolution(x, filters, 1))
        x = layers.ReLU()(convolution(x, filters, 3, strides))
        x = convolution(x, 4 * filters, 1)
        if attention is not None:
            x = attention()(x)
        return layers.ReLU()(layers.Add()([x, shortcut]))

    inputs = keras.Input((size, size, 3))
    x = layers.ReLU()(convolution(inputs, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for stage, depth in enumerate((3, 4, 6, 3)):
        for index in range(depth):
            strides = 2 if stage > 0 and index == 0 else 1
            x = block(x, 64 * 2**stage, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1000)(x))


def keras_steps(batch, size):
    """Dictionary from a name to a training step of that network."""
    import keras
    import numpy as np

    from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, size, size, 3)).astype("float32")
    y = rng.integers(0, 1000, size=batch)

    def step(attention):
        model = resnet50(attention, size)
        model.compile(
            keras.optimizers.SGD(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return lambda: model.train_on_batch(x, y)

    return {
        "ours none": step(None),
        "ours SE": step(SqueezeExcite),
        "ours ECA": step(EfficientChannelAttention),
    }


def timm_steps(batch, size):
    """The same for timm, whose ECA network has a deeper stem ("d")."""
    import timm
    import torch

    x = torch.randn(batch, 3, size, size)
    y = torch.randint(0, 1000, (batch,))

    def step(name):
        model = timm.create_model(name).train()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)

        def run():
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

        return run

    return {
        f"timm {name}": step(name)
        for name in ("resnet50", "seresnet50", "resnet50d", "ecaresnet50d")
    }


ADDED = (
    ("ours SE", "ours none"),
    ("ours ECA", "ours none"),
    ("timm seresnet50", "timm resnet50"),
    ("timm ecaresnet50d", "timm resnet50d"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend", choices=("tensorflow", "torch", "jax"), required=True
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=160)
    chosen = parser.parse_args()
    prepare(chosen.backend)
    tell("building the networks")
    steps = keras_steps(chosen.batch, chosen.size)
    if chosen.backend == "torch":
        steps.update(timm_steps(chosen.batch, chosen.size))
    tell("timing")
    times = time_in_turn(steps, chosen.rounds, seconds=0)
    medians = {name: median(values) for name, values in times.items()}
    print(
        f"Training step on {chosen.backend}, batch {chosen.batch}, "
        f"{chosen.size}x{chosen.size}, {THREADS} threads, "
        f"{versions(chosen.backend)}\n"
    )
    print("| network | ms | added |\n|---|---|---|")
    plain = dict(ADDED)
    for name, value in medians.items():
        added = ""
        if name in plain:
            added = f"{value / medians[plain[name]] - 1:+.1%}"
        print(f"| {name} | {1e3 * value:.0f} | {added} |")


if __name__ == "__main__":
    main()
