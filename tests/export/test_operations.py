"""The operations in exported files, where some runtimes lack others."""

import keras
import numpy as np
import pytest
from export.files import Row
from support.configurations import built

from keras_channel_attn import SqueezeExcite

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

# The GPU delegate of LiteRT has no EXPAND_DIMS, and in float16 it overflows in
# SUM. MAXIMUM with an infinite constant makes 8-bit quantization inexact.
OPERATIONS = {
    "avg": "MEAN FULLY_CONNECTED FULLY_CONNECTED LOGISTIC RESHAPE MUL",
    "max": "REDUCE_MAX FULLY_CONNECTED FULLY_CONNECTED LOGISTIC RESHAPE MUL",
}


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("pooling", OPERATIONS)
def test_operations_of_litert(pooling, tmp_path):
    inputs = keras.Input((4, 5, 8))
    layer = SqueezeExcite(4, use_bias=True, pooling=pooling)
    row = Row("tensorflow", "litert", "free")
    path = row.write(keras.Model(inputs, layer(inputs)), tmp_path)
    assert operations_of_litert(path) == OPERATIONS[pooling].split()


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_quantized_to_8_bits(rng, pooling, tmp_path):
    """An infinite constant in the graph would get a scale of its own."""
    import tensorflow as tf

    samples = rng.normal(size=(64, 1, 8, 8, 8)).astype("float32")
    inputs = keras.Input((8, 8, 8))
    layer = built(SqueezeExcite, {"reduction": 4, "pooling": pooling})
    model = keras.Model(inputs, layer(inputs))
    path = str(tmp_path / "model.tflite")
    model.export(
        path,
        format="litert",
        verbose=False,
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ([sample] for sample in samples),
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
    )
    run = Row("tensorflow", "litert", "free").read(path)
    expected = np.stack([model(sample) for sample in samples[:20]])
    actual = np.stack([run(sample) for sample in samples[:20]])
    assert (actual - expected).std() < 0.03 * expected.std()


def operations_of_litert(path):
    """Names of the operations in a LiteRT file, in their order."""
    from ai_edge_litert.interpreter import Interpreter

    # No public function lists them.
    details = Interpreter(path)._get_ops_details()
    return [operation["op_name"] for operation in details]
