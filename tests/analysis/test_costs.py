"""Costs of whole models: published numbers, and how calls are counted."""

import math
import re
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.networks import nested, shared, siamese

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    SqueezeExcite,
    insert_attention,
    model_costs,
    models,
)

RESNET50 = (3, 4, 6, 3)
LAST = {"data_format": "channels_last"}


def squeeze_excite(channels, stage):
    return SqueezeExcite(reduction=16)


# Torch's FlopCounterMode on timm's network of the first row, halved; the others
# are that number and the sizes of the attention, 2 C * C / 16 or k C.
@pytest.mark.parametrize(
    ("network", "macs", "parameters"),
    [
        (lambda: models.ResNet(RESNET50), 4_089_184_256, 25_557_032),
        (models.SEResNet50, 4_091_699_200, 28_071_976),
        (models.ECAResNet50, 4_089_272_064, 25_557_118),
        (
            lambda: models.ECAResNet50(kernel_sizes=(3, 5, 5, 7)),
            4_089_270_528,
            25_557_112,
        ),
    ],
)
@pytest.mark.usefixtures("zero_weights")
def test_resnet50(network, macs, parameters):
    costs = model_costs(network(), input_shape=(224, 224, 3))
    assert (costs.macs, costs.flops) == (macs, 2 * macs)
    assert costs.trainable_parameters == parameters


# SENet (arXiv 1709.01507), table 2, in GFLOPs without and with SE. Their
# networks have the stride on the 1x1 convolutions. Their counts are decimal and
# contain the additions of the shortcuts and the squeeze. Of SE-ResNet-101 they
# print 7.60, where this count gives 7.593.
@pytest.mark.parametrize(
    ("depths", "printed"),
    [
        (RESNET50, ["3.86", "3.87"]),
        ((3, 4, 23, 3), ["7.58", "7.59"]),
        ((3, 8, 36, 3), ["11.30", "11.32"]),
    ],
)
@pytest.mark.slow
@pytest.mark.usefixtures("zero_weights")
def test_table_2_of_senet(depths, printed):
    counted = []
    for attention in (None, squeeze_excite):
        network = models.ResNet(depths, attention, stride_first=True)
        costs = model_costs(network, input_shape=(224, 224, 3))
        elementwise = sum(
            math.prod(layer.output_shape)
            for layer in costs.layers
            if layer.kind in ("Add", "SqueezeExcite")
        )
        counted.append(f"{(costs.macs + elementwise) / 1e9:.2f}")
    assert counted == printed


# ECA paper (arXiv 1910.03151), table 3, ResNet-50: 24.37M, 26.77M with SE and
# 24.37M with ECA, in units of 2^20.
@pytest.mark.parametrize(
    ("network", "printed"),
    [
        (lambda: models.ResNet(RESNET50), "24.37"),
        (models.SEResNet50, "26.77"),
        (models.ECAResNet50, "24.37"),
    ],
)
@pytest.mark.slow
@pytest.mark.usefixtures("zero_weights")
def test_parameters_of_table_3_of_eca(network, printed):
    costs = model_costs(network(), input_shape=(224, 224, 3))
    assert f"{costs.trainable_parameters / 2**20:.2f}" == printed


# The papers' multiply-adds, in millions: MobileNets (arXiv 1704.04861, table
# 8), MobileNetV2 (1801.04381, table 4), MobileNetV3 (1905.02244, table 3),
# EfficientNet (1905.11946, table 2); of DenseNet-121, torchvision's
# documentation: 2.83 GFLOPS; and ResNet-50 of Keras, whose strides are those of
# SENet's.
@pytest.mark.parametrize(
    ("name", "millions", "tolerance"),
    [
        ("MobileNet", 569, 0.002),
        ("MobileNetV2", 300, 0.005),
        ("MobileNetV3Small", 56, 0.01),
        ("MobileNetV3Large", 219, 0.02),
        ("EfficientNetB0", 390, 0.02),
        ("DenseNet121", 2_830, 0.002),
        ("ResNet50", 3_857.973_248, 0),
    ],
)
@pytest.mark.slow
@pytest.mark.usefixtures("zero_weights")
def test_network_of_keras(name, millions, tolerance):
    network = getattr(keras.applications, name)(weights=None)
    costs = model_costs(network, input_shape=(224, 224, 3))
    assert costs.macs == pytest.approx(millions * 1e6, rel=tolerance)
    assert costs.parameters == network.count_params()


def row(costs, path):
    (found,) = [layer for layer in costs.layers if layer.path == path]
    return found


def test_shared_layer_is_counted_for_each_call():
    costs = model_costs(shared())
    first, second = row(costs, "conv"), row(costs, "conv:1")
    assert first.macs == second.macs == 36 * 9 * 8 * 8
    assert (first.parameters, second.parameters) == (9 * 8 * 8 + 8, 0)
    assert costs.parameters == sum(layer.parameters for layer in costs.layers)


def test_nested_model_is_counted_for_each_call():
    once, twice = model_costs(nested()), model_costs(siamese())
    macs = {layer.path: layer.macs for layer in twice.layers}
    assert macs["backbone/a_1"] == macs["backbone/a_1:1"] > 0
    inside = [x for x in once.layers if x.path.startswith("backbone/")]
    assert sum(x.macs for x in inside) * 2 == sum(
        x.macs for x in twice.layers if x.path.startswith("backbone/")
    )
    assert all(x.parameters == 0 for x in twice.layers if ":1" in x.path)


def test_attention():
    plain = nested()
    attended = insert_attention(plain, SqueezeExcite(reduction=4))
    costs, before = model_costs(attended), model_costs(plain)
    # Two branches of eight channels.
    assert costs.attention_parameters == costs.attention_macs == 2 * 2 * 8 * 2
    assert costs.macs - before.macs == costs.attention_macs
    assert (before.attention_macs, before.attention_parameters) == (0, 0)


def test_model_is_not_changed():
    model = insert_attention(nested(), EfficientChannelAttention())
    inner = model.get_layer("backbone")
    before = [weight.numpy() for weight in model.weights]
    model_costs(model)
    model_costs(model, input_shape=(6, 6, 8))
    for layer in inner.layers:
        # It is an error for a layer with more calls than one.
        assert keras.utils.is_keras_tensor(layer.output)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_batches_that_are_reshaped():
    """Windows of an image, as in Swin transformers, are of one sample."""
    inputs = keras.Input((4, 6, 8))
    x = ops.reshape(inputs, (-1, 6, 8))
    model = keras.Model(inputs, layers.Dense(5)(x))
    assert model_costs(model).macs == 4 * 6 * 8 * 5


@pytest.mark.parametrize("batch", [None, 4])
def test_one_sample_of_a_batch(batch):
    inputs = keras.Input((6, 8), batch_size=batch)
    model = keras.Model(inputs, layers.Dense(5)(inputs))
    assert model_costs(model).macs == 6 * 8 * 5


def two_inputs(structure):
    left = keras.Input((None, 8), name="left")
    right = keras.Input((None, 8), name="right")
    x = layers.Concatenate(axis=1)([layers.Dense(8)(left), right])
    inputs = {"left": left, "right": right}
    return keras.Model(inputs if structure is dict else [left, right], x)


@pytest.mark.parametrize(
    ("structure", "shape"),
    [
        (list, [(3, 8), (4, 8)]),
        (list, {"left": (3, 8), "right": (4, 8)}),
        (dict, {"right": (4, 8), "left": (3, 8)}),
    ],
)
def test_several_input_shapes(structure, shape):
    costs = model_costs(two_inputs(structure), input_shape=shape)
    assert costs.macs == 3 * 8 * 8
    assert costs.layers[-1].output_shape == (1, 7, 8)


@pytest.mark.parametrize("shape", [[3, 4], (3, 4), [(3,), 4], {"a": 3, "b": 4}])
def test_several_inputs_with_one_axis(shape):
    a, b = keras.Input((None,), name="a"), keras.Input((None,), name="b")
    model = keras.Model([a, b], layers.Concatenate()([a, b]))
    assert model_costs(model, shape).input_shapes == [(1, 3), (1, 4)]


@pytest.mark.parametrize("shape", [None, [(None, 8), (4, 8)]])
def test_unknown_sizes_are_asked_for(shape):
    received = re.escape(f"Received: input_shape={shape}.")
    with pytest.raises(ValueError, match=f"Pass `input_shape`.*{received}"):
        model_costs(two_inputs(list), input_shape=shape)


@pytest.mark.parametrize(
    "shape",
    [[6, 8], np.array([6, 8]), (np.int64(6), np.int32(8)), [np.array([6, 8])]],
)
def test_integers_of_numpy(shape):
    inputs = keras.Input((None, 8))
    model = keras.Model(inputs, layers.Dense(5)(inputs))
    costs = model_costs(model, shape)
    assert costs.macs == 6 * 8 * 5
    assert all(type(size) is int for size in costs.input_shapes[0])


@pytest.mark.parametrize("shape", [8, np.int64(8)])
def test_an_input_with_one_axis(shape):
    inputs = keras.Input((None,))
    model = keras.Model(inputs, ops.relu(inputs))
    assert model_costs(model, shape).input_shapes == [(1, 8)]


@pytest.mark.parametrize(
    "shape", [3.5, "abc", (16.0, 8), ("a", 8), object(), (True, 8)]
)
def test_what_is_no_shape(shape):
    with pytest.raises(TypeError, match="`input_shape` must be a tuple of"):
        model_costs(two_inputs(list), input_shape=shape)


@pytest.mark.parametrize("shape", [(0, 8), (-3, 8), np.array([3, -8])])
def test_sizes_that_are_not_positive(shape):
    with pytest.raises(ValueError, match="tuple of positive integers"):
        model_costs(two_inputs(list), input_shape=shape)


@pytest.mark.parametrize("shape", [8, (8,), (3, 9), (1, 3, 8), [(3, 8)]])
def test_other_input_shape(shape):
    with pytest.raises(ValueError, match="does not fit the inputs"):
        model_costs(two_inputs(list), input_shape=shape)


@pytest.mark.parametrize(
    "shape", [{"left": (3, 8)}, {"left": (3, 8), "right": (3, 8), "up": 2}]
)
@pytest.mark.parametrize("structure", [list, dict])
def test_names_of_other_inputs(structure, shape):
    with pytest.raises(ValueError, match=r"\['left', 'right'\]. Received"):
        model_costs(two_inputs(structure), input_shape=shape)


class Foreign(layers.Layer):
    """A layer that does not take symbolic tensors."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 5))

    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            raise TypeError("unexpected")
        return ops.matmul(inputs, self.kernel)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 5)


def test_unknown_layer_is_named():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(3)(Foreign(name="own")(inputs)))
    reason = "own: .*fails.*TypeError: unexpected.*`get_config`"
    with pytest.warns(UserWarning, match=reason):
        costs = model_costs(model)
    assert costs.uncounted == ["own"]
    assert costs.macs == 5 * 3
    assert row(costs, "own").macs is None
    assert re.search(rf"Not counted \(\?\): {reason}", str(costs))
    assert not row(costs, "dense").reason


def test_a_warning_names_some_of_many_layers():
    x = inputs = keras.Input((5,))
    for number in range(8):
        x = Foreign(name=f"own_{number}")(x)
    with pytest.warns(UserWarning, match=r"own_4(.|\n)*and 3 others") as warned:
        costs = model_costs(keras.Model(inputs, x))
    assert "own_5" not in str(warned[0].message)
    assert "own_7: " in str(costs)


# Attention inside other layers.


def frame():
    """8 x 8 frames: a convolution, and attention over 16 channels."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, name="conv", **LAST)(inputs)
    x = SqueezeExcite(reduction=4, name="se", **LAST)(x)
    return keras.Model(inputs, x, name="frame")


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(16, 3, **LAST)
        self.attention = SqueezeExcite(reduction=4, **LAST)

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.attention.build(self.compute_output_shape(input_shape))

    def call(self, inputs):
        return self.attention(self.conv(inputs))

    def compute_output_shape(self, input_shape):
        return self.conv.compute_output_shape(input_shape)


class ForeignBlock(Block):
    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            raise TypeError("unexpected")
        return super().call(inputs)


class OwnModel(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = Block()

    def call(self, inputs):
        return self.block(inputs)


class Around(layers.Wrapper):
    """A wrapper of a user, which calls what it wraps twice."""

    def call(self, inputs):
        return self.layer(inputs) + self.layer(inputs[:, ::-1])

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


def in_time(layer):
    return layers.TimeDistributed(layer, name="closed")


IMAGE, CLIP = (8, 8, 3), (5, 8, 8, 3)


@pytest.mark.parametrize(
    ("build", "shape", "times"),
    [
        (lambda: in_time(frame()), CLIP, 5),
        (lambda: in_time(Block()), CLIP, 5),
        (lambda: in_time(layers.TimeDistributed(frame())), (2, *CLIP), 10),
        (lambda: Block(name="closed"), IMAGE, 1),
        (lambda: OwnModel(name="closed"), IMAGE, 1),
        (lambda: Around(frame(), name="closed"), IMAGE, 2),
        (lambda: Around(Block(), name="closed"), IMAGE, 2),
    ],
)
def test_attention_inside_other_layers(build, shape, times):
    inputs = keras.Input(shape)
    costs = model_costs(keras.Model(inputs, build()(inputs)))
    closed = row(costs, "closed")
    assert closed.macs == costs.macs == times * (36 * 27 * 16 + 2 * 16 * 4)
    assert closed.attention_macs == costs.attention_macs == times * 2 * 16 * 4
    assert closed.attention_parameters == 2 * 16 * 4
    assert costs.attention_parameters == 2 * 16 * 4
    assert not closed.is_attention


def test_attention_in_an_unknown_layer():
    inputs = keras.Input(IMAGE)
    model = keras.Model(inputs, ForeignBlock(name="own")(inputs))
    with pytest.warns(UserWarning, match="own"):
        costs = model_costs(model)
    assert costs.attention_parameters == 2 * 16 * 4
    assert row(costs, "own").attention_macs is None
    assert str(costs).endswith("0 MACs (incomplete)")


class Gated(ChannelAttention):
    """Attention of a user whose `excite` calls a layer."""

    def build_excitation(self, features):
        self.conv = layers.Dense(features, dtype=self.dtype_policy)
        self.conv.build((None, features))

    def excite(self, descriptor):
        return self.conv(descriptor)


def test_attention_that_calls_a_layer():
    inputs = keras.Input(IMAGE)
    model = keras.Model(inputs, Gated(**LAST)(inputs))
    assert model_costs(model).attention_macs == 3 * 3


@pytest.mark.parametrize("build", [Block, OwnModel, lambda: Gated(**LAST)])
def test_layers_that_are_counted_are_not_changed(build):
    inputs = keras.Input(IMAGE)
    outer = build()
    model = keras.Model(inputs, outer(inputs))
    block = getattr(outer, "block", outer)
    before = [weight.numpy() for weight in model.weights]
    model_costs(model)
    assert not hasattr(block.conv, "output"), "a call was recorded"
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


class Own(keras.Model):
    def call(self, inputs):
        return inputs


def test_model_without_a_graph():
    with pytest.raises(ValueError, match="`call` method of its own"):
        model_costs(Own())


def test_table():
    costs = model_costs(insert_attention(nested(), SqueezeExcite(reduction=4)))
    lines = str(costs).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) == len(costs.layers) + 11
    (line,) = [x for x in lines if x.startswith("backbone/a_1 ")]
    name, kind, *_, parameters, macs = line.split()
    assert (name, kind) == ("backbone/a_1", "Conv2D")
    assert (parameters, macs) == ("584", "20,736")
    assert sum(" * " in x for x in lines) == 2
    share = f"{costs.attention_macs / costs.macs:.2%}"
    assert lines[-1].startswith("Channel attention (*): 64 parameters")
    assert lines[-1].endswith(f"64 MACs ({share})")


def test_long_paths_are_not_cut():
    name = "the_name_of_a_layer_that_is_inside_of_many_others"
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(3, name=name)(inputs))
    assert f"\n{name} " in str(model_costs(model))


def test_dataframe():
    pytest.importorskip("pandas")
    costs = model_costs(nested())
    frame = costs.to_dataframe()
    assert frame["macs"].sum() == costs.macs
    assert list(frame["path"]) == [layer.path for layer in costs.layers]


def test_dataframe_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        model_costs(nested()).to_dataframe()
