"""How networks are trained and tested: one way for all rows of a study.

Labels are one per image or one per pixel.
"""

import time

import keras
import numpy as np

from experiments.pixels import IGNORED

TEST_BATCH = 1000
TIMED_BATCH = 16
TIMED_CALLS = 100


def train(
    model,
    images,
    labels,
    plan,
    learning_rate,
    seed,
    callbacks=(),
    optimizer=keras.optimizers.Adam,
):
    """Train; the plan has `batch_size` and `epochs`.

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
        optimizer(rate),
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
    # Called directly: `predict` would compile each of the many models.
    predicted = [
        keras.ops.argmax(model(images[start : start + TEST_BATCH]), axis=-1)
        for start in range(0, len(images), TEST_BATCH)
    ]
    predicted = np.concatenate(
        [keras.ops.convert_to_numpy(batch) for batch in predicted]
    )
    known = labels != IGNORED
    return round(float(np.mean(predicted[known] == labels[known])), 6)


def milliseconds(model, images):
    """CPU time of the shortest of several predictions of 16 images.

    Not the time that has passed: other processes may use the machine.
    """
    batch = images[:TIMED_BATCH]
    model.predict_on_batch(batch)  # This one compiles.
    seconds = []
    for _ in range(TIMED_CALLS):
        start = time.process_time()
        model.predict_on_batch(batch)
        seconds.append(time.process_time() - start)
    return round(1000 * min(seconds), 4)
