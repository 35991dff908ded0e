"""Bytes that attention reads and writes in a training step of ResNet-50.

KERAS_BACKEND=jax python -m benchmarks.traffic --batch 32

By formula, attention reads its input once to pool it and once to multiply it,
and writes its output: three times the bytes of the input in prediction. The
gradient reads the input and the upstream gradient, then the upstream gradient
again, and writes the gradient of the input: seven times in training. The
counts of XLA for the compiled functions stand beside it. Nothing is timed.
"""

import argparse
import math

import jax
import keras

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

# Height, width and channels at the ends of the residual branches, at 224x224.
SITES = {
    (56, 56, 256): 3,
    (28, 28, 512): 4,
    (14, 14, 1024): 6,
    (7, 7, 2048): 3,
}
PREDICTION, TRAINING = 3, 7


def compiled_bytes(function, *arguments):
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled.cost_analysis()["bytes accessed"]


def bytes_of(layer, shape):
    """What XLA counts for a prediction, and for a value with its gradient."""
    layer.build(shape)
    weights = [weight.value for weight in layer.weights]
    x = jax.ShapeDtypeStruct(shape, "float32")

    def predict(weights, x):
        return layer.stateless_call(weights, [], x)[0]

    def train(weights, x, upstream):
        outputs, gradient = jax.vjp(predict, weights, x)
        return outputs, gradient(upstream)

    return (
        compiled_bytes(predict, weights, x),
        compiled_bytes(train, weights, x, x),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=32)
    batch = parser.parse_args().batch
    print(f"Keras {keras.__version__}, jax {jax.__version__}, float32")
    print("| site | number | input, MB | SE | ECA |")
    print("|---|---|---|---|---|")
    total = 0
    for site, number in SITES.items():
        shape = (batch, *site)
        size = 4 * math.prod(shape)
        total += number * size
        ratios = [
            " and ".join(
                f"{count / size:.2f}" for count in bytes_of(layer, shape)
            )
            for layer in (SqueezeExcite(), EfficientChannelAttention())
        ]
        print(
            f"| {'x'.join(map(str, site))} | {number} | {size / 1e6:.1f} | "
            f"{' | '.join(ratios)} |"
        )
    print(
        f"By formula, batch {batch}: {PREDICTION * total / 1e9:.2f} GB in "
        f"prediction, {TRAINING * total / 1e9:.2f} GB in a training step"
    )


if __name__ == "__main__":
    main()
