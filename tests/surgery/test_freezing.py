"""Attention with constant gates: what it computes, and which weights hold it.

The truth: the weights of attention are set so that its gates are the means
over the data, in the network itself.
"""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import networks
from support.configurations import shape_of
from support.constant_gates import Attention, fixed_gates, relative_change
from support.plain_files import outputs_without_the_package

from keras_channel_attn import (
    ConvolutionalBlockAttention,
    GlobalContext,
    SqueezeExcite,
    attention_layers,
    attention_report,
    attention_scores,
    freeze_attention,
    insert_attention,
)

pytestmark = pytest.mark.backend("tensorflow", "torch", "jax")

SAMPLES = 8
LAST = {"data_format": "channels_last"}
FIRST = {"data_format": "channels_first"}


def attention(name="se", **arguments):
    return Attention(name=name, **{**LAST, **arguments})


def chain(*between, shape=(6, 6, 4)):
    """A network of one layer after another, with random weights."""
    x = inputs = keras.Input(shape)
    for layer in between:
        x = layer(x)
    return randomized(keras.Model(inputs, x, name="chain"))


def randomized(model, seed=0):
    networks.randomize(model)
    rng = np.random.default_rng(seed)
    for layer in attention_layers(model).values():
        if isinstance(layer, Attention):
            layer.randomize(rng)
    return model


def mean_gates(model, x):
    """The mean over samples, steps and calls, from the scores of each call."""
    found = {}
    for path, array in attention_scores(model, x, verbose=0).items():
        rows = array.reshape(-1, array.shape[-1])
        found.setdefault(path.partition(":")[0], []).append(rows)
    layers_by_path = attention_layers(model)
    return {
        layers_by_path[path]: np.concatenate(rows).mean(0)
        for path, rows in found.items()
    }


def frozen(model, x, **arguments):
    """The copy, which may warn of layers that multiply."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multiply by constants")
        return freeze_attention(model, x, verbose=0, **arguments)


def assert_frozen(model, copy, x, tolerance=1e-5):
    """The copy computes what the model does with the mean gates."""
    with fixed_gates(mean_gates(model, x)):
        expected = networks.predictions(model, x)
    actual = networks.predictions(copy, x)
    assert networks.distance(expected, actual) < tolerance


def kinds(model):
    return [type(layer).__name__ for layer in model.layers[1:]]


def same(kind, /, *arguments, **options):
    """A convolution with channels last, and padding that keeps sizes."""
    return getattr(layers, kind)(
        *arguments, **{"padding": "same", **LAST, **options}
    )


# Each layer, before and after the attention.

BEFORE = {
    "convolution": lambda: [same("Conv2D", 8, 3)],
    "no bias": lambda: [same("Conv2D", 8, 3, use_bias=False)],
    "relu": lambda: [same("Conv2D", 8, 3, activation="relu")],
    "leaky relu": lambda: [same("Conv2D", 8, 3, activation="leaky_relu")],
    "groups": lambda: [same("Conv2D", 8, 3, groups=2)],
    "strides": lambda: [same("Conv2D", 8, 3, strides=2)],
    "depthwise": lambda: [same("DepthwiseConv2D", 3)],
    "multiplier": lambda: [same("DepthwiseConv2D", 3, depth_multiplier=2)],
    "transposed": lambda: [same("Conv2DTranspose", 8, 3, strides=2)],
    "separable": lambda: [same("SeparableConv2D", 8, 3)],
    "dense": lambda: [layers.Dense(8)],
    "batch norm": lambda: [
        same("Conv2D", 8, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
    ],
    "no center": lambda: [
        same("Conv2D", 8, 3),
        layers.BatchNormalization(center=False),
    ],
    "group norm": lambda: [
        same("Conv2D", 8, 3, activation="swish"),
        layers.GroupNormalization(2),
    ],
    "layers between": lambda: [
        same("Conv2D", 8, 3),
        layers.Dropout(0.5),
        layers.SpatialDropout2D(0.5, **LAST),
        layers.Activation("relu"),
        layers.PReLU(shared_axes=(1, 2)),
        layers.MaxPooling2D(**LAST),
        layers.AveragePooling2D(2, padding="same", **LAST),
        layers.ZeroPadding2D(**LAST),
        layers.UpSampling2D(interpolation="bilinear", **LAST),
        layers.Cropping2D(**LAST),
        layers.LeakyReLU(),
    ],
    "reshape": lambda: [same("Conv2D", 8, 3), layers.Reshape((9, 4, 8))],
    "permute": lambda: [same("Conv2D", 8, 3), layers.Permute((2, 1, 3))],
    "channels moved": lambda: [
        layers.Dense(8),
        layers.Permute((3, 1, 2)),
        layers.Reshape((8, 36)),
        layers.Permute((2, 1)),
    ],
    "pooled": lambda: [
        same("Conv2D", 8, 3),
        layers.GlobalAveragePooling2D(keepdims=True, **LAST),
    ],
}
AFTER = {
    "convolution": lambda: [same("Conv2D", 8, 3)],
    "any activation": lambda: [same("Conv2D", 8, 3, activation="tanh")],
    "groups": lambda: [same("Conv2D", 6, 3, groups=2)],
    "depthwise": lambda: [same("DepthwiseConv2D", 3, depth_multiplier=2)],
    "transposed": lambda: [same("Conv2DTranspose", 6, 3)],
    "separable": lambda: [same("SeparableConv2D", 6, 3, depth_multiplier=2)],
    "dense": lambda: [layers.Dense(5)],
    "classifier": lambda: [
        layers.ReLU(),
        layers.GlobalAveragePooling2D(**LAST),
        layers.Dropout(0.5),
        layers.Dense(3),
    ],
    "maximum": lambda: [
        layers.GlobalMaxPooling2D(**LAST),
        layers.Dense(3),
    ],
    "flatten": lambda: [layers.Flatten(**LAST), layers.Dense(3)],
    "flatten, channels first": lambda: [
        layers.Permute((3, 1, 2)),
        layers.Flatten(**FIRST),
        layers.Dense(3),
    ],
    "several": lambda: [
        layers.ZeroPadding2D(**LAST),
        layers.MaxPooling2D(**LAST),
        same("Conv2D", 4, 1),
    ],
}


@pytest.mark.parametrize("name", BEFORE)
def test_weights_before(name, rng):
    between = BEFORE[name]()
    # Nothing after it takes the factors.
    model = chain(*between, attention(), layers.Activation("tanh"))
    x = networks.sample(model, SAMPLES)
    copy = freeze_attention(model, x, verbose=0)
    assert kinds(copy) == [*(type(x).__name__ for x in between), "Activation"]
    assert_frozen(model, copy, x)


@pytest.mark.parametrize("name", AFTER)
def test_weights_after(name, rng):
    between = AFTER[name]()
    first = [same("Conv2D", 8, 3), layers.Activation("swish")]
    model = chain(*first, attention(), *between)
    x = networks.sample(model, SAMPLES)
    copy = freeze_attention(model, x, verbose=0)
    expected = [type(layer).__name__ for layer in (*first, *between)]
    assert kinds(copy) == expected
    assert_frozen(model, copy, x)


def test_both_sides_of_one_layer(rng):
    """Its weights get the factors of two layers of attention."""
    swish = [layers.Activation("swish") for _ in range(2)]
    model = chain(
        layers.Dense(8),
        swish[0],
        attention("first"),
        same("Conv2D", 8, 3),
        attention("second"),
        swish[1],
    )
    x = networks.sample(model, SAMPLES)
    copy = freeze_attention(model, x, verbose=0)
    assert "Rescaling" not in kinds(copy)
    assert_frozen(model, copy, x)


def test_first_layer_of_a_model(rng):
    model = chain(attention(), same("Conv2D", 8, 3))
    x = networks.sample(model, SAMPLES)
    assert_frozen(model, freeze_attention(model, x, verbose=0), x)


def test_channels_first(rng):
    model = chain(
        layers.BatchNormalization(axis=1),
        layers.ReLU(),
        attention(**FIRST),
        shape=(8, 4, 3),
    )
    x = networks.sample(model, SAMPLES)
    copy = freeze_attention(model, x, verbose=0)
    assert kinds(copy) == ["BatchNormalization", "ReLU"]
    assert_frozen(model, copy, x)


# Where a layer multiplies.


def used_elsewhere(x):
    y = layers.Dense(8)(x)
    return layers.Concatenate()([attention()(y), y])


def output_of_the_model(x):
    y = layers.Dense(8)(x)
    return [y, attention()(y)]


def shared_convolution(x):
    dense = layers.Dense(8)
    return layers.Add()([attention()(dense(x)), dense(x)])


def shared_weight(x):
    dense = layers.Dense(8)
    y = layers.Activation("tanh")(attention()(dense(x)))
    return layers.Add()([y, ops.matmul(x, dense.kernel)])


def other_activation(x):
    y = layers.Dense(8, activation="swish")(x)
    return layers.Activation("tanh")(attention()(y))


def relu6(x):
    y = layers.ReLU(max_value=6)(layers.Dense(8)(x))
    return layers.Activation("tanh")(attention()(y))


def threshold(x):
    y = layers.ReLU(threshold=0.1)(layers.Dense(8)(x))
    return layers.Activation("tanh")(attention()(y))


def norm_without_scale(x):
    y = layers.BatchNormalization(scale=False)(layers.Dense(8)(x))
    return layers.Activation("tanh")(attention()(y))


def constraint(x):
    y = layers.Dense(8, kernel_constraint="unit_norm")(x)
    return layers.Activation("tanh")(attention()(y))


def activity_regularizer(x):
    y = layers.Dense(8, activity_regularizer="l2")(x)
    return layers.Activation("tanh")(attention()(y))


def softmax(x):
    y = layers.Softmax()(layers.Dense(8)(x))
    return layers.Activation("tanh")(attention()(y))


def noise(x):
    y = layers.GaussianNoise(0.1)(layers.Dense(8)(x))
    return layers.Activation("tanh")(attention()(y))


def channels_along_another_axis(x):
    y = layers.Dense(6)(x)
    return layers.Activation("tanh")(attention(**FIRST)(y))


def pooled_channels_along_another_axis(x):
    y = layers.DepthwiseConv2D(3, **LAST)(x)
    y = layers.GlobalAveragePooling2D(keepdims=True, **LAST)(y)
    return layers.Activation("tanh")(attention(**FIRST)(y))


def own_layer(x):
    y = networks.Shift(0.5)(layers.Dense(8)(x))
    return layers.Activation("tanh")(attention()(y))


def first_and_last(x):
    return attention()(x)


@pytest.mark.parametrize(
    "build",
    [
        used_elsewhere,
        output_of_the_model,
        shared_convolution,
        shared_weight,
        other_activation,
        relu6,
        threshold,
        norm_without_scale,
        constraint,
        activity_regularizer,
        softmax,
        noise,
        channels_along_another_axis,
        pooled_channels_along_another_axis,
        own_layer,
        first_and_last,
    ],
)
def test_multiplication(build, rng):
    inputs = keras.Input((6, 6, 4))
    model = randomized(keras.Model(inputs, build(inputs)))
    x = networks.sample(model, SAMPLES)
    with pytest.warns(UserWarning, match=r"multiply by constants.*\n  se: "):
        copy = freeze_attention(model, x, verbose=0)
    assert isinstance(copy.get_layer("se"), layers.Rescaling)
    assert_frozen(model, copy, x)


@pytest.mark.parametrize(
    "between",
    [
        lambda: [layers.UpSampling1D(2)],
        lambda: [layers.Cropping1D(1)],
        lambda: [layers.ZeroPadding1D(1, **LAST)],
    ],
)
def test_layers_along_the_channels_of_attention(between, rng):
    """They change which channel of attention a number belongs to."""
    model = chain(
        layers.BatchNormalization(axis=1),
        *between(),
        attention(**FIRST),
        layers.Activation("tanh"),
        shape=(8, 6),
    )
    x = networks.sample(model, SAMPLES)
    copy = frozen(model, x)
    assert isinstance(copy.get_layer("se"), layers.Rescaling)
    assert_frozen(model, copy, x)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("spatial", [(5,), (4, 3), (2, 3, 2), (2, 1, 3, 2)])
def test_multiplication_of_any_rank(spatial, data_format, rng, tmp_path):
    """Also in a file that is loaded where the global format is another one."""
    shape = shape_of(None, spatial, 4, data_format)[1:]
    model = chain(attention(data_format=data_format), shape=shape)
    x = networks.sample(model, SAMPLES)
    copy = frozen(model, x)
    assert_frozen(model, copy, x)
    copy.save(tmp_path / "model.keras")
    for global_format in ("channels_first", "channels_last"):
        keras.config.set_image_data_format(global_format)
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert_frozen(model, loaded, x)


def test_attention_that_is_called_twice(rng):
    """One gate for each channel, the mean over both calls."""
    layer = attention()
    model = chain(
        layer, layers.Activation("tanh"), layer, layers.Activation("tanh")
    )
    x = networks.sample(model, SAMPLES)
    assert_frozen(model, frozen(model, x), x)


def test_attention_that_is_called_with_two_ranks(rng):
    layer = attention()
    model = chain(
        *(layer, layers.Activation("tanh"), layers.Reshape((36, 4))),
        *(layer, layers.Activation("tanh")),
    )
    x = networks.sample(model, SAMPLES)
    assert_frozen(model, frozen(model, x), x)


@pytest.mark.parametrize("fuse", ["add", "scale"])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_global_context(fuse, activation, rng):
    """What is added becomes part of a bias, where nothing is in between."""
    model = chain(
        layers.Dense(8, activation=activation),
        GlobalContext(2, fuse=fuse, name="gc", **LAST),
        layers.Activation("tanh"),
    )
    x = networks.sample(model, SAMPLES)
    scores = attention_scores(model, x, verbose=0)["gc"].mean(0)
    dense = model.layers[1](x)
    dense = keras.ops.convert_to_numpy(dense)
    expected = np.tanh(dense + scores if fuse == "add" else dense * scores)
    copy = frozen(model, x)
    actual = networks.predictions(copy, x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    is_folded = "gc" not in [layer.name for layer in copy.layers]
    assert is_folded or (fuse, activation) == ("add", "relu")


# Networks.


@pytest.mark.parametrize("build", networks.SAVED)
def test_networks(build, rng):
    model = insert_attention(
        build(),
        lambda site: Attention(name=f"{site.name}_se"),
        lambda layer: isinstance(layer, layers.Conv2D),
    )
    randomized(model)
    x = networks.sample(model, SAMPLES)
    before = [keras.ops.convert_to_numpy(w).copy() for w in model.weights]
    copy = frozen(model, x)
    assert_frozen(model, copy, x)
    assert not networks.attention_of(copy)
    names = set(networks.layers_of(model)) - set(networks.attention_of(model))
    assert names <= set(networks.layers_of(copy))
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_time_distributed(rng):
    for activation in ("relu", "swish"):
        model = chain(
            layers.Dense(8, activation=activation),
            layers.TimeDistributed(attention(), name="in_time"),
            shape=(5, 6, 4),
        )
        x = networks.sample(model, SAMPLES)
        copy = frozen(model, x)
        is_multiplied = isinstance(copy.layers[-1], layers.Rescaling)
        assert is_multiplied == (activation == "swish")
        assert_frozen(model, copy, x)


def test_time_distributed_channels_first(rng):
    wrapped = layers.TimeDistributed(attention(**FIRST), name="in_time")
    model = chain(wrapped, shape=(5, 4, 3, 2))
    x = networks.sample(model, SAMPLES)
    assert_frozen(model, frozen(model, x), x)


def test_masks_reach_the_layers_behind(rng):
    """The means are those of the positions in the mask."""
    inputs = keras.Input((None, 4))
    x = layers.Masking()(inputs)
    x = attention()(layers.Dense(8, activation="relu")(x))
    x = layers.GlobalAveragePooling1D(**LAST)(x)
    model = randomized(keras.Model(inputs, x))
    values = np.random.default_rng(0).normal(size=(SAMPLES, 6, 4))
    values[:3, 2:] = 0
    x = values.astype("float32")
    assert_frozen(model, frozen(model, x), x)


@pytest.mark.backend("tensorflow", "torch", "jax", "numpy")
@pytest.mark.filterwarnings("ignore:.*not support masking:UserWarning")
@pytest.mark.parametrize("is_folded", [True, False])
def test_a_mask_ends_in_a_nested_model(is_folded, rng):
    """With the channels first, the outputs of attention carry no mask.

    The mask that Keras passes must fit: as many channels as positions.
    """
    inputs = keras.Input((6, 6))
    y = layers.Activation("linear" if is_folded else "swish")(inputs)
    inner = keras.Model(inputs, attention(**FIRST)(y), name="inner")
    x = keras.Input((6, 6))
    y = layers.Dense(6, activation="relu")(layers.Masking()(x))
    model = randomized(keras.Model(x, layers.LSTM(3)(inner(y))))
    values = np.random.default_rng(0).normal(size=(SAMPLES, 6, 6))
    values[:, 2:] = 0
    values = values.astype("float32")
    assert_frozen(model, frozen(model, values), values)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy, rng):
    keras.config.set_dtype_policy(policy)
    model = chain(
        same("Conv2D", 8, 3, activation="relu"),
        attention(),
        layers.Activation("swish"),
        attention("second"),
    )
    x = networks.sample(model, SAMPLES)
    copy = frozen(model, x)
    assert copy.get_layer("second").dtype_policy.name == policy
    assert copy.layers[1].dtype_policy.name == policy
    assert copy.output.dtype == model.output.dtype
    assert_frozen(model, copy, x, tolerance=0.05)


@pytest.mark.parametrize("dtype", ["int32", "float16"])
def test_attention_that_changes_the_dtype(dtype, rng):
    """What follows would compute with another one."""
    inputs = keras.Input((6, 6, 4), dtype=dtype)
    x = attention(dtype="float32")(inputs)
    model = randomized(keras.Model(inputs, same("Conv2D", 3, 2)(x)))
    x = rng.integers(0, 9, size=(SAMPLES, 6, 6, 4)).astype(dtype)
    with pytest.warns(UserWarning, match="'se' changes the dtype"):
        copy = freeze_attention(model, x, verbose=0)
    assert_frozen(model, copy, x)


def test_flags_and_regularizers_are_kept(rng):
    model = chain(
        same("Conv2D", 8, 3, kernel_regularizer="l2", name="conv"),
        attention(),
        layers.Activation("tanh"),
    )
    model.get_layer("conv").trainable = False
    copy = freeze_attention(model, networks.sample(model, SAMPLES), verbose=0)
    assert not copy.get_layer("conv").trainable
    assert copy.get_layer("conv").kernel_regularizer is not None


# Which layers.


def three(rng):
    """Attention whose gates differ hardly, much and somewhat."""
    model = chain(
        *(layers.Dense(8), attention("first"), layers.Activation("tanh")),
        *(layers.Dense(8), attention("second"), layers.Activation("tanh")),
        *(layers.Dense(8), attention("third"), layers.Activation("tanh")),
    )
    for name, factor in (("first", 0.01), ("third", 0.1)):
        kernel, _ = model.get_layer(name).weights
        kernel.assign(factor * kernel)
    return model, networks.sample(model, 40)


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (["second"], ["first", "third"]),
        (lambda layer: layer.name != "first", ["first"]),
        (None, []),
    ],
)
def test_some_layers(chosen, left, rng):
    model, x = three(rng)
    copy = freeze_attention(model, x, layers=chosen, verbose=0)
    assert list(attention_layers(copy)) == left


def test_as_many_as_the_tolerance_allows(rng):
    model, x = three(rng)
    report = attention_report(model, x, verbose=0)
    changes = {row.path: row.change_if_constant for row in report.layers}
    assert changes["first"] < changes["third"] < changes["second"]
    outputs = [model.predict(x, verbose=0)]
    for tolerance, expected in (
        (changes["first"] * 1.001, ["second", "third"]),
        (changes["second"] * 0.9, ["second"]),
        (report.change_if_constant * 1.001, []),
    ):
        copy = freeze_attention(
            model, x, layers="auto", tolerance=tolerance, verbose=0
        )
        assert list(attention_layers(copy)) == expected
        change = relative_change(outputs, [copy.predict(x, verbose=0)])
        assert change <= 1.002 * tolerance


def test_none_within_the_tolerance(rng):
    model, x = three(rng)
    with pytest.raises(ValueError, match=r"least change is .* with 'first'"):
        freeze_attention(model, x, layers="auto", tolerance=0, verbose=0)


def test_attention_that_cannot_be_frozen_stays(rng):
    model = chain(
        layers.Dense(8),
        attention(),
        ConvolutionalBlockAttention(2, kernel_size=3, name="cbam", **LAST),
    )
    x = networks.sample(model, SAMPLES)
    with pytest.warns(UserWarning, match=r"cbam: the gates of the channels do"):
        copy = freeze_attention(model, x, verbose=0)
    assert list(attention_layers(copy)) == ["cbam"]


def test_generator(rng):
    """The data are read once, unless layers are chosen by measurement."""
    model = chain(layers.Dense(8), attention(), layers.Activation("tanh"))
    x = networks.sample(model, SAMPLES)
    copy = freeze_attention(
        model, (batch for batch in [(x,)]), steps=1, verbose=0
    )
    assert_frozen(model, copy, x)
    with pytest.raises(ValueError, match="can be read only once"):
        freeze_attention(
            model, (batch for batch in [(x,)]), layers="auto", tolerance=0.1
        )


# Afterwards.


@pytest.mark.training
def test_training_afterwards(rng):
    model = chain(
        same("Conv2D", 8, 3, activation="relu"),
        attention(),
        layers.Activation("swish"),
        attention("second"),
        layers.GlobalAveragePooling2D(**LAST),
        layers.BatchNormalization(),
        layers.Dense(1),
    )
    x = networks.sample(model, 32)
    y = x.mean((1, 2, 3))[:, None]
    copy = frozen(model, x)
    before = [weight.numpy() for weight in copy.trainable_weights]
    copy.compile(keras.optimizers.Adam(0.01), "mse")
    history = copy.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for weight, value in zip(copy.trainable_weights, before, strict=True):
        assert np.abs(weight.numpy() - value).max() > 0, weight.path


def test_file_loads_where_the_package_is_not_installed(tmp_path, rng):
    model = chain(
        layers.Dense(8),
        attention(),
        layers.Activation("swish"),
        attention("second"),
    )
    x = networks.sample(model, SAMPLES)
    copy = frozen(model, x)
    outputs = outputs_without_the_package(copy, x, tmp_path)
    assert networks.distance(networks.predictions(copy, x), outputs) < 1e-6


# What is refused.


def scores_in_use(x):
    return list(attention()(x, return_attention_scores=True))


def only_positions(x):
    return ConvolutionalBlockAttention(2, kernel_size=3, **LAST)(x)


def nothing(x):
    return layers.Dense(3)(x)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (scores_in_use, {}, "is called with `return_attention_scores=True`"),
        (only_positions, {}, "do not determine the outputs of Convolut"),
        (nothing, {}, "found no channel attention"),
        (first_and_last, {"layers": ["other"]}, "Near it"),
        (first_and_last, {"layers": "auto"}, "needs a `tolerance`"),
        (first_and_last, {"tolerance": 0.1}, 'is for `layers="auto"`'),
        (
            first_and_last,
            {"layers": "auto", "tolerance": -1},
            "must be zero or more",
        ),
        (first_and_last, {"x": np.zeros((0, 6, 6, 4))}, "at least one sample"),
        (
            first_and_last,
            {"x": np.full((2, 6, 6, 4), np.nan)},
            r"gates of \['se'\] are not finite",
        ),
        (
            first_and_last,
            {"x": np.ones((1, 6, 6, 4)), "layers": "auto", "tolerance": 1},
            "two samples or more",
        ),
    ],
)
def test_refusals(build, arguments, message, rng):
    inputs = keras.Input((6, 6, 4))
    model = randomized(keras.Model(inputs, build(inputs)))
    x = networks.sample(model, SAMPLES)
    with pytest.raises(ValueError, match=message):
        freeze_attention(**{"model": model, "x": x, "verbose": 0, **arguments})


def test_a_string_that_is_not_auto(rng):
    model = chain(attention())
    x = networks.sample(model, SAMPLES)
    with pytest.raises(TypeError, match='to a boolean, or "auto"'):
        freeze_attention(model, x, layers="Auto", verbose=0)


def test_layers_that_are_named_must_be_frozen(rng):
    model = chain(
        attention(), ConvolutionalBlockAttention(2, name="cbam", **LAST)
    )
    x = networks.sample(model, SAMPLES)
    with pytest.raises(ValueError, match=r"cannot freeze these layers:\n  cba"):
        freeze_attention(model, x, layers=["se", "cbam"], verbose=0)


def test_squeeze_excite_of_this_library(rng):
    """Those above are a subclass that the tests can set to any gates."""
    model = chain(
        layers.Dense(8), SqueezeExcite(2, name="se", **LAST), layers.Dense(3)
    )
    x = networks.sample(model, SAMPLES)
    gates = attention_scores(model, x, verbose=0)["se"].mean(0)
    first, _, last = model.layers[1:]
    hidden = keras.ops.convert_to_numpy(first(x)) * gates
    expected = keras.ops.convert_to_numpy(last(hidden.astype("float32")))
    copy = freeze_attention(model, x, verbose=0)
    assert kinds(copy) == ["Dense", "Dense"]
    actual = networks.predictions(copy, x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
