"""
Title: Channel attention in a functional model
Date created: 2026/11/21
Description: Both layers in a small network: trained, saved and loaded again.

Runs in seconds on any backend, on the handwritten digits that come with
scikit-learn. For a whole task, see `transfer_learning.py`.

    pip install "keras-channel-attn[examples]"
    python examples/functional_model.py
"""

import os
import tempfile
from importlib.util import find_spec

# Keras takes TensorFlow if nobody says otherwise, installed or not.
if "KERAS_BACKEND" not in os.environ and not find_spec("tensorflow"):
    os.environ["KERAS_BACKEND"] = "torch" if find_spec("torch") else "jax"

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

keras.utils.set_random_seed(0)
digits = load_digits()
images = (digits.images[..., np.newaxis] / 16).astype("float32")
train_images, test_images, train_labels, test_labels = train_test_split(
    images, digits.target, stratify=digits.target, random_state=0
)

inputs = keras.Input((8, 8, 1))
x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
x = SqueezeExcite(reduction=8)(x)
x = layers.MaxPooling2D()(x)
x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
x = EfficientChannelAttention()(x)
x = layers.Flatten()(x)
outputs = layers.Dense(10, activation="softmax")(x)
model = keras.Model(inputs, outputs)
model.summary()

model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(train_images, train_labels, epochs=10, verbose=2)
_, accuracy = model.evaluate(test_images, test_labels, verbose=0)
print(f"Accuracy on {len(test_images)} test images: {accuracy:.1%}")

# The import above has registered the layers: no `custom_objects` needed.
with tempfile.TemporaryDirectory() as folder:
    model.save(f"{folder}/digits.keras")
    loaded = keras.saving.load_model(f"{folder}/digits.keras")
np.testing.assert_allclose(
    loaded.predict(test_images, verbose=0),
    model.predict(test_images, verbose=0),
    rtol=1e-5,
    atol=1e-6,
)
print("The loaded model makes the same predictions.")
