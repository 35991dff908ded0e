"""Files that need Keras only, loaded where the package is not installed."""

import subprocess
import sys

import numpy as np

LOAD = """
import sys
sys.modules["keras_channel_attn"] = None  # Every import of it fails.
import keras, numpy as np
model = keras.models.load_model("model.keras")
outputs = model(np.load("inputs.npy"), training=False)
np.save("outputs.npy", keras.ops.convert_to_numpy(outputs))
"""


def outputs_without_the_package(model, inputs, folder):
    """The outputs of the saved model, computed by a process without it."""
    model.save(folder / "model.keras")
    np.save(folder / "inputs.npy", inputs)
    result = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return np.load(folder / "outputs.npy")
