"""Multiply-adds of single layers and operations.

Each expected number is written as the product of sizes in the definition. On
PyTorch, torch's `FlopCounterMode` counts the same calls too.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    model_costs,
)

LAYERS = {
    "dense": (layers.Dense(5), (7,), 7 * 5),
    "dense on a sequence": (layers.Dense(5), (3, 4, 7), 12 * 7 * 5),
    "einsum dense": (
        layers.EinsumDense("abc,cde->abde", (None, 4, 5)),
        (3, 7),
        3 * 7 * 4 * 5,
    ),
    "einsum dense, ellipsis": (
        layers.EinsumDense("...x,xy->...y", (6,)),
        (2, 3, 7),
        2 * 3 * 7 * 6,
    ),
    "convolution 1D": (
        layers.Conv1D(6, 3, strides=2, padding="same"),
        (9, 4),
        5 * 3 * 4 * 6,
    ),
    "convolution 2D": (layers.Conv2D(6, (3, 2)), (9, 8, 4), 49 * 6 * 4 * 6),
    "convolution 3D": (layers.Conv3D(2, 3), (4, 5, 6, 3), 24 * 27 * 3 * 2),
    "grouped": (
        layers.Conv2D(6, 3, groups=2, data_format="channels_last"),
        (5, 5, 4),
        9 * 9 * 2 * 6,
    ),
    "dilated": (layers.Conv2D(6, 3, dilation_rate=2), (7, 7, 4), 9 * 9 * 24),
    "depthwise": (
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        (6, 6, 4),
        16 * 9 * 8,
    ),
    "depthwise 1D": (layers.DepthwiseConv1D(3), (6, 4), 4 * 3 * 4),
    "separable": (
        layers.SeparableConv2D(5, 3, depth_multiplier=2),
        (6, 6, 4),
        16 * (9 * 8 + 8 * 5),
    ),
    "separable 1D": (layers.SeparableConv1D(5, 3), (6, 4), 4 * (12 + 20)),
    "transposed": (
        layers.Conv2DTranspose(5, 3, strides=2),
        (4, 4, 6),
        16 * 9 * 6 * 5,
    ),
    "transposed 1D": (layers.Conv1DTranspose(5, 3), (4, 6), 4 * 3 * 6 * 5),
    "embedding": (layers.Embedding(9, 4), (6,), 0),
    "batch norm": (layers.BatchNormalization(), (6, 6, 4), 0),
    "activation": (layers.PReLU(), (6, 4), 0),
    "pooling": (layers.GlobalAveragePooling2D(), (6, 6, 4), 0),
    "RNN": (layers.SimpleRNN(5), (6, 4), 6 * (4 + 5) * 5),
    "LSTM": (layers.LSTM(5), (6, 4), 6 * 4 * (4 + 5) * 5),
    "GRU": (layers.GRU(5, return_sequences=True), (6, 4), 6 * 3 * 9 * 5),
    "stacked cells": (
        layers.RNN([layers.LSTMCell(5), layers.GRUCell(2)]),
        (6, 4),
        6 * (4 * 9 * 5 + 3 * 7 * 2),
    ),
    "bidirectional": (
        layers.Bidirectional(layers.LSTM(5)),
        (6, 4),
        2 * 6 * 4 * 9 * 5,
    ),
    "convolutional LSTM": (
        layers.ConvLSTM2D(2, 3, padding="same"),
        (3, 4, 4, 5),
        # Four gates, of the input and of the state, at each step.
        3 * 16 * 4 * 9 * (5 + 2) * 2,
    ),
    "time distributed": (
        layers.TimeDistributed(layers.Conv2D(6, 3)),
        (3, 5, 5, 4),
        3 * 9 * 9 * 4 * 6,
    ),
    "spectral normalization": (
        layers.SpectralNormalization(layers.Dense(5)),
        (7,),
        7 * 5,
    ),
    # 2 C * C / r, and the same twice for both descriptors of CBAM.
    "SE": (SqueezeExcite(reduction=4), (6, 6, 32), 2 * 32 * 8),
    "SE of CBAM": (
        SqueezeExcite(reduction=4, pooling="avg_max_separate"),
        (6, 6, 32),
        2 * 2 * 32 * 8,
    ),
    "ECA": (EfficientChannelAttention(), (6, 6, 32), 3 * 32),
    "ECA-NS": (
        EfficientChannelAttention(shared_kernel=False),
        (6, 6, 32),
        3 * 32,
    ),
    "SE-GC": (LinearSqueezeExcite(groups=4), (6, 6, 32), 32 * 32 // 4),
    "SE-Var1": (SqueezeGate(), (6, 6, 32), 0),
    "attention in time": (
        layers.TimeDistributed(SqueezeExcite(reduction=4)),
        (5, 6, 6, 32),
        5 * 2 * 32 * 8,
    ),
}


def macs(inputs, outputs):
    return model_costs(keras.Model(inputs, outputs)).macs


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    template, shape, expected = LAYERS[name]
    layer = type(template).from_config(template.get_config())
    dtype = "int32" if isinstance(layer, layers.Embedding) else None
    inputs = keras.Input(shape, dtype=dtype)
    assert macs(inputs, layer(inputs)) == expected


# On PyTorch Keras' loop over the steps of these computes some steps twice.
LOOPS = ("RNN", "stacked cells", "convolutional LSTM")
COUNTED_BY_TORCH = [
    name
    for name, (layer, _, expected) in LAYERS.items()
    # The attention layers compute some maps as sums of products.
    if expected and not isinstance(layer, ChannelAttention)
    if name not in LOOPS
]


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", COUNTED_BY_TORCH)
def test_layer_against_torch(name):
    from torch.utils.flop_counter import FlopCounterMode

    template, shape, expected = LAYERS[name]
    layer = type(template).from_config(template.get_config())
    x = keras.ops.ones((1, *shape))
    layer(x)
    with FlopCounterMode(display=False) as counter:
        layer(x)
    assert counter.get_total_flops() == 2 * expected


SEQUENCES = {"query": (6, 8), "value": (5, 7), "key": (5, 9)}


def test_multi_head_attention():
    query, value, key = (keras.Input(shape) for shape in SEQUENCES.values())
    layer = layers.MultiHeadAttention(3, 4, value_dim=2)
    outputs = layer(query, value, key=key)
    projections = 6 * 8 * 12 + 5 * 7 * 6 + 5 * 9 * 12 + 6 * 6 * 8
    products = 6 * 5 * 12 + 6 * 5 * 6
    assert macs([query, value, key], outputs) == projections + products


def test_multi_head_attention_over_two_axes():
    x = keras.Input((4, 5, 8))
    layer = layers.MultiHeadAttention(2, 3, attention_axes=(1, 2))
    assert macs(x, layer(x, x)) == 4 * 20 * 8 * 6 + 2 * 20 * 20 * 6


def test_grouped_query_attention():
    x = keras.Input((6, 8))
    layer = layers.GroupQueryAttention(3, 4, 2)
    projections = 6 * 8 * (12 + 6 + 6) + 6 * 12 * 8
    assert macs(x, layer(x, x)) == projections + 2 * 6 * 6 * 12


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Attention(), 6 * 5 * (8 + 8)),
        # The scores are a sum of tanh, no product of matrices.
        (layers.AdditiveAttention(), 6 * 5 * 8),
        (layers.Dot(axes=2), 6 * 5 * 8),
    ],
)
def test_layer_of_two_inputs(layer, expected):
    layer = type(layer).from_config(layer.get_config())
    inputs = [keras.Input((6, 8)), keras.Input((5, 8))]
    assert macs(inputs, layer(inputs)) == expected


KERNEL = np.ones((3, 3, 4, 2), "float32")
OPERATIONS = {
    "operator": (lambda x: x @ np.ones((4, 7), "float32"), 36 * 4 * 7),
    "matmul": (lambda x: ops.matmul(x, ops.swapaxes(x, 2, 3)), 6 * 6 * 6 * 4),
    "dot": (lambda x: ops.dot(x, np.ones((4, 7), "float32")), 36 * 4 * 7),
    "tensordot": (
        lambda x: ops.tensordot(
            x, np.ones((6, 4, 7), "float32"), [[2, 3], [0, 1]]
        ),
        6 * 24 * 7,
    ),
    "einsum": (
        lambda x: ops.einsum("bijc,bikc->bijk", x, x),
        6 * 6 * 6 * 4,
    ),
    "einsum without a sum": (
        lambda x: ops.einsum("bijc,c->bijc", x, np.ones(4, "float32")),
        0,
    ),
    "convolution": (
        lambda x: ops.conv(x, KERNEL, data_format="channels_last"),
        16 * 9 * 4 * 2,
    ),
    "depthwise": (
        lambda x: ops.depthwise_conv(x, KERNEL, data_format="channels_last"),
        16 * 9 * 4 * 2,
    ),
    "separable": (
        lambda x: ops.separable_conv(
            x,
            KERNEL,
            np.ones((1, 1, 8, 5), "float32"),
            data_format="channels_last",
        ),
        16 * (9 * 8 + 8 * 5),
    ),
    "transposed": (
        lambda x: ops.conv_transpose(
            x,
            np.ones((3, 3, 2, 4), "float32"),
            strides=2,
            data_format="channels_last",
        ),
        36 * 9 * 4 * 2,
    ),
    "attention": (
        # Six positions, six heads of four channels.
        lambda x: ops.dot_product_attention(x, x, x),
        2 * 6 * 6 * 24,
    ),
    "sum": (lambda x: x + ops.relu(x) * 2, 0),
}


class Own(layers.Layer):
    """A layer of a user without weights."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    function, expected = OPERATIONS[name]
    # Of a fixed batch, one sample is counted.
    inputs = keras.Input((6, 6, 4), batch_size=2)
    assert macs(inputs, function(inputs)) == expected


# The operator of torch takes no arrays of NumPy.
@pytest.mark.parametrize("name", [x for x in OPERATIONS if x != "operator"])
@pytest.mark.parametrize("layer", [layers.Lambda, Own])
def test_operation_inside_a_layer(layer, name):
    function, expected = OPERATIONS[name]
    inputs = keras.Input((6, 6, 4), batch_size=2)
    assert macs(inputs, layer(function)(inputs)) == expected


@pytest.mark.parametrize(
    ("mode", "expected"), [("valid", 6 * 3), ("same", 8 * 3), ("full", 8 * 3)]
)
def test_correlation(mode, expected):
    inputs = keras.Input(batch_shape=(8,))
    outputs = ops.correlate(inputs, np.ones(3, "float32"), mode=mode)
    costs = model_costs(keras.Model(inputs, outputs))
    # The axis of the signal is taken for that of the batch.
    assert costs.macs == expected // 8


class Projection(layers.Layer):
    """A dense layer of a user."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 5))

    def call(self, inputs):
        return ops.matmul(inputs, self.kernel)


class Scaled(layers.Dense):
    """A layer of Keras whose computation a user has replaced."""

    def call(self, inputs):
        return super().call(inputs) * 2


class Attending(layers.Layer):
    """A layer of a user that holds layers of Keras."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(2, 3)

    def call(self, inputs, training=None):
        x = ops.reshape(inputs, (-1, 36, 4))
        return self.attention(x, x)


class Scales(layers.Layer):
    """A layer of a user whose weights are no matrices."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],))

    def call(self, inputs):
        return inputs * self.scale


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Projection, 36 * 4 * 5),
        (lambda: Scaled(5), 36 * 4 * 5),
        (Attending, 36 * 4 * 6 * 4 + 2 * 36 * 36 * 6),
        (Scales, 0),
        (lambda: layers.Pipeline([layers.Rescaling(2), Projection()]), 720),
        (lambda: layers.Lambda(lambda x: x), 0),
    ],
)
def test_layer_of_a_user(layer, expected):
    inputs = keras.Input((6, 6, 4))
    assert macs(inputs, layer()(inputs)) == expected


CAPTURED = layers.Dense(5)
UNKNOWN = {
    "spectrum": lambda x: ops.rfft(x)[0],
    "spectrum in a layer": Own(lambda x: ops.rfft(x)[0]),
    "mel spectrum": lambda x: layers.MelSpectrogram(16)(x[:, 0, :, 0]),
    "inverse": lambda x: ops.linalg.inv(x[..., :2, :2]),
    "blur": lambda x: ops.image.gaussian_blur(x),
    "map": Own(lambda x: ops.vectorized_map(lambda y: y * 2, x)),
    "condition": Own(
        lambda x: ops.cond(ops.sum(x) > 0, lambda: x * 3, lambda: x * 2)
    ),
    "captured layer": layers.Lambda(lambda x: CAPTURED(x)),
}


# OpenVINO lacks some of these functions.
@pytest.mark.backend("tensorflow", "torch", "jax", "numpy")
@pytest.mark.parametrize("name", UNKNOWN)
def test_products_of_unknown_number_are_named(name):
    inputs = keras.Input((6, 20, 4))
    outputs = UNKNOWN[name](inputs)
    with pytest.warns(UserWarning, match="are unknown"):
        costs = model_costs(keras.Model(inputs, outputs))
    assert len(costs.uncounted) == 1


def test_einsum_of_three_is_not_counted():
    inputs = keras.Input((6, 6, 4))
    outputs = ops.einsum("bijc,bikc,bilc->bjkl", inputs, inputs, inputs)
    with pytest.warns(UserWarning, match="einsum"):
        assert macs(inputs, outputs) == 0


def test_channels_first():
    inputs = keras.Input((4, 9, 8))
    layer = layers.Conv2D(6, (3, 2), data_format="channels_first")
    assert macs(inputs, layer(inputs)) == 49 * 6 * 4 * 6
