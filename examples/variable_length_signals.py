"""
Title: Channel attention on signals of variable length
Date created: 2026/11/25
Description: With a mask, padding changes neither the gates nor the predictions.

Nine men say the same two Japanese vowels. A network is to recognize the
speaker from 7 to 29 frames of 12 coefficients. Signals in a batch are padded to
the same length; an average over all frames, as channel attention takes it,
would depend on the padding. A mask excludes the padding from the average.

The data (Kudo, Toyama and Shimbo, "Multidimensional curve classification using
passing-through regions", 1999; UCI Machine Learning Repository) is a part of
the package aeon. Only its data files are read, so its dependencies are not
needed:

    pip install --no-deps aeon
    KERAS_BACKEND=jax python examples/variable_length_signals.py

Set the environment variable `KERAS_BACKEND` to `tensorflow`, `torch` or `jax`,
whichever is installed.
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    mask_after_convolution,
)

"""
## The data

A line of the file is an utterance: 12 comma-separated series of equal length
and the number of the speaker, separated by colons.
"""

aeon = find_spec("aeon")  # Finds the package without importing it.
if aeon is None:
    sys.exit("The data is a part of aeon: pip install --no-deps aeon")
folder = Path(aeon.origin).parent / "datasets/data/JapaneseVowels"


def read(part):
    """The signals of a file, a list of arrays (frames, 12), and the labels."""
    text = (folder / f"JapaneseVowels_{part}.ts").read_text("utf-8")
    signals, labels = [], []
    for line in text.splitlines():
        if line and line[0] not in "#@":
            *series, label = line.split(":")
            rows = [np.array(one.split(","), "float32") for one in series]
            signals.append(np.stack(rows, axis=-1))
            labels.append(int(label) - 1)
    return signals, np.array(labels)


def pad(signals, length):
    """One array (signals, length, 12), with zeros at the ends of signals."""
    padded = np.zeros((len(signals), length, 12), "float32")
    for row, signal in zip(padded, signals, strict=True):
        row[: len(signal)] = signal
    return padded


train_signals, train_labels = read("TRAIN")
test_signals, test_labels = read("TEST")
lengths = [len(signal) for signal in train_signals + test_signals]
longest = max(lengths)
print(
    f"{len(train_signals)} signals to train with, {len(test_signals)} to test "
    f"with, of {min(lengths)} to {longest} frames"
)

"""
## The network

A frame that holds nothing but zeros is padding. The mask is passed to each
attention layer and to the pooling at the end. Convolutions know no mask, and
mix neighboring frames: the padding is set to zero again after each of them.

The second convolution has strides, and `mask_after_convolution` returns the
mask of its output. With `padding="same"` Keras would choose where the first
window begins by the padded length, so that even and odd lengths would give
other outputs: the zeros at both ends are added by a layer instead.
"""


def network(mask_in_attention=True):
    inputs = keras.Input((None, 12))
    mask = ops.any(ops.not_equal(inputs, 0), axis=-1)
    x = inputs
    for attention, strides in (
        (SqueezeExcite(reduction=8), 1),
        (EfficientChannelAttention(), 2),
    ):
        x = layers.ZeroPadding1D(2)(x)
        x = layers.Conv1D(64, 5, strides=strides, activation="relu")(x)
        mask = mask_after_convolution(mask, 5, strides, padding=2)
        x = attention(x, mask=mask if mask_in_attention else None)
        signal = ops.cast(ops.expand_dims(mask, -1), "float32")
        x = layers.Multiply()([x, signal])
    x = layers.GlobalAveragePooling1D()(x, mask=mask)
    x = layers.Dropout(0.3)(x)
    return keras.Model(inputs, layers.Dense(9, activation="softmax")(x))


keras.utils.set_random_seed(0)
model = network()
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(pad(train_signals, longest), train_labels, epochs=40, verbose=2)
test = pad(test_signals, longest)
_, accuracy = model.evaluate(test, test_labels, verbose=0)
print(f"Accuracy on {len(test)} test signals: {accuracy:.1%}")

"""
## More padding

The same signals, padded to an even and to an odd length, and the same weights:
first with the mask, then in a network whose attention averages over the padding
too.
"""

more_padding = [pad(test_signals, 2 * longest + extra) for extra in (0, 1)]
unmasked = network(mask_in_attention=False)
unmasked.set_weights(model.get_weights())


def largest_change(network):
    """The largest change of a probability by more padding."""
    before = network.predict(test, verbose=0)
    return max(
        np.abs(network.predict(padded, verbose=0) - before).max()
        for padded in more_padding
    )


print(f"Largest change by padding, with a mask:    {largest_change(model):.6f}")
print(
    f"Largest change by padding, without a mask: {largest_change(unmasked):.6f}"
)

"""
## Saving and loading

The mask is computed inside of the model, and is saved with it.
"""

with tempfile.TemporaryDirectory() as temporary:
    model.save(f"{temporary}/speakers.keras")
    loaded = keras.saving.load_model(f"{temporary}/speakers.keras")
np.testing.assert_allclose(
    loaded.predict(more_padding[1], verbose=0),
    model.predict(test, verbose=0),
    rtol=1e-4,
    atol=1e-5,
)
print("The loaded model makes the same predictions.")
