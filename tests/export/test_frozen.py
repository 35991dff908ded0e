"""Exported files of frozen attention: the outputs, and no pooling.

In the network without a head all pooling is that of the attention.
"""

import keras
import numpy as np
import pytest
from export.files import ROWS, Row, rows_of_this_backend
from keras import layers
from support.networks import randomize

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    freeze_attention,
)

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


def network():
    """Factors in a normalization, in a convolution, and in a layer."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="first")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = SqueezeExcite(2, name="before")(x)
    x = layers.Conv2D(8, 3, activation="swish")(x)
    x = EfficientChannelAttention(name="after")(x)
    x = y = layers.Conv2D(8, 3, activation="swish")(x)
    x = layers.Add()([SqueezeExcite(2, name="layer")(x), y])
    return randomize(keras.Model(inputs, x))


@pytest.fixture
def frozen(rng):
    images = rng.normal(size=(16, 8, 8, 3)).astype("float32")
    model = freeze_attention(network(), images, verbose=0)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Rescaling") == 1
    return model


@pytest.mark.parametrize("row", rows_of_this_backend(ROWS), ids=str)
def test_outputs(frozen, row, rng, tmp_path):
    inputs = [
        rng.normal(size=(batch, 8, 8, 3)).astype("float32")
        for batch in row.batch_sizes()
    ]
    expected = [keras.ops.convert_to_numpy(frozen(x)) for x in inputs]
    run = row.read(row.write(frozen, tmp_path))
    for x, outputs in zip(inputs, expected, strict=True):
        np.testing.assert_allclose(
            run(x), outputs, rtol=0, atol=1e-4 * outputs.std()
        )


def kinds_in_onnx(path):
    import onnx

    return {node.op_type for node in onnx.load(path).graph.node}


def kinds_in_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    # No public function lists them.
    details = Interpreter(path)._get_ops_details()
    return {operation["op_name"] for operation in details}


def kinds_in_saved_model(path):
    import tensorflow as tf

    signature = tf.saved_model.load(path).signatures["serving_default"]
    definition = signature.graph.as_graph_def()
    nodes = [*definition.node]
    for function in definition.library.function:
        nodes += function.node_def
    return {node.op for node in nodes}


def kinds_in_torch(path):
    import torch

    nodes = torch.export.load(path).graph.nodes
    return {str(node.target) for node in nodes}


@pytest.mark.parametrize(
    ("row", "kinds_in", "pooling"),
    [
        pytest.param(row, kinds_in, pooling, id=str(row))
        for row, kinds_in, pooling in (
            (
                Row("tensorflow", "tf_saved_model", "free"),
                kinds_in_saved_model,
                {"Mean", "AvgPool"},
            ),
            (
                Row("tensorflow", "litert", "free"),
                kinds_in_litert,
                {"MEAN", "AVERAGE_POOL_2D", "SUM"},
            ),
            (
                Row("torch", "torch", "free"),
                kinds_in_torch,
                {"aten.mean.dim"},
            ),
            *(
                (
                    Row(backend, "onnx", "free"),
                    kinds_in_onnx,
                    {"ReduceMean", "GlobalAveragePool", "ReduceSum"},
                )
                for backend in ("tensorflow", "torch", "jax")
            ),
        )
        if row.backend == keras.config.backend()
    ],
)
def test_no_pooling(frozen, row, kinds_in, pooling, rng, tmp_path):
    """The network as it was has some, so that the test sees it."""
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    found = []
    for name, model in (("frozen", frozen), ("original", network())):
        model(images)
        (tmp_path / name).mkdir()
        found.append(kinds_in(row.write(model, tmp_path / name)))
    assert not found[0] & pooling
    assert found[1] & pooling
