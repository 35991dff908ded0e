"""What Keras itself cannot export: a plain model fails too.

Where Keras can, these tests are skipped and say what to change.
"""

import keras
import numpy as np
import pytest
from export.files import FORMATS, LIMITS, ROWS, Row, rows_of_this_backend
from keras import layers, ops
from support.limits import known_limit

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


def plain_model():
    """Squeeze-and-Excitation that consists of Keras' own layers."""
    inputs = keras.Input((4, 5, 8))
    x = layers.Conv2D(8, 1)(inputs)
    scores = layers.GlobalAveragePooling2D()(x)
    scores = layers.Dense(8, activation="sigmoid")(scores)
    scores = layers.Reshape((1, 1, 8))(scores)
    return keras.Model(inputs, layers.Multiply()([x, scores]))


@pytest.mark.parametrize("row", rows_of_this_backend(LIMITS), ids=str)
def test_plain_model_fails_too(rng, row, tmp_path):
    model = plain_model()
    shape = (row.batch_sizes()[-1], 4, 5, 8)
    x = rng.normal(size=shape).astype("float32")
    expected = ops.convert_to_numpy(model(x))
    then = "Move the row from `LIMITS` to `ROWS`, and see docs/deployment.md."
    with known_limit(LIMITS[row], then):
        np.testing.assert_allclose(
            row.read(row.write(model, tmp_path))(x), expected, rtol=1e-3
        )


@pytest.mark.backend("jax")
def test_maximum_pooling_layers_in_onnx_fail(tmp_path):
    """What is written for `MaxPooling2D` is a file that onnxruntime refuses.

    So ResNets are not exported in this way: `test_networks.py` omits them.
    """
    row = Row("jax", "onnx", "free")
    x = np.zeros((1, 4, 4, 2), "float32")
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.MaxPooling2D()])
    model(x)
    then = "Let test_networks.py export ResNets in this way."
    with known_limit("Unsupported pooling size", then):
        row.read(row.write(model, tmp_path))(x)


def test_each_format_is_in_the_tables():
    backend = keras.config.backend()
    listed = {row.format for row in (*ROWS, *LIMITS) if row.backend == backend}
    assert listed == set(FORMATS)
