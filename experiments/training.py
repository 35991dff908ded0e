"""How networks are trained and tested: one way for all rows of a study.

Labels are one per image or one per pixel.
"""

import time

import keras
import numpy as np

from experiments.pixels import IGNORED

TEST_BATCH = 1000
TIMED_BATCH = 16
TIMED_CALLS = 30


def train(model, images, labels, plan, learning_rate, seed, callbacks=()):
    """Train with Adam; the plan has `batch_size` and `epochs`.

    Returns the `History` of Keras.
    """
    # An incomplete last batch would be compiled separately. It is left out,
    # unless it is the only one.
    steps = max(1, len(images) // plan.batch_size)
    used = slice(steps * plan.batch_size)
    # The rate falls to zero, so that the last epoch is as good as any other.
    rate = keras.optimizers.schedules.CosineDecay(
        learning_rate, plan.epochs * steps
    )
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
    )
    # Attention has drawn random numbers, but all rows need the same order of
    # images.
    keras.utils.set_random_seed(seed)
    known = labels != IGNORED
    return model.fit(
        images[used],
        np.where(known, labels, 0)[used],
        sample_weight=known.astype("float32")[used],
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        verbose=0,
        callbacks=list(callbacks),
    )


def accuracy(model, images, labels):
    """Of the images or pixels that have a label, the share that is right."""
    probabilities = model.predict(images, batch_size=TEST_BATCH, verbose=0)
    known = labels != IGNORED
    right = probabilities.argmax(axis=-1)[known] == labels[known]
    return round(float(right.mean()), 6)


def milliseconds(model, images):
    """The shortest of several predictions of a batch of 16 images."""
    batch = images[:TIMED_BATCH]
    model.predict_on_batch(batch)  # This one compiles.
    seconds = []
    for _ in range(TIMED_CALLS):
        start = time.perf_counter()
        model.predict_on_batch(batch)
        seconds.append(time.perf_counter() - start)
    # Other processes on the machine can only make a prediction slower.
    return round(1000 * min(seconds), 4)
