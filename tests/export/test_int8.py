"""Networks in 8-bit integers: the operations in the file, and the outputs."""

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import randomize

from experiments.exported import RUNTIMES, export, predictions
from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    expand_attention,
    fuse_attention,
)

pytestmark = [
    pytest.mark.backend("tensorflow"),
    # The converters warn about much that is not ours.
    pytest.mark.filterwarnings("ignore"),
]

LAST = {"data_format": "channels_last"}
# What is between the convolution before the attention and the one after it.
ATTENTION = {
    "control": (None, ""),
    "se": (SqueezeExcite(4, **LAST), "MEAN CONV_2D CONV_2D LOGISTIC MUL"),
    "se_hard": (
        SqueezeExcite(4, gate_activation="hard_sigmoid", **LAST),
        # relu6(x + 3) / 6: the 3 is in the bias, relu6 in the convolution.
        "MEAN CONV_2D CONV_2D MUL MUL",
    ),
    "se_max": (
        SqueezeExcite(4, pooling="max", **LAST),
        "REDUCE_MAX CONV_2D CONV_2D LOGISTIC MUL",
    ),
    "eca": (
        EfficientChannelAttention(3, **LAST),
        "MEAN RESHAPE CONV_2D LOGISTIC RESHAPE MUL",
    ),
    "linear": (LinearSqueezeExcite(**LAST), "MEAN CONV_2D LOGISTIC MUL"),
}
# The mean error over the standard deviation of the outputs. The control, two
# convolutions alone, has 0.012 in both runtimes.
TOLERANCE = 0.02


def network(attention):
    """Two convolutions, with attention between them."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu", **LAST)(inputs)
    if attention is not None:
        x = type(attention).from_config(attention.get_config())(x)
    x = layers.Conv2D(16, 3, **LAST)(x)
    model = randomize(keras.Model(inputs, layers.Flatten()(x)))
    return model if attention is None else expand_attention(model)


def images(count=64):
    rng = np.random.default_rng(0)
    return rng.uniform(size=(count, 8, 8, 3)).astype("float32")


def operations(path):
    """Names of the operations in a LiteRT file, in their order."""
    from ai_edge_litert.interpreter import Interpreter

    # No public function lists them.
    details = Interpreter(str(path))._get_ops_details()
    return [operation["op_name"] for operation in details]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ATTENTION)
def test_outputs(name, runtime, tmp_path):
    model = network(ATTENTION[name][0])
    path = export(model, runtime, tmp_path, images())
    expected = keras.ops.convert_to_numpy(model(images()))
    error = np.abs(predictions(path, images()) - expected).mean()
    assert error < TOLERANCE * expected.std()


@pytest.mark.parametrize("name", ATTENTION)
def test_operations(name, tmp_path):
    attention, expected = ATTENTION[name]
    path = export(network(attention), "LiteRT", tmp_path, images())
    _, *between, last, _ = [
        operation
        for operation in operations(path)
        if operation not in ("DELEGATE", "QUANTIZE", "DEQUANTIZE")
    ]
    assert last == "CONV_2D"
    assert between == expected.split()


def test_operations_of_a_whole_network(tmp_path):
    """GPU delegates have no EXPAND_DIMS, and SUM overflows in float16."""
    model = keras.applications.MobileNetV3Small(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    expanded = expand_attention(fuse_attention(model))
    found = set(operations(export(expanded, "LiteRT", tmp_path)))
    assert {"MEAN", "CONV_2D"} < found
    assert not found & {"SUM", "EXPAND_DIMS"}
