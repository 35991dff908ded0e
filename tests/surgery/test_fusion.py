"""Squeeze-and-Excitation of several layers, made one layer again."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.initial_weights import zero_weights
from support.networks import (
    assert_same,
    attention_of,
    convolution,
    distance,
    image,
    layers_of,
    predictions,
    randomize,
    sample,
)

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_blocks,
    fuse_attention,
    remove_attention,
    replace_attention,
)
from keras_channel_attn.graph.rebuilding import copy_of_model
from keras_channel_attn.surgery import activation_names

# In Keras' own models


@functools.cache
def application(name):
    build = getattr(keras.applications, name)
    with zero_weights():
        model = build(weights=None, include_top=False, input_shape=(32, 32, 3))
        return randomize(model), fuse_attention(model)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("MobileNetV3Small", 9),
        pytest.param("EfficientNetB0", 16, marks=pytest.mark.slow),
        pytest.param("EfficientNetV2B0", 16, marks=pytest.mark.slow),
    ],
)
def test_blocks_of_applications(name, blocks):
    model, fused = application(name)
    assert len(attention_of(fused)) == blocks
    assert set(layers_of(fused)) < set(layers_of(model))
    assert fused.count_params() == model.count_params()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",
        # Of two that are alike, one is enough for the compiler of JAX.
        pytest.param(
            "EfficientNetB0", marks=pytest.mark.backend("tensorflow", "torch")
        ),
        "EfficientNetV2B0",
    ],
)
def test_applications_compute_the_same(name):
    assert_same(*application(name))


@pytest.mark.slow
def test_fused_attention_can_be_replaced_and_removed():
    """Squeeze-and-Excitation out of MobileNetV3, ECA in its place."""
    _, fused = application("MobileNetV3Small")
    eca = replace_attention(fused, EfficientChannelAttention())
    assert len(attention_of(eca)) == 9
    assert all(
        isinstance(layer, EfficientChannelAttention)
        for layer in attention_of(eca).values()
    )
    assert list(attention_of(eca)) == [
        f"{name}_efficient_channel_attention" for name in attention_of(fused)
    ]
    bare = remove_attention(fused)
    assert not attention_of(bare)
    assert eca.count_params() - bare.count_params() < 50
    assert len(bare.layers) == len(fused.layers) - 9


# Written by hand


def squeeze(x, kind="Average", keepdims=True):
    rank = len(x.shape) - 2
    pooling = getattr(layers, f"Global{kind}Pooling{rank}D")
    return pooling(keepdims=keepdims, name="squeeze")(x)


def multiply(x, gates):
    return layers.Multiply(name="scale")([x, gates])


def map_1x1(units, activation, name, **arguments):
    return layers.Conv2D(
        units, 1, activation=activation, name=name, **arguments
    )


def convolutions(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def gates_first(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    return multiply(map_1x1(8, "sigmoid", "expand")(y), x)


def kept_dense(x):
    y = layers.Dense(4, "relu", name="reduce")(squeeze(x))
    return multiply(x, layers.Dense(8, "sigmoid", name="expand")(y))


def reshaped_first(x):
    y = layers.Reshape((1, 1, 8))(squeeze(x, keepdims=False))
    y = layers.Dense(4, "relu", name="reduce")(y)
    return multiply(x, layers.Dense(8, "sigmoid", name="expand")(y))


def reshaped_last(x):
    y = layers.Dense(4, "relu", name="reduce")(squeeze(x, keepdims=False))
    y = layers.Dense(8, "sigmoid", name="expand")(y)
    return multiply(x, layers.Reshape((1, 1, 8))(y))


def without_bias(x):
    y = map_1x1(4, "relu", "reduce", use_bias=False)(squeeze(x))
    return multiply(x, map_1x1(8, "sigmoid", "expand", use_bias=False)(y))


def maximum(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x, "Max"))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def activations_as_layers(x):
    y = layers.ReLU()(map_1x1(4, None, "reduce")(squeeze(x)))
    y = layers.Activation("sigmoid")(map_1x1(8, None, "expand")(y))
    return multiply(x, y)


def activations_as_operations(x):
    y = ops.silu(map_1x1(4, None, "reduce")(squeeze(x)))
    y = ops.relu6(map_1x1(8, None, "expand")(y) + 3.0) * (1.0 / 6.0)
    return multiply(x, y)


def activation_written_out(x):
    """Swish, written out in a layer."""
    y = map_1x1(4, None, "reduce")(squeeze(x))
    swish = layers.Lambda(lambda y: y * ops.sigmoid(y), output_shape=(1, 1, 4))
    y = swish(y)
    return multiply(x, map_1x1(8, "hard_sigmoid", "expand")(y))


def wide(x):
    y = map_1x1(32, "gelu", "reduce")(squeeze(x))
    return multiply(x, map_1x1(8, "tanh", "expand")(y))


def operator(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    return x * map_1x1(8, "sigmoid", "expand")(y)


def one_dimension(x):
    x = layers.Reshape((36, 8))(x)
    y = layers.Conv1D(4, 1, activation="relu", name="reduce")(squeeze(x))
    y = layers.Conv1D(8, 1, activation="sigmoid", name="expand")(y)
    return multiply(x, y)


def three_dimensions(x):
    x = layers.Reshape((3, 3, 4, 8))(x)
    y = layers.Conv3D(4, 1, activation="relu", name="reduce")(squeeze(x))
    y = layers.Conv3D(8, 1, activation="sigmoid", name="expand")(y)
    return multiply(x, y)


def without_spatial_axes(x):
    y = layers.Dense(4, "relu", name="reduce")(squeeze(x, keepdims=False))
    return multiply(x, layers.Dense(8, "sigmoid", name="expand")(y))


def without_activation(x):
    y = map_1x1(4, None, "reduce")(squeeze(x))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def mean_of_keras_ops(x):
    y = map_1x1(4, "relu", "reduce")(ops.mean(x, axis=[1, 2], keepdims=True))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def max_of_keras_ops(x):
    y = ops.max(x, axis=(-2, -3))
    y = layers.Dense(4, "relu", name="reduce")(y)
    return x * layers.Dense(8, "sigmoid", name="expand")(y)[:, None, None]


VARIANTS = {
    convolutions: {"activation": "relu", "use_bias": True},
    gates_first: {"gate_activation": "sigmoid"},
    kept_dense: {"reduction": 2},
    reshaped_first: {"reduction": 2},
    reshaped_last: {"reduction": 2},
    without_bias: {"use_bias": False},
    maximum: {"pooling": "max"},
    activations_as_layers: {"activation": "relu"},
    activations_as_operations: {
        "activation": "silu",
        "gate_activation": "hard_sigmoid",
    },
    activation_written_out: {
        "activation": "silu",
        "gate_activation": "hard_sigmoid",
    },
    wide: {
        "bottleneck_units": 32,
        "activation": "gelu",
        "gate_activation": "tanh",
    },
    operator: {"gate_activation": "sigmoid"},
    without_spatial_axes: {"reduction": 2},
    without_activation: {"activation": "linear"},
    one_dimension: {"activation": "relu"},
    three_dimensions: {"activation": "relu"},
    mean_of_keras_ops: {"pooling": "avg", "reduction": 2},
    max_of_keras_ops: {"pooling": "max", "reduction": 2},
}


def network(build):
    x = image()
    y = build(convolution("before")(x))
    outputs = layers.Activation("tanh", name="after")(y)
    return randomize(keras.Model(x, outputs))


@pytest.mark.parametrize("build", VARIANTS)
def test_variants_compute_the_same(build):
    model = network(build)
    fused = fuse_attention(model)
    assert_same(model, fused)
    (layer,) = attention_of(fused).values()
    for name, value in VARIANTS[build].items():
        assert layer.get_config()[name] == value
    assert not {"squeeze", "reduce", "expand"} & set(layers_of(fused))


@pytest.mark.parametrize("build", VARIANTS)
def test_variants_keep_the_number_of_parameters(build):
    model = network(build)
    assert fuse_attention(model).count_params() == model.count_params()


@pytest.mark.parametrize("build", [convolutions, reshaped_first, operator])
def test_activations_with_a_name_are_not_computed(build, monkeypatch):
    monkeypatch.setattr(activation_names, "_points", None)
    assert attention_of(fuse_attention(network(build)))
    with pytest.raises(TypeError, match="not callable"):
        fuse_attention(network(activation_written_out))


@pytest.mark.parametrize("build", [convolutions, kept_dense, maximum])
def test_the_layer_has_the_name_of_the_multiplication(build):
    fused = fuse_attention(network(build))
    assert list(attention_of(fused)) == ["scale"]
    assert [layer.name for layer in fused.layers] == [
        "image",
        "before",
        "scale",
        "after",
    ]


@pytest.mark.backend("torch", "jax", "numpy")
@pytest.mark.parametrize("axes", [None, [2, 3]])
def test_channels_first(axes):
    def mean_of_axes(x):
        y = ops.mean(x, axis=axes, keepdims=True)
        y = map_1x1(4, "relu", "reduce")(y)
        return multiply(x, map_1x1(8, "sigmoid", "expand")(y))

    keras.config.set_image_data_format("channels_first")
    model = network(mean_of_axes if axes else convolutions)
    fused = fuse_attention(model)
    assert attention_of(fused)["scale"].data_format == "channels_first"
    assert_same(model, fused)


def test_data_format_of_the_block_not_the_global_one():
    model = network(convolutions)
    keras.config.set_image_data_format("channels_first")
    fused = fuse_attention(model)
    assert attention_of(fused)["scale"].data_format == "channels_last"
    assert_same(model, fused)


def test_unknown_spatial_sizes():
    x = keras.Input((None, None, 8))
    model = randomize(keras.Model(x, convolutions(x)))
    fused = fuse_attention(model)
    array = np.random.default_rng(0).normal(size=(2, 3, 5, 8))
    array = array.astype("float32")
    assert distance(predictions(model, array), predictions(fused, array)) < 1e-5


def test_a_fixed_batch():
    x = keras.Input((6, 6, 8), batch_size=3)
    y = ops.reshape(squeeze(x, keepdims=False), (3, 1, 1, 8))
    y = layers.Dense(4, "relu", name="reduce")(y)
    y = layers.Dense(8, "sigmoid", name="expand")(y)
    model = randomize(keras.Model(x, x * y))
    fused = fuse_attention(model)
    array = sample(model, batch=3)
    assert distance(predictions(model, array), predictions(fused, array)) < 1e-5


def test_precision_stays():
    keras.config.set_dtype_policy("mixed_float16")
    model = network(convolutions)
    keras.config.set_dtype_policy("float32")
    fused = fuse_attention(model)
    assert attention_of(fused)["scale"].dtype_policy.name == "mixed_float16"
    assert_same(model, fused, 1e-2)


def test_what_is_frozen_stays_frozen():
    model = network(convolutions)
    for name in ("before", "reduce", "expand"):
        model.get_layer(name).trainable = False
    fused = fuse_attention(model)
    assert not fused.get_layer("scale").trainable
    assert not fused.get_layer("before").trainable


def test_regularizers_stay():
    def build(x):
        arguments = {"kernel_regularizer": keras.regularizers.L2(0.1)}
        y = map_1x1(4, "relu", "reduce", **arguments)(squeeze(x))
        return multiply(x, map_1x1(8, "sigmoid", "expand", **arguments)(y))

    model = network(build)
    losses = [
        sum(float(ops.convert_to_numpy(loss)) for loss in one.losses)
        for one in (model, fuse_attention(model))
    ]
    assert losses[0] > 0
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize(
    "differing", [("reduce",), ("expand",), ("reduce", "expand")], ids=str
)
@pytest.mark.parametrize(
    ("role", "name"), [("regularizer", "l2"), ("constraint", "non_neg")]
)
def test_functions_of_weights_stay(differing, role, name):
    """Those of one map too, for which the layer has no argument."""

    def build(x):
        given = {
            kind: {f"kernel_{role}": name} if kind in differing else {}
            for kind in ("reduce", "expand")
        }
        y = map_1x1(4, "relu", "reduce", **given["reduce"])(squeeze(x))
        y = map_1x1(8, "sigmoid", "expand", **given["expand"])(y)
        return multiply(x, y)

    layer = fuse_attention(network(build)).get_layer("scale")
    for kind in ("reduce", "expand"):
        function = getattr(getattr(layer, f"{kind}_kernel"), role)
        assert (function is not None) == (kind in differing)
    stored = getattr(layer, f"kernel_{role}")
    assert (stored is not None) == (len(differing) == 2)


@pytest.mark.parametrize("frozen", ["reduce", "expand"])
def test_maps_that_are_trained_apart_are_left_alone(frozen):
    model = network(convolutions)
    model.get_layer(frozen).trainable = False
    with pytest.raises(ValueError, match="is frozen, and other"):
        fuse_attention(model)


@pytest.mark.parametrize("biased", ["reduce", "expand"])
def test_a_map_without_a_bias_gets_one_of_zeros(biased):
    def build(x):
        y = map_1x1(4, "relu", "reduce", use_bias=biased == "reduce")
        z = map_1x1(8, "sigmoid", "expand", use_bias=biased == "expand")
        return multiply(x, z(y(squeeze(x))))

    model = network(build)
    fused = fuse_attention(model)
    assert_same(model, fused)
    layer = fused.get_layer("scale")
    for kind in ("reduce", "expand"):
        bias = getattr(layer, f"{kind}_bias")
        assert bias.trainable == (kind == biased)
        assert np.any(ops.convert_to_numpy(bias)) == (kind == biased)


def test_two_blocks_in_a_nested_model():
    inputs = image("inner_image")
    x = convolutions(inputs)
    y = map_1x1(2, "relu", "reduce_2")(
        layers.GlobalAveragePooling2D(keepdims=True, name="squeeze_2")(x)
    )
    y = map_1x1(8, "sigmoid", "expand_2")(y)
    outputs = layers.Multiply(name="scale_2")([x, y])
    inner = keras.Model(inputs, outputs, name="inner")
    x = image()
    model = randomize(keras.Model(x, inner(inner(x))))
    fused = fuse_attention(model)
    assert list(attention_of(fused)) == ["inner/scale", "inner/scale_2"]
    assert_same(model, fused)


def test_the_given_model_stays_as_it_is():
    model = network(convolutions)
    config, outputs = model.get_config(), predictions(model)
    fused = fuse_attention(model)
    for weight in fused.weights:
        weight.assign(np.zeros(weight.shape))
    assert model.get_config() == config
    assert distance(outputs, predictions(model)) == 0


def test_keras_file(tmp_path):
    fused = fuse_attention(network(convolutions))
    fused.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert list(attention_of(loaded)) == ["scale"]
    assert_same(fused, loaded)


@pytest.mark.training
def test_trains():
    model = network(convolutions)
    fused = fuse_attention(model)
    x, outputs = sample(fused), predictions(fused)
    given = predictions(model, x)
    fused.compile("sgd", "mse")
    before = [np.array(w) for w in fused.get_layer("scale").get_weights()]
    fused.fit(x, outputs + 1, verbose=0)
    for one, other in zip(
        before, fused.get_layer("scale").get_weights(), strict=True
    ):
        assert not np.array_equal(one, other)
    assert distance(given, predictions(model, x)) < 1e-6


# Similar networks that must not be fused


def larger_kernel(x):
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(squeeze(x))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def of_another_tensor(x):
    other = convolution("other")(x)
    y = map_1x1(4, "relu", "reduce")(squeeze(other))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def normalized_within(x):
    y = map_1x1(4, None, "reduce")(squeeze(x))
    y = layers.ReLU()(layers.BatchNormalization()(y))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def trained_gate(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    y = layers.PReLU()(map_1x1(8, None, "expand")(y))
    return multiply(x, y)


def trained_activation(x):
    y = layers.PReLU()(map_1x1(4, None, "reduce")(squeeze(x)))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def three_maps(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    y = map_1x1(4, "relu", "between")(y)
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def no_pooling(x):
    y = map_1x1(4, "relu", "reduce")(x)
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def local_pooling(x):
    y = layers.AveragePooling2D(6, 1, padding="same")(x)
    y = map_1x1(4, "relu", "reduce")(y)
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def mean_of_rows(x):
    y = map_1x1(4, "relu", "reduce")(ops.mean(x, axis=1, keepdims=True))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def mean_over_all(x):
    y = ops.broadcast_to(ops.mean(x, keepdims=True), (1, 1, 1, 8))
    y = map_1x1(4, "relu", "reduce")(y)
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def max_with_a_least_value(x):
    y = ops.max(x, axis=(1, 2), keepdims=True, initial=0.5)
    y = map_1x1(4, "relu", "reduce")(y)
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def added(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    return layers.Add()([x, map_1x1(8, "sigmoid", "expand")(y)])


def one_gate_for_all(x):
    """A gate per sample, not per channel."""
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    return multiply(x, map_1x1(1, "sigmoid", "expand")(y))


def softmax_gate(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    return multiply(x, map_1x1(8, "softmax", "expand")(y))


def softmax_layer_as_gate(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    y = layers.Softmax()(map_1x1(8, None, "expand")(y))
    return multiply(x, y)


def unknown_gate(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    y = map_1x1(8, None, "expand")(y)
    return multiply(x, ops.sigmoid(1.5 * y))


def permuted(x):
    """The gates of other channels."""
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    y = map_1x1(8, "sigmoid", "expand")(y)
    return multiply(x, ops.flip(y, axis=-1))


def mixed_after_pooling(x):
    """A function of several channels between squeeze and map."""
    y = layers.LayerNormalization(center=False, scale=False)(squeeze(x))
    y = map_1x1(4, "relu", "reduce")(y)
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def two_inputs_to_the_gate(x):
    z = squeeze(x)
    y = map_1x1(4, "relu", "reduce")(z)
    return multiply(x, layers.Add()([map_1x1(8, "sigmoid", "expand")(y), z]))


def grouped(x):
    y = map_1x1(4, "relu", "reduce", groups=2)(squeeze(x))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def dropped(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    y = layers.Dropout(0.5)(y)
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


class Multiply(layers.Layer):
    """Not the one of Keras."""

    def call(self, inputs):
        return 2 * inputs[0] * inputs[1]

    def compute_output_shape(self, shapes):
        return shapes[0]


def another_layer_named_multiply(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    return Multiply()([x, map_1x1(8, "sigmoid", "expand")(y)])


def with_hidden(activation):
    """A block with another activation between the maps."""

    def build(x):
        y = activation(map_1x1(4, None, "reduce")(squeeze(x)))
        return multiply(x, map_1x1(8, "sigmoid", "expand")(y))

    build.__name__ = activation.__name__
    return build


def threshold_near_zero(x):
    return ops.where(x > 0.09, x, 0.0)


def steps(x):
    return ops.round(x * 10) / 10


def relu_with_a_threshold(x):
    return layers.ReLU(threshold=0.15)(x)


def relu_with_a_maximum(x):
    return layers.ReLU(10.0)(x)


def three_times_a_sigmoid(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    return multiply(x, 3 * ops.sigmoid(map_1x1(8, None, "expand")(y)))


def masked(x):
    return convolutions(layers.Masking()(x))


def tied_maps(x):
    dense = layers.Dense(8, "sigmoid", name="both")
    return multiply(x, dense(dense(squeeze(x))))


def activity_regularizer(x):
    y = map_1x1(4, "relu", "reduce", activity_regularizer="l2")(squeeze(x))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def another_precision(x):
    y = map_1x1(4, "relu", "reduce", dtype="bfloat16")(squeeze(x))
    return multiply(x, map_1x1(8, "sigmoid", "expand")(y))


def gates_used_again(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    y = map_1x1(8, "sigmoid", "expand")(y)
    return x * y + y


def repeated_gates(x):
    y = map_1x1(4, "relu", "reduce")(squeeze(x))
    y = map_1x1(4, "sigmoid", "expand")(y)
    return x * ops.repeat(y, 2, axis=-1)


class MeanOrMinimum(layers.Layer):
    def call(self, x, kind="mean", context=None):
        z = getattr(ops, kind)(x, (1, 2), keepdims=True)
        return z if context is None else z + context


def bottleneck(z):
    z = layers.Dense(4, "relu", name="reduce")(z)
    return layers.Dense(8, "sigmoid", name="expand")(z)


def argument_of_an_own_layer(x):
    return multiply(x, bottleneck(MeanOrMinimum()(x, kind="min")))


def tensor_for_an_own_layer(x):
    return multiply(x, bottleneck(MeanOrMinimum()(x, context=squeeze(x))))


def constant_mask(x):
    x = layers.Reshape((36, 8))(x)
    valid = np.arange(36)[None] < 5
    pooling = layers.GlobalAveragePooling1D(keepdims=True)
    return multiply(x, bottleneck(pooling(x, mask=valid)))


def constant_positional_mask(x):
    x = layers.Reshape((36, 8))(x)
    valid = np.arange(36)[None, :, None] < 5
    weights = layers.Softmax(axis=1)(layers.Dense(1)(x), valid)
    y = layers.Dense(4)(layers.Dot(axes=1)([weights, x]))
    y = layers.ReLU()(layers.LayerNormalization()(y))
    return x + layers.Dense(8)(y)


def constant_factor(x):
    factor = np.linspace(0, 1, 8, dtype="float32").reshape(1, 1, 1, 8)
    return layers.Multiply()([x, bottleneck(squeeze(x)), factor])


NEAR_MISSES = [
    argument_of_an_own_layer,
    tensor_for_an_own_layer,
    constant_mask,
    constant_positional_mask,
    constant_factor,
    another_layer_named_multiply,
    with_hidden(threshold_near_zero),
    with_hidden(steps),
    with_hidden(relu_with_a_threshold),
    with_hidden(relu_with_a_maximum),
    three_times_a_sigmoid,
    masked,
    tied_maps,
    activity_regularizer,
    another_precision,
    gates_used_again,
    repeated_gates,
    dropped,
    larger_kernel,
    of_another_tensor,
    normalized_within,
    trained_gate,
    trained_activation,
    three_maps,
    no_pooling,
    local_pooling,
    mean_of_rows,
    # OpenVINO has no mean over the batch too.
    pytest.param(
        mean_over_all,
        marks=pytest.mark.backend("tensorflow", "torch", "jax", "numpy"),
    ),
    max_with_a_least_value,
    added,
    one_gate_for_all,
    softmax_gate,
    softmax_layer_as_gate,
    unknown_gate,
    permuted,
    mixed_after_pooling,
    two_inputs_to_the_gate,
    grouped,
]


# Keras warns that its pooling over two axes ignores masks.
without_masks = pytest.mark.filterwarnings(
    "ignore:.*does not support masking:UserWarning"
)


@without_masks
@pytest.mark.parametrize("build", NEAR_MISSES)
def test_near_misses_are_left_alone(build):
    with pytest.raises(ValueError, match="found no block"):
        fuse_attention(network(build))


@without_masks
@pytest.mark.parametrize("build", NEAR_MISSES)
def test_near_misses_next_to_a_block(build):
    """In a network with another block to fuse, their outputs stay the same."""

    def both(x):
        y = layers.GlobalAveragePooling2D(keepdims=True)(x)
        y = layers.Dense(8, "sigmoid")(layers.Dense(2, "relu")(y))
        return build(layers.Multiply(name="block")([x, y]))

    model = network(both)
    fused = fuse_attention(model)
    assert list(attention_of(fused)) == ["block"]
    assert_same(model, fused)


class MaskEnds(layers.Layer):
    supports_masking = True

    def compute_mask(self, x, mask=None):
        return None

    def call(self, x):
        return x


def mask_at_the_product(x):
    x = layers.Masking()(x)
    return multiply(x, bottleneck(squeeze(MaskEnds()(x))))


def mask_of_an_inner_model(x):
    """In a model inside of the one that is called with it."""
    inner = keras.Input(x.shape[1:])
    block = keras.Model(inner, multiply(inner, bottleneck(squeeze(inner))))
    outer = keras.Input(x.shape[1:])
    return keras.Model(outer, block(ops.tanh(outer)))(layers.Masking()(x))


@without_masks
@pytest.mark.parametrize("build", [mask_at_the_product, mask_of_an_inner_model])
@pytest.mark.parametrize("shape", [(6, 8), (6, 6, 8)], ids=str)
def test_masks(build, shape):
    x = keras.Input(shape)
    model = keras.Model(x, build(x))
    (block,) = attention_blocks(model).blocks
    assert block.reason.endswith("gets a mask with its input")


@pytest.mark.parametrize("pooled", [False, True])
def test_merged_channels(pooled):
    """A column of a picture as one vector, for a recurrent layer."""

    def build(x):
        x = layers.LayerNormalization()(layers.Reshape((6, 48))(x))
        gates = squeeze(x) if pooled else layers.Dense(1)(x)
        return multiply(x, ops.sigmoid(gates))

    x = keras.Input((6, 6, 8))
    with pytest.raises(ValueError, match="found no block"):
        fuse_attention(keras.Model(x, build(x)))


class MeanThatIsKept(layers.Layer):
    def call(self, x):
        self.last = ops.mean(x, (1, 2), keepdims=True)
        return self.last


def test_reading_changes_no_attribute_of_a_layer():
    pooling = MeanThatIsKept()
    model = network(lambda x: multiply(x, bottleneck(pooling(x))))
    predictions(model)
    last = pooling.last
    assert attention_blocks(model).blocks == []
    assert pooling.last is last


@pytest.mark.parametrize("seen", ["squeeze", "reduce", "expand"])
def test_a_block_that_is_looked_into_is_left_alone(seen):
    x = image()
    y = convolutions(x)
    inside = keras.Model(x, y).get_layer(seen).output
    with pytest.raises(ValueError, match=f"'{seen}' is an output of the"):
        fuse_attention(keras.Model(x, [y, inside]))
    other = layers.Activation("tanh", name="other")(inside)
    with pytest.raises(ValueError, match=f"'{seen}' is used by 'other' too"):
        fuse_attention(keras.Model(x, [y, other]))


def test_maps_shared_by_two_blocks():
    """Two layers would have twice the weights, and train apart."""
    x = image()
    reduce = map_1x1(4, "relu", "reduce")
    expand = map_1x1(8, "sigmoid", "expand")
    y = multiply(x, expand(reduce(squeeze(x))))
    z = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze_2")(y)
    y = layers.Multiply(name="scale_2")([y, expand(reduce(z))])
    model = randomize(keras.Model(x, y))
    with pytest.raises(ValueError, match="has weights that are used elsewhere"):
        fuse_attention(model)


def test_blocks_are_in_the_order_of_computation():
    """Those of a nested model are where it is called first."""

    def block(x, name):
        return layers.Multiply(name=name)([x, bottleneck(squeeze(x))])

    inputs = keras.Input((6, 6, 8))
    inner = keras.Model(inputs, block(inputs, "b"), name="inner")
    middle = keras.Input((6, 6, 8))
    other = keras.Model(middle, block(inner(middle), "c"), name="outer")
    x = image()
    y = keras.Sequential([keras.Input((6, 6, 8)), other], name="s")(x)
    # Layers of one name are in models of their own.
    first = keras.Model(inputs, block(inputs, "a"), name="first")
    model = keras.Model(x, layers.Add(name="last")([first(y), inner(y)]))
    paths = [found.path for found in attention_blocks(model).blocks]
    assert paths == ["s/outer/inner/b", "s/outer/c", "first/a"]


def test_one_layer_needs_no_fusion():
    x = image()
    with pytest.raises(ValueError, match="that is one layer needs no fusion"):
        fuse_attention(keras.Model(x, SqueezeExcite(2)(x)))


def test_what_is_no_network():
    with pytest.raises(TypeError, match="must be a Keras model"):
        fuse_attention(SqueezeExcite())


def test_what_was_set_on_weights_is_kept():
    """Norms along the axes of a 1x1 convolution, on a matrix."""
    x = keras.Input((4, 4, 8))
    y = layers.GlobalAveragePooling2D(
        keepdims=True, data_format="channels_last"
    )(x)
    arguments = {"data_format": "channels_last", "use_bias": False}
    reduce = layers.Conv2D(2, 1, activation="relu", **arguments)
    expand = layers.Conv2D(8, 1, activation="sigmoid", **arguments)
    model = randomize(keras.Model(x, layers.Multiply()([x, expand(reduce(y))])))
    reduce.kernel.regularizer = keras.regularizers.L2(0.1)
    expand.kernel.constraint = keras.constraints.MaxNorm(0.1, axis=2)
    fused = fuse_attention(model)
    for kept in (fused, copy_of_model(fused)):
        (name,) = attention_of(kept)
        layer = kept.get_layer(name)
        losses = [float(keras.ops.convert_to_numpy(x)) for x in kept.losses]
        assert losses == [
            pytest.approx(float(keras.ops.convert_to_numpy(x)), rel=1e-5)
            for x in model.losses
        ]
        bounded = layer.expand_kernel.constraint(layer.expand_kernel)
        expected = expand.kernel.constraint(expand.kernel)
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(bounded),
            keras.ops.convert_to_numpy(expected)[0, 0],
            rtol=1e-5,
        )


# Layers of a user


class OwnSqueezeExcite(layers.Layer):
    """Its layers with weights are not in the graph."""

    def build(self, shape):
        self.one = layers.Dense(4, activation="relu")
        self.two = layers.Dense(8, activation="sigmoid")

    def call(self, x):
        z = ops.mean(x, axis=(1, 2), keepdims=True)
        return x * self.two(self.one(z))


def equal_layer(layer):
    attention = SqueezeExcite(bottleneck_units=4, use_bias=True)
    return attention, layer.one.get_weights() + layer.two.get_weights()


def own_network():
    x = image()
    y = OwnSqueezeExcite(name="own")(convolution("before")(x))
    return randomize(keras.Model(x, layers.Activation("tanh")(y)))


def test_own_layers():
    model = own_network()
    with pytest.raises(ValueError, match="found no block"):
        fuse_attention(model)
    fused = fuse_attention(model, layers={OwnSqueezeExcite: equal_layer})
    assert list(attention_of(fused)) == ["own"]
    assert_same(model, fused)


def test_own_layers_of_other_outputs():
    def other(layer):
        attention, weights = equal_layer(layer)
        return attention, [1.1 * weight for weight in weights]

    with pytest.raises(ValueError, match=r"'own' .*computes something else"):
        fuse_attention(own_network(), layers={OwnSqueezeExcite: other})


def test_own_layers_on_a_large_map():
    """The means of random numbers are so small there that all gates agree."""
    x = keras.Input((200, 200, 8))
    model = keras.Model(x, OwnSqueezeExcite(name="own")(x))

    def other(layer):
        attention, weights = equal_layer(layer)
        config = {**attention.get_config(), "gate_activation": "hard_sigmoid"}
        return SqueezeExcite.from_config(config), weights

    with pytest.raises(ValueError, match=r"'own' .*computes something else"):
        fuse_attention(model, layers={OwnSqueezeExcite: other})


class OwnWithSkip(OwnSqueezeExcite):
    def call(self, x, skip):
        return skip + super().call(x)


@without_masks
@pytest.mark.parametrize(
    ("attend", "error", "message"),
    [
        (
            lambda x: OwnSqueezeExcite(name="own")(layers.Masking()(x)),
            ValueError,
            r"'own' \(of type OwnSqueezeExcite\) gets a mask",
        ),
        (
            lambda x: OwnWithSkip(name="own")(x, skip=ops.tanh(x)),
            ValueError,
            r"'own' \(of type OwnWithSkip\) has several inputs",
        ),
        (
            lambda x: OwnSqueezeExcite(name="own")(x),
            TypeError,
            "must return a layer .* For 'own' it returned None",
        ),
    ],
    ids=["mask", "inputs", "None"],
)
def test_own_layers_that_are_not_replaced(attend, error, message):
    x = image()
    functions = dict.fromkeys((OwnSqueezeExcite, OwnWithSkip), lambda x: None)
    with pytest.raises(error, match=message):
        fuse_attention(keras.Model(x, attend(x)), layers=functions)


@pytest.mark.parametrize(
    "functions",
    [[OwnSqueezeExcite], {"own": equal_layer}, {OwnSqueezeExcite: None}],
    ids=["list", "name", "no function"],
)
def test_functions_for_own_layers(functions):
    with pytest.raises(TypeError, match="`layers` must be a dictionary from"):
        fuse_attention(own_network(), layers=functions)


class Subclass(OwnSqueezeExcite):
    """A function for a class is not one for what is derived of it."""


def wrapped():
    x = keras.Input((3, 6, 6, 8))
    one = OwnSqueezeExcite()
    one.compute_output_shape = lambda shape: shape
    return keras.Model(x, layers.TimeDistributed(one)(x))


def of_a_subclass():
    x = image()
    return keras.Model(x, Subclass(name="own")(x))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (wrapped, r"\['OwnSqueezeExcite'\].*inside other layers"),
        (of_a_subclass, r"\['OwnSqueezeExcite'\].*{'own': 'Subclass'}"),
    ],
)
def test_own_layers_that_the_model_does_not_call(build, message):
    with pytest.raises(ValueError, match=message):
        fuse_attention(build(), layers={OwnSqueezeExcite: equal_layer})


def test_one_layer_for_two_own_layers_is_refused():
    """The weights of the second would overwrite those of the first."""
    x = image()
    y = OwnSqueezeExcite(name="one")(x)
    model = randomize(keras.Model(x, OwnSqueezeExcite(name="two")(y)))
    attention = SqueezeExcite(bottleneck_units=4, use_bias=True)

    def same_layer(layer):
        return attention, equal_layer(layer)[1]

    with pytest.raises(ValueError, match=r"'two' .*'one', which is in use al"):
        fuse_attention(model, layers={OwnSqueezeExcite: same_layer})


# Files


def with_lambda(x):
    """Loaded from a file, a function knows no module: it has operators."""
    z = layers.Dense(4, "relu")(squeeze(x))
    z = layers.Dense(8, "sigmoid")(z)
    return layers.Lambda(lambda pair: pair[0] * pair[1], name="scale")([x, z])


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.parametrize("extension", ["h5", "keras"])
def test_an_old_file(extension, tmp_path):
    """With a `Lambda` at first, which safe mode refuses, and none at last."""
    model = network(with_lambda)
    model.save(tmp_path / f"old.{extension}")
    path = str(tmp_path / f"old.{extension}")
    loaded = keras.models.load_model(path, safe_mode=False, compile=False)
    fused = fuse_attention(loaded)
    fused.save(tmp_path / "new.keras")
    again = keras.models.load_model(tmp_path / "new.keras")
    assert list(attention_of(again)) == ["scale"]
    assert_same(model, again)
