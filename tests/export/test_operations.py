"""The operations in exported files, where some runtimes lack others."""

import collections

import keras
import numpy as np
import pytest
from export.files import Row
from support.configurations import built

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

# The GPU delegate of LiteRT has no EXPAND_DIMS, and in float16 it overflows in
# SUM. MAXIMUM with an infinite constant makes 8-bit quantization inexact.
OPERATIONS = {
    "avg": "MEAN FULLY_CONNECTED FULLY_CONNECTED LOGISTIC RESHAPE MUL",
    "max": "REDUCE_MAX FULLY_CONNECTED FULLY_CONNECTED LOGISTIC RESHAPE MUL",
}


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("multiplier", [1, 30])
@pytest.mark.parametrize("pooling", OPERATIONS)
def test_operations_of_litert(pooling, multiplier, tmp_path):
    """The product of a weight and its multiplier is a constant."""
    inputs = keras.Input((4, 5, 8))
    layer = SqueezeExcite(
        4,
        use_bias=True,
        pooling=pooling,
        learning_rate_multiplier=multiplier,
    )
    row = Row("tensorflow", "litert", "free")
    path = row.write(keras.Model(inputs, layer(inputs)), tmp_path)
    assert operations_of_litert(path) == OPERATIONS[pooling].split()


@pytest.mark.backend("tensorflow", "torch")
def test_a_multiplier_is_no_operation_in_openvino(tmp_path):
    counts = []
    for multiplier in (1, 30):
        inputs = keras.Input((4, 5, 8))
        x = EfficientChannelAttention(learning_rate_multiplier=multiplier)(
            inputs
        )
        x = SqueezeExcite(4, learning_rate_multiplier=multiplier)(x)
        row = Row(keras.config.backend(), "openvino", "free")
        path = row.write(keras.Model(inputs, x), tmp_path)
        counts.append(operations_of_openvino(path))
    assert counts[0] == counts[1]


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


def operations_of_openvino(path):
    """How many operations of each kind an OpenVINO file has."""
    import openvino

    operations = openvino.Core().read_model(path).get_ops()
    return collections.Counter(x.get_type_name() for x in operations)
