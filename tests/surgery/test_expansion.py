"""Attention written as layers of Keras: same outputs, weights and flags."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.configurations import (
    CONFIGURATIONS,
    Plain,
    over_configurations_and_formats,
    shape_of,
)
from support.networks import (
    attention_of,
    convolution,
    distance,
    image,
    layers_of,
    predictions,
    randomize,
    sample,
)
from support.plain_files import outputs_without_the_package

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    expand_attention,
    fuse_attention,
    models,
)

TOLERANCE = 1e-6


def one_layer(layer, spatial=(4, 5), channels=8, **arguments):
    shape = shape_of(None, spatial, channels, layer.data_format)
    inputs = keras.Input(shape[1:], **arguments)
    return randomize(keras.Model(inputs, layer(inputs)))


def assert_same_outputs(model, other, tolerance=TOLERANCE):
    assert distance(predictions(model), predictions(other)) < tolerance


def kinds(model):
    """Class and name of each layer but the input."""
    return [
        (type(layer).__name__, layer.name)
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer)
    ]


# Each configuration


@over_configurations_and_formats
def test_same_outputs(layer_class, arguments, data_format):
    model = one_layer(layer_class(**arguments, data_format=data_format))
    expanded = expand_attention(model)
    assert_same_outputs(model, expanded)
    for layer in expanded.layers:
        assert type(layer) is getattr(layers, type(layer).__name__)
    # The same numbers; kernels have more axes of size one. Of parallel branches
    # Keras chooses the order.
    (layer,) = attention_of(model).values()
    effective = [
        layer.multiplier_of(weight) * ops.convert_to_numpy(weight)
        for weight in model.weights
    ]
    actual, expected = (
        [tuple(array.ravel()) for array in arrays]
        for arrays in (expanded.get_weights(), effective)
    )
    if not isinstance(layer, ChannelAttention):
        actual, expected = sorted(actual), sorted(expected)
    assert actual == expected


@pytest.mark.parametrize("spatial", [(7,), (2, 3, 4), (2, 3, 2, 2)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", ["se_cbam", "eca_ns"])
def test_any_number_of_spatial_axes(name, data_format, spatial):
    layer_class, arguments = CONFIGURATIONS[name]
    layer = layer_class(**arguments, data_format=data_format)
    model = one_layer(layer, spatial)
    assert_same_outputs(model, expand_attention(model))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize("shared_kernel", [True, False])
def test_kernel_wider_than_the_channels(channels, padding, shared_kernel):
    layer = EfficientChannelAttention(
        7, padding=padding, shared_kernel=shared_kernel
    )
    model = one_layer(layer, channels=channels)
    assert_same_outputs(model, expand_attention(model))


@pytest.mark.parametrize("gate", ["exponential", "softplus"])
def test_identity_start_with_other_gates(gate):
    """exp(0) is 1, softplus(0) is log(2)."""
    layer = EfficientChannelAttention(identity_start=True, gate_activation=gate)
    model = one_layer(layer)
    expanded = expand_attention(model)
    assert_same_outputs(model, expanded)
    scales = [x for x in expanded.layers if isinstance(x, layers.Rescaling)]
    assert [x.scale for x in scales] == (
        [] if gate == "exponential" else [pytest.approx(1 / np.log(2))]
    )


def test_softmax_gate():
    model = one_layer(SqueezeExcite(2, gate_activation="softmax"))
    assert_same_outputs(model, expand_attention(model))


@pytest.mark.parametrize(
    "policy",
    [
        "mixed_float16",
        "bfloat16",
        # JAX needs an option for it.
        pytest.param(
            "float64", marks=pytest.mark.backend("tensorflow", "torch")
        ),
    ],
)
def test_dtype_policy(policy):
    model = one_layer(SqueezeExcite(2, dtype=policy, name="attention"))
    expanded = expand_attention(model)
    for layer in expanded.layers[1:]:
        assert layer.dtype_policy.name == policy
    # Gates and outputs are rounded to bfloat16 in another order: one unit in
    # the last place is up to 2 ** -7 of a value.
    assert_same_outputs(model, expanded, 2**-7)


def test_unknown_spatial_sizes():
    layer = SqueezeExcite(2, data_format="channels_last")
    inputs = keras.Input((None, None, 8))
    model = randomize(keras.Model(inputs, layer(inputs)))
    expanded = expand_attention(model)
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 8)).astype("float32")
    outputs = predictions(model, x), predictions(expanded, x)
    assert distance(*outputs) < TOLERANCE


def test_data_format_of_the_layer_not_the_global_one():
    model = one_layer(EfficientChannelAttention(data_format="channels_last"))
    keras.config.set_image_data_format("channels_first")
    assert_same_outputs(model, expand_attention(model))


# Names


SCHEME = {
    "se": [
        ("GlobalAveragePooling2D", "attention_squeeze"),
        ("Conv2D", "attention_reduce"),
        ("Conv2D", "attention_expand"),
        ("Activation", "attention_gate"),
        ("Multiply", "attention"),
    ],
    "se_divisor_avg_max": [
        ("GlobalAveragePooling2D", "attention_squeeze_avg"),
        ("GlobalMaxPooling2D", "attention_squeeze_max"),
        ("Average", "attention_squeeze"),
        ("Conv2D", "attention_reduce"),
        ("Conv2D", "attention_expand"),
        ("Activation", "attention_gate"),
        ("Multiply", "attention"),
    ],
    "eca_identity_hard": [
        ("GlobalAveragePooling2D", "attention_squeeze"),
        ("Permute", "attention_channels_row"),
        ("Conv2D", "attention_convolution"),
        ("Permute", "attention_channels_last"),
        ("Activation", "attention_gate"),
        ("Rescaling", "attention_gate_scale"),
        ("Multiply", "attention"),
    ],
    "linear_diagonal_cbam": [
        ("GlobalAveragePooling2D", "attention_squeeze_avg"),
        ("GlobalMaxPooling2D", "attention_squeeze_max"),
        ("DepthwiseConv2D", "attention_linear"),
        ("Add", "attention_sum"),
        ("Activation", "attention_gate"),
        ("Multiply", "attention"),
    ],
    "gate": [
        ("GlobalAveragePooling2D", "attention_squeeze"),
        ("Activation", "attention_gate"),
        ("Multiply", "attention"),
    ],
}


@pytest.mark.parametrize("name", SCHEME)
def test_scheme_of_names(name):
    layer_class, arguments = CONFIGURATIONS[name]
    layer = layer_class(
        **arguments, name="attention", data_format="channels_last"
    )
    assert kinds(expand_attention(one_layer(layer))) == SCHEME[name]


def test_a_name_that_is_taken_gets_a_number():
    x = image()
    y = convolution("attention_gate")(x)
    model = keras.Model(x, SqueezeExcite(2, name="attention")(y))
    names = [layer.name for layer in expand_attention(model).layers]
    assert names[1] == "attention_gate"
    assert "attention_gate_1" in names


# Flags and functions


def test_frozen_layer():
    model = one_layer(SqueezeExcite(2, trainable=False, name="attention"))
    expanded = expand_attention(model)
    assert expanded.trainable
    assert not any(layer.trainable for layer in expanded.layers[1:])


def test_frozen_model():
    """Flags of layers inside it are kept too."""
    model = one_layer(SqueezeExcite(2, name="attention"))
    model.trainable = False
    model.get_layer("attention").trainable = True
    expanded = expand_attention(model)
    assert not expanded.trainable
    assert expanded.get_layer("attention_reduce").trainable
    assert not expanded.trainable_weights


def test_frozen_weight():
    model = one_layer(SqueezeExcite(2, use_bias=True, name="attention"))
    model.get_layer("attention").expand_bias.trainable = False
    expanded = expand_attention(model)
    frozen = [weight.path for weight in expanded.non_trainable_weights]
    assert frozen == ["attention_expand/bias"]


def test_regularizers():
    arguments = {"kernel_regularizer": "l2", "bias_regularizer": "l1"}
    model = one_layer(SqueezeExcite(2, use_bias=True, **arguments))
    losses = [
        sum(float(keras.ops.convert_to_numpy(loss)) for loss in one.losses)
        for one in (model, expand_attention(model))
    ]
    assert losses[0] > 0
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_activity_regularizer():
    """On the outputs, which are those of the multiplication."""
    layer = SqueezeExcite(2, name="attention", activity_regularizer="l2")
    expanded = expand_attention(one_layer(layer))
    regularizer = expanded.get_layer("attention").activity_regularizer
    assert regularizer is layer.activity_regularizer


def test_constraint():
    layer = LinearSqueezeExcite(kernel_constraint="non_neg", name="attention")
    expanded = expand_attention(one_layer(layer))
    linear = expanded.get_layer("attention_linear")
    assert isinstance(linear.kernel.constraint, keras.constraints.NonNeg)


@pytest.mark.training
def test_one_step_of_training_is_the_same():
    model = one_layer(SqueezeExcite(2, use_bias=True))
    expanded = expand_attention(model)
    x = sample(model)
    for one in (model, expanded):
        one.compile(keras.optimizers.SGD(0.5), "mse")
        one.fit(x, x, verbose=0)
    weights = zip(model.get_weights(), expanded.get_weights(), strict=True)
    for weight, other in weights:
        np.testing.assert_allclose(weight.ravel(), other.ravel(), atol=1e-6)


# Structures


def test_the_given_model_stays_as_it_is():
    model = one_layer(SqueezeExcite(2))
    config, outputs = model.get_config(), predictions(model)
    expanded = expand_attention(model)
    for weight in expanded.weights:
        weight.assign(np.zeros(weight.shape))
    assert model.get_config() == config
    assert distance(outputs, predictions(model)) == 0


def attended(name="attended"):
    x = image(f"{name}_image")
    y = SqueezeExcite(2, use_bias=True, name="se")(convolution("conv")(x))
    y = EfficientChannelAttention(3, name="eca")(y)
    return keras.Model(x, layers.Add(name="add")([x, y]), name=name)


def test_nested_model_that_is_called_twice():
    left, right = image("left"), image("right")
    inner = attended()
    difference = layers.Subtract()([inner(left), inner(right)])
    model = randomize(keras.Model([left, right], difference))
    expanded = expand_attention(model)
    assert not attention_of(expanded)
    assert "attended/se_reduce" in layers_of(expanded)
    assert expanded.count_params() == model.count_params()
    assert_same_outputs(model, expanded)


@pytest.mark.parametrize("name", ["se_identity", "eca_ns_circular_cbam"])
def test_layer_that_is_called_twice(name):
    x = image()
    layer_class, arguments = CONFIGURATIONS[name]
    layer = layer_class(**arguments, name="attention")
    y = layer(convolution("conv")(layer(x)))
    model = randomize(keras.Model(x, y))
    expanded = expand_attention(model)
    assert expanded.count_params() == model.count_params()
    assert_same_outputs(model, expanded)


def test_several_outputs_keep_their_names():
    x = image()
    y = SqueezeExcite(2, name="attention")(convolution("conv")(x))
    model = randomize(keras.Model(x, [y, convolution("head")(y)]))
    expanded = expand_attention(model)
    assert expanded.output_names == ["attention", "head"]
    assert_same_outputs(model, expanded)


def test_sequential_model_becomes_a_functional_one():
    model = keras.Sequential(
        [image(), SqueezeExcite(2), convolution("conv")], name="chain"
    )
    randomize(model)
    expanded = expand_attention(model)
    assert not isinstance(expanded, keras.Sequential)
    assert expanded.name == "chain"
    assert_same_outputs(model, expanded)


def test_sequential_model_inside_another_one():
    inner = keras.Sequential([image("inner_image"), SqueezeExcite(2)])
    outer = keras.Sequential([image(), convolution("conv"), inner])
    expanded = expand_attention(randomize(outer))
    assert isinstance(expanded, keras.Sequential)
    assert_same_outputs(outer, expanded)


class Trainer(keras.Sequential):
    def train_step(self, *args):
        return super().train_step(*args)


def test_sequential_model_with_a_training_step_is_refused():
    model = Trainer([image(), SqueezeExcite(2)])
    with pytest.raises(ValueError, match=r"cannot be copied.*`train_step`"):
        expand_attention(model)


def without(layer_config, *names):
    return {k: v for k, v in layer_config.items() if k not in names}


@pytest.mark.parametrize("spatial", [(7,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize(
    ("name", "data_format"),
    [
        ("se", "channels_last"),
        ("se_bias", "channels_first"),
        ("se_swish_hard_max", "channels_last"),
        ("se_identity", "channels_first"),
        ("se_divisor_avg_max", "channels_last"),
        ("eca_identity_hard", "channels_first"),
        ("linear_ese", "channels_last"),
        ("gate_hard_cbam", "channels_first"),
        ("cbam", "channels_first"),
        ("scse", "channels_last"),
        ("scse_identity", "channels_first"),
        ("context", "channels_first"),
        ("context_scale", "channels_last"),
    ],
)
def test_fusion_is_the_inverse(name, data_format, spatial):
    kind, arguments = CONFIGURATIONS[name]
    layer = kind(**arguments, name="attention", data_format=data_format)
    model = one_layer(layer, spatial)
    fused = fuse_attention(expand_attention(model))
    (found,) = attention_of(fused).values()
    # The width of the bottleneck is stated in one way, of several, and trained
    # weights learn at the rate of the other layers.
    ignored = (
        "reduction",
        "bottleneck_units",
        "divisor",
        "kernel_size",
        "learning_rate_multiplier",
    )
    assert without(found.get_config(), *ignored) == (
        without(layer.get_config(), *ignored)
    )
    for weight, other in zip(layer.weights, found.get_weights(), strict=True):
        value = layer.multiplier_of(weight) * ops.convert_to_numpy(weight)
        np.testing.assert_array_equal(value, other)
    assert_same_outputs(model, fused)


# Networks


def small():
    x = image()
    y = SqueezeExcite(2, use_bias=True)(convolution("a", activation="relu")(x))
    y = EfficientChannelAttention(3)(convolution("b", activation="relu")(y))
    return keras.Model(x, layers.GlobalAveragePooling2D()(y))


def resnet():
    return models.SEResNet18(
        weights=None, input_shape=(32, 32, 3), data_format="channels_last"
    )


def mobilenet():
    return fuse_attention(
        keras.applications.MobileNetV3Small(
            weights=None, include_top=False, input_shape=(32, 32, 3)
        )
    )


@pytest.mark.parametrize(
    "build",
    [
        small,
        # JAX compiles each operation for half a minute.
        pytest.param(resnet, marks=pytest.mark.backend("tensorflow", "torch")),
        pytest.param(
            mobilenet, marks=pytest.mark.backend("tensorflow", "torch")
        ),
    ],
)
def test_networks(build):
    model = randomize(build())
    count = len(attention_of(model))
    expanded = expand_attention(model)
    assert count > 1
    assert not attention_of(expanded)
    assert set(layers_of(model)) < set(layers_of(expanded))
    assert expanded.count_params() == model.count_params()
    # Eighteen layers and more add their rounding errors.
    assert_same_outputs(model, expanded, 1e-5)


def test_file_loads_where_the_package_is_not_installed(tmp_path):
    model = randomize(small())
    outputs = outputs_without_the_package(
        expand_attention(model), sample(model), tmp_path
    )
    assert distance(predictions(model), outputs) < TOLERANCE


# What is refused


def masked(x):
    mask = layers.Lambda(lambda x: x[..., 0] > 0, output_shape=(6, 6))(x)
    return SqueezeExcite(2, name="attention")(x, mask=mask)


def masked_by_position(x):
    mask = np.ones((1, 6, 6), "bool")
    return SqueezeExcite(2, name="attention")(x, mask)


def mask_of_the_input(x):
    x = layers.Masking()(layers.Reshape((36, 8))(x))
    return SqueezeExcite(2, name="attention")(x)


def scores(x):
    layer = SqueezeExcite(2, name="attention")
    return layer(x, return_attention_scores=True)


def time_distributed(x):
    return layers.TimeDistributed(
        SqueezeExcite(2, data_format="channels_last"), name="attention"
    )(x)


def own_class(x):
    return Plain(name="attention")(x)


class Louder(SqueezeExcite):
    """A subclass may compute something else."""

    def excite(self, descriptor):
        return 2 * super().excite(descriptor)


def subclass(x):
    return Louder(2, name="attention")(x)


def integers(x):
    return SqueezeExcite(2, name="attention")(keras.ops.cast(x, "int32"))


def share_of_the_batch(x):
    return x / keras.ops.sum(x, axis=1, keepdims=True)


def gate_along_axis_one(x):
    layer = SqueezeExcite(
        2, gate_activation=share_of_the_batch, name="attention"
    )
    return layer(x)


def constraint_along_an_axis(x):
    layer = SqueezeExcite(2, kernel_constraint="max_norm", name="attention")
    return layer(x)


def regularizer_of_matrices(x):
    layer = SqueezeExcite(
        2,
        kernel_regularizer=keras.regularizers.OrthogonalRegularizer(),
        name="attention",
    )
    return layer(x)


def two_ranks(x):
    layer = SqueezeExcite(2, name="attention")
    y = layer(layers.Reshape((36, 8))(layer(x)))
    return layers.Reshape((6, 6, 8))(y)


def mask_of_a_nested_model(x):
    inputs = keras.Input((36, 8))
    y = SqueezeExcite(2, name="attention", data_format="channels_last")(inputs)
    inner = keras.Model(inputs, layers.Dense(8)(y), name="inner")
    return inner(layers.Masking()(layers.Reshape((36, 8))(x)))


def mask_behind_a_nested_model(x):
    inputs = keras.Input((36, 8))
    inner = keras.Model(inputs, layers.Dense(8)(inputs), name="inner")
    y = inner(layers.Masking()(layers.Reshape((36, 8))(x)))
    return SqueezeExcite(2, name="attention", data_format="channels_last")(y)


REFUSED = {
    masked: "is called with a mask.*`ignore_masks=True`",
    masked_by_position: "is called with a mask",
    mask_of_the_input: "is called with a mask",
    mask_of_a_nested_model: "is called with a mask",
    mask_behind_a_nested_model: "is called with a mask",
    scores: "is called with `return_attention_scores=True` or",
    time_distributed: "wraps attention in `TimeDistributed`",
    own_class: "its class Plain is none of",
    subclass: "its class Louder is none of",
    integers: "its input is int32",
    gate_along_axis_one: "its `gate_activation` gives other results",
    constraint_along_an_axis: "its `kernel_constraint` gives other results",
    regularizer_of_matrices: "its `kernel_regularizer` gives other results",
    two_ranks: "called with inputs of rank 4 and 3",
}


# Keras says that nested models drop masks, which it passes on nonetheless.
of_nested_models = pytest.mark.filterwarnings(
    "ignore:.*Functional.*does not support masking:UserWarning"
)


@of_nested_models
@pytest.mark.parametrize("build", REFUSED)
def test_what_is_refused(build):
    keras.config.set_image_data_format("channels_last")
    x = image()
    model = keras.Model(x, build(x))
    with pytest.raises(ValueError, match=REFUSED[build]) as error:
        expand_attention(model)
    assert "attention'" in str(error.value)


def test_nothing_to_expand():
    x = image()
    with pytest.raises(ValueError, match="found no channel attention"):
        expand_attention(keras.Model(x, convolution("conv")(x)))


def test_what_is_no_network():
    with pytest.raises(TypeError, match="must be a Keras model"):
        expand_attention(ChannelAttention())


# Masks that are left out


def computed_mask(attention, x):
    return attention(x, mask=keras.ops.any(keras.ops.not_equal(x, 0), -1))


def mask_by_position(attention, x):
    return attention(x, keras.ops.any(keras.ops.not_equal(x, 0), -1))


def mask_that_comes_with_the_input(attention, x):
    return attention(layers.Masking()(x))


def mask_of_a_nested_call(attention, x):
    inputs = keras.Input((6, 8))
    return keras.Model(inputs, attention(inputs))(layers.Masking()(x))


def both(attention, x):
    return computed_mask(attention, layers.Masking()(x))


# The tensors of OpenVINO carry no masks.
@of_nested_models
@pytest.mark.backend("tensorflow", "torch", "jax", "numpy")
@pytest.mark.parametrize("pooling", ["avg", "avg_max_separate"])
@pytest.mark.parametrize(
    "apply",
    [
        computed_mask,
        mask_by_position,
        mask_that_comes_with_the_input,
        mask_of_a_nested_call,
        both,
    ],
)
def test_ignored_masks(apply, pooling, rng, tmp_path):
    """As without a mask, also where the signals are padded."""
    attention = SqueezeExcite(
        2, pooling=pooling, data_format="channels_last", name="attention"
    )
    x = keras.Input((6, 8))
    model = randomize(keras.Model(x, apply(attention, x)))
    signals = rng.normal(size=(2, 6, 8)).astype("float32")
    signals[:, 4:] = 0
    expected = predictions(keras.Model(x, attention(x)), signals)
    assert distance(predictions(model, signals), expected) > 0.01
    expanded = expand_attention(model, ignore_masks=True)
    assert distance(predictions(expanded, signals), expected) < TOLERANCE
    expanded.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert distance(predictions(loaded, signals), expected) < TOLERANCE


@pytest.mark.skipif(
    tuple(map(int, keras.__version__.split(".")[:2])) < (3, 14),
    reason="Keras refused a model with an input that nothing takes",
)
@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
def test_a_mask_that_ends_before_the_attention():
    """In a nested model, where Keras records no masks."""
    inputs = keras.Input((6, 8))
    y = layers.Conv1D(8, 1, data_format="channels_last")(inputs)
    inner = keras.Model(
        inputs, SqueezeExcite(2, data_format="channels_last")(y)
    )
    x = keras.Input((6, 8))
    model = randomize(keras.Model(x, inner(layers.Masking()(x))))
    assert_same_outputs(model, expand_attention(model))


def test_an_ignored_mask_that_is_an_input_stays_one():
    """It has no effect: a model of the other input needs no mask."""
    x, mask = keras.Input((6, 8)), keras.Input((6,), dtype="bool")
    layer = SqueezeExcite(2, data_format="channels_last")
    model = randomize(keras.Model([x, mask], layer(x, mask=mask)))
    expanded = expand_attention(model, ignore_masks=True)
    assert len(expanded.inputs) == 2
    alone = keras.Model(expanded.inputs[0], expanded.output)
    signals, full = sample(model)[0], np.ones((2, 6), "bool")
    expected = predictions(model, [signals, full])
    assert distance(predictions(alone, signals), expected) < TOLERANCE


def test_layers_after_an_ignored_mask_keep_theirs(rng):
    x = keras.Input((6, 8))
    y = SqueezeExcite(2, data_format="channels_last")(layers.Masking()(x))
    model = keras.Model(x, layers.GlobalAveragePooling1D()(y))
    expanded = expand_attention(model, ignore_masks=True)
    signals = rng.normal(size=(2, 6, 8)).astype("float32")
    signals[:, 4:] = 0
    # The gates differ. With zeros for weights, they are one half.
    for network in (model, expanded):
        network.set_weights([0 * w for w in network.get_weights()])
    expected = signals[:, :4].mean(1) / 2
    assert distance(predictions(expanded, signals), expected) < TOLERANCE


def test_ignore_masks_must_be_a_boolean():
    model = one_layer(SqueezeExcite(2))
    with pytest.raises(TypeError, match="`ignore_masks` must be True or False"):
        expand_attention(model, ignore_masks=1)
