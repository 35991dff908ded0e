"""Time of `attention_report` for a network with sixteen SE layers.

    python -m benchmarks.report
    python -m benchmarks.report --images 64 --size 96

SE-ResNet-50 with random weights, on random images.
"""

import argparse
import time

import keras
import numpy as np

from keras_channel_attn import attention_report, models


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--size", type=int, default=160)
    options = parser.parse_args()
    shape = (options.size, options.size, 3)
    model = models.SEResNet50(input_shape=shape)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(options.images, *shape)).astype("float32")
    # What a backend prepares for the first batch is timed with the rest.
    start = time.perf_counter()
    predictions = model.predict(images, verbose=0)
    once = time.perf_counter() - start
    start = time.perf_counter()
    report = attention_report(model, images, verbose=0)
    seconds = time.perf_counter() - start
    print(
        f"{keras.config.backend()}: {len(predictions)} images of {shape}, "
        f"{len(report.layers)} layers of attention: report {seconds:.0f} s, "
        f"predict {once:.1f} s, {seconds / once:.0f} times as long"
    )


if __name__ == "__main__":
    main()
