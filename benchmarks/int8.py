"""What `model.quantize("int8")` of Keras would gain for Squeeze-and-Excitation.

    python -m benchmarks.int8 --backend jax

Keras has 8-bit integers for `Dense`, and none for the layers of this library.
The two linear maps of Squeeze-and-Excitation are timed here as two `Dense`
layers, in float32 and in int8, for the numbers of channels at the end of the
first and of the last stage of ResNet-50. A batch has eight descriptors.
"""

import argparse
import os
import time
import warnings

REPEATS = 300


def parsed():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--backend", choices=("jax", "tensorflow", "torch"), required=True
    )
    return parser.parse_args()


def linear_maps(channels):
    from keras import Input, Model, layers

    inputs = Input((channels,))
    x = layers.Dense(channels // 16, activation="relu", use_bias=False)(inputs)
    x = layers.Dense(channels, activation="sigmoid", use_bias=False)(x)
    return Model(inputs, x)


def milliseconds(model, batch):
    """The median time of a prediction."""
    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        model.predict_on_batch(batch)
        seconds.append(time.perf_counter() - start)
    # The first call compiles.
    return 1000 * sorted(seconds[1:])[REPEATS // 2]


def main():
    backend = parsed().backend
    os.environ["KERAS_BACKEND"] = backend

    import numpy as np

    print("| backend | channels | float32, ms | int8, ms |\n|---|---|---|---|")
    for channels in (256, 2048):
        model = linear_maps(channels)
        batch = np.random.default_rng(0).normal(size=(8, channels))
        batch = batch.astype("float32")
        before = milliseconds(model, batch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of layers that are no `Dense`.
            model.quantize("int8")
        after = milliseconds(model, batch)
        print(f"| {backend} | {channels} | {before:.2f} | {after:.2f} |")


if __name__ == "__main__":
    main()
