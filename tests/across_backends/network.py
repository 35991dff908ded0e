"""One network, written or read by the backend of this process.

    python network.py write FOLDER
    python network.py read FOLDER [FOLDER ...]

`write` trains it a little, so that no weight is as it was initialized, and
leaves it in FOLDER as files of each kind with an input and the outputs. `read`
prints, as JSON, how far the outputs are from those that were written.
"""

import json
import pathlib
import sys

import keras
import numpy as np

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

SHAPE = (12, 10, 3)


def network():
    """Convolutions, every layer, a nested model and a shared layer."""
    image = {"data_format": "channels_last"}
    inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(16, 3, activation="relu", **image)(inputs)
    x = SqueezeExcite(4, use_bias=True, **image)(x)
    x = keras.layers.Conv2D(24, 3, activation="relu", **image)(x)
    shared = EfficientChannelAttention(padding="circular", **image)
    # Keras cannot load a layer shared by a model and one nested in it.
    block_inputs = keras.Input((None, None, 24))
    y = SqueezeExcite(divisor=8, identity_start=True, **image)(block_inputs)
    block = keras.Model(block_inputs, EfficientChannelAttention(3, **image)(y))
    x = shared(block(block(shared(x))))
    x = EfficientChannelAttention(5, pooling="avg_max_mean", **image)(x)
    x = LinearSqueezeExcite(groups=4, use_bias=True, **image)(x)
    x = EfficientChannelAttention(
        pooling="avg_max_separate", shared_kernel=False, **image
    )(x)
    x = SqueezeGate(**image)(x)
    x = keras.layers.GlobalAveragePooling2D(**image)(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def write(folder):
    keras.utils.set_random_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, *SHAPE)).astype("float32")
    model = network()
    model.compile("adam", "mse")
    model.fit(x, rng.normal(size=(8, 3)), epochs=2, verbose=0)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    (folder / "model.json").write_text(model.to_json())
    np.savez(folder / "arrays.npz", x=x, y=outputs(model, x))


def outputs(model, x):
    return keras.ops.convert_to_numpy(model(x))


def load_keras_file(folder):
    return keras.models.load_model(folder / "model.keras")


def load_weights_file(folder):
    model = network()
    model.load_weights(folder / "model.weights.h5")
    return model


def load_json_and_weights(folder):
    model = keras.models.model_from_json((folder / "model.json").read_text())
    model.load_weights(folder / "model.weights.h5")
    return model


READERS = {
    "keras_file": load_keras_file,
    "weights_file": load_weights_file,
    "json_and_weights": load_json_and_weights,
}


def read(folder):
    arrays = np.load(folder / "arrays.npz")
    return {
        kind: float(
            np.abs(outputs(load(folder), arrays["x"]) - arrays["y"]).max()
        )
        for kind, load in READERS.items()
    }


if __name__ == "__main__":
    command, *folders = sys.argv[1:]
    folders = [pathlib.Path(folder) for folder in folders]
    if command == "write":
        write(folders[0])
    else:
        print(json.dumps({folder.name: read(folder) for folder in folders}))
