"""
Title: Channel attention in a functional model
Date created: 2026/11/21
Description: Both layers in a small network: trained, saved and loaded again.

The smallest complete example, on the handwritten digits that scikit-learn
carries. It runs in seconds on any backend; set the environment variable
`KERAS_BACKEND` to `tensorflow`, `torch` or `jax`, whichever is installed.

    pip install ".[examples,jax]"
    KERAS_BACKEND=jax python examples/functional_model.py
"""

import tempfile

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

"""
## The data

1,797 images of 8x8 pixels with values from 0 to 16.
"""

keras.utils.set_random_seed(0)
digits = load_digits()
images = (digits.images[..., np.newaxis] / 16).astype("float32")
train_images, test_images, train_labels, test_labels = train_test_split(
    images, digits.target, stratify=digits.target, random_state=0
)

"""
## The network

An attention layer follows a convolution. Its output has the shape of its
input: each channel is multiplied by a gate between 0 and 1, which depends on
the whole image. `reduction` is the ratio between the number of channels and
the width of the bottleneck; `EfficientChannelAttention` needs no argument.
"""

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

"""
## Training
"""

model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(train_images, train_labels, epochs=10, verbose=2)
_, accuracy = model.evaluate(test_images, test_labels, verbose=0)
print(f"Accuracy on {len(test_images)} test images: {accuracy:.1%}")

"""
## Saving and loading

Importing `keras_channel_attn` registers its layers with Keras: `load_model`
needs no `custom_objects`.
"""

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
