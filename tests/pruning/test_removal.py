"""Channels that are zero are removed, and nothing else changes."""

import os
import warnings

import hypothesis
import keras
import numpy as np
import pytest
from conftest import BACKEND
from hypothesis import strategies as st
from keras import layers, ops
from support.networks import (
    SAVED,
    predictions,
    randomize,
    sample,
    shared,
)
from support.pruning import (
    assert_removal_is_exact,
    axis,
    lowest_share,
    network,
    silence,
    some_channels,
)

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)
from keras_channel_attn.pruning import (
    channel_groups,
    prune_channels,
    remove_channels,
)

# Graphs are read alike on every backend, and JAX compiles each new shape.
FORMATS = ["channels_last", "channels_first"]
if BACKEND != "torch":
    FORMATS = FORMATS[:1]


def squeeze_excite_of_keras(x):
    """As EfficientNet in `keras.applications` writes it."""
    size = x.shape[axis()]
    y = layers.GlobalAveragePooling2D(name="squeeze")(x)
    y = layers.Reshape((size, 1, 1) if axis() == 1 else (1, 1, size))(y)
    y = layers.Conv2D(6, 1, activation="silu", name="reduce")(y)
    y = layers.Conv2D(size, 1, activation="sigmoid", name="expand")(y)
    return layers.multiply([x, y])


def hard_swish(x):
    return x * ops.relu6(x + 3.0) / 6.0


def with_addition(x):
    return layers.Add()([x, layers.Conv2D(x.shape[axis()], 1)(x)])


def with_concatenation(x):
    y = layers.Conv2D(8, 1, name="second")(x)
    return layers.Concatenate(axis=axis())([x, y])


def with_second(x):
    return layers.Concatenate()([layers.Conv2D(4, 1)(x), x])


def split_and_joined(x):
    first, second = ops.split(x, [5], axis=axis())
    second = layers.Conv2D(6, 1, name="second")(second)
    return layers.Concatenate(axis=axis())([second, first])


def split_in_parts(x):
    parts = ops.split(x, 3, axis=axis())
    return layers.Concatenate(axis=axis())([parts[2], parts[0], parts[1]])


def nested_twice(x):
    shape = x.shape[1:]
    inputs = keras.Input(shape)
    y = layers.Conv2D(x.shape[axis()], 3, padding="same", name="in")(inputs)
    inner = keras.Model(inputs, layers.BatchNormalization(axis())(y))
    return inner(inner(x))


def shared_twice(x):
    layer = layers.Conv2D(x.shape[axis()], 1)
    return layer(layers.ReLU()(layer(x)))


def transposed(x):
    order = (2, 3, 1) if axis() == 1 else (3, 1, 2)
    back = (3, 1, 2) if axis() == 1 else (2, 3, 1)
    return layers.Permute(back)(layers.Permute(order)(x))


def weighted_pooling(x):
    return ops.sum(x, axis=(2, 3) if axis() == 1 else (1, 2))


def squeezed(x):
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    with warnings.catch_warnings():
        # Of Keras 3.12, which compares unknown sizes with numbers.
        warnings.simplefilter("ignore", DeprecationWarning)
        return ops.squeeze(x)


def padded(x):
    positions = ((1, 2), (3, 0))
    widths = (*positions, (0, 0)) if axis() == -1 else ((0, 0), *positions)
    return ops.pad(x, ((0, 0), *widths))


BODIES = {
    "activation": lambda x: layers.Activation("relu")(x),
    "leaky": lambda x: layers.LeakyReLU()(x),
    "prelu": lambda x: layers.PReLU()(x),
    "prelu, shared axes": lambda x: layers.PReLU(
        shared_axes=[2, 3] if axis() == 1 else [1, 2]
    )(x),
    "function": lambda x: ops.tanh(x),
    "hard swish": hard_swish,
    "dropout": lambda x: layers.Dropout(0.5)(x),
    "spatial dropout": lambda x: layers.SpatialDropout2D(0.5)(x),
    "batch norm": lambda x: layers.BatchNormalization(axis())(x),
    "batch norm, no scale": lambda x: layers.BatchNormalization(
        axis(), scale=False
    )(x),
    "group norm": lambda x: layers.GroupNormalization(4, axis())(x),
    "instance norm": lambda x: layers.GroupNormalization(-1, axis())(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(3)(x),
    "depthwise, multiplier": lambda x: layers.DepthwiseConv2D(
        3, depth_multiplier=2
    )(x),
    "grouped": lambda x: layers.Conv2D(8, 3, groups=4)(x),
    "separable": lambda x: layers.SeparableConv2D(
        7, 3, depth_multiplier=2, name="second"
    )(x),
    "transposed": lambda x: layers.Conv2DTranspose(7, 3, name="second")(x),
    "max pooling": lambda x: layers.MaxPooling2D()(x),
    "average pooling": lambda x: layers.AveragePooling2D(2)(x),
    "global average": lambda x: layers.GlobalAveragePooling2D()(x),
    "global maximum, kept axes": lambda x: layers.GlobalMaxPooling2D(
        keepdims=True
    )(x),
    "sum over positions": weighted_pooling,
    "padding": lambda x: layers.ZeroPadding2D(1)(x),
    "cropping": lambda x: layers.Cropping2D(1)(x),
    "upsampling": lambda x: layers.UpSampling2D()(x),
    "sizes": lambda x: layers.Resizing(9, 9)(x),
    "sizes, function": lambda x: ops.image.resize(x, (9, 9)),
    "padding, function": padded,
    "slice": lambda x: x[:, 1:, 2:] if axis() == -1 else x[..., 1:],
    "row": lambda x: layers.GlobalMaxPooling1D()(
        x[:, 0] if axis() == -1 else x[..., 0]
    ),
    "rescaling": lambda x: layers.Rescaling(0.3)(x),
    "bounds": lambda x: ops.clip(x, -0.1, 0.1),
    "pooling, function": lambda x: ops.average_pool(
        ops.max_pool(x, 2, 1), 2, 1
    ),
    "squeeze": squeezed,
    "flatten": lambda x: layers.Flatten()(x),
    "flatten, dense": lambda x: layers.Dense(6, "relu", name="second")(
        layers.Flatten()(x)
    ),
    "permute": transposed,
    "addition": with_addition,
    "maximum": lambda x: layers.Maximum()([x, with_addition(x)]),
    "concatenation": with_concatenation,
    "split": split_and_joined,
    "split in parts": split_in_parts,
    "SE of Keras": squeeze_excite_of_keras,
    "SqueezeExcite": lambda x: SqueezeExcite(3, use_bias=True)(x),
    "SqueezeExcite, two poolings": lambda x: SqueezeExcite(
        3, pooling="avg_max_separate"
    )(x),
    "LinearSqueezeExcite": lambda x: LinearSqueezeExcite(use_bias=True)(x),
    "LinearSqueezeExcite, groups": lambda x: LinearSqueezeExcite(4)(x),
    "LinearSqueezeExcite, one each": lambda x: LinearSqueezeExcite(12)(x),
    "SqueezeGate": lambda x: SqueezeGate()(x),
    "ConcurrentSqueezeExcite": lambda x: ConcurrentSqueezeExcite(4)(x),
    "ConcurrentSqueezeExcite, max": lambda x: ConcurrentSqueezeExcite(
        4, use_bias=True, combination="max"
    )(x),
    "ConcurrentSqueezeExcite, spatial": lambda x: ConcurrentSqueezeExcite(
        combination="spatial"
    )(x),
    "CoordinateAttention": lambda x: CoordinateAttention()(x),
    "GlobalContext": lambda x: GlobalContext(4)(x),
    "GlobalContext, scale": lambda x: GlobalContext(4, fuse="scale")(x),
    "nested model": nested_twice,
    "shared layer": shared_twice,
}


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", BODIES)
def test_silent_channels_are_removed(name, data_format):
    keras.config.set_image_data_format(data_format)
    model = network(BODIES[name])
    assert channel_groups(model)["first"].locked is None
    narrower = assert_removal_is_exact(model)
    assert narrower.get_layer("first").filters < 12


def cross_stage(x):
    """The C2f block of YOLOv8: parts of a split are added to and joined."""
    first, second = ops.split(x, 2, axis=-1)
    third = second + layers.Conv2D(second.shape[-1], 1)(second)
    y = layers.Concatenate()([first, second, third])
    return layers.Conv2D(x.shape[-1], 1)(y)


KEEPING = {
    "residual": with_addition,
    "depthwise": lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    "grouped": lambda x: layers.Conv2D(x.shape[-1], 1, groups=2)(x),
    "joined": lambda x: layers.Conv2D(6, 1)(with_second(x)),
    "dense": lambda x: layers.Dense(8, "relu")(x),
    "shuffled": lambda x: layers.Concatenate()(ops.split(x, 2, axis=-1)[::-1]),
    "cross stage": cross_stage,
    "gated": lambda x: x * layers.Conv2D(1, 1, activation="sigmoid")(x),
    **{
        name: BODIES[name]
        for name in (
            *("activation", "batch norm", "instance norm", "prelu"),
            *("SqueezeExcite", "LinearSqueezeExcite", "SqueezeGate"),
            *("hard swish", "dropout", "nested model", "shared layer"),
        )
    },
}


NAMES = st.lists(st.sampled_from(sorted(KEEPING)), min_size=2, max_size=7)
SKIPS = st.sets(st.integers(0, 6))
some_examples = hypothesis.settings(
    max_examples=int(os.environ.get("NETWORKS", 8)),
    derandomize="NETWORKS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def random_network(names, skips):
    """Steps one after the other, some of them with a skip connection."""

    def body(x):
        for number, name in enumerate(names):
            y = KEEPING[name](x)
            if number in skips and y.shape == x.shape:
                y = x + y
            x = y
        return x

    keras.utils.clear_session(free_memory=False)
    return network(body)


@some_examples
@hypothesis.given(NAMES, SKIPS)
def test_random_networks(names, skips):
    # Deep sums of gates lose more digits than one layer.
    assert_removal_is_exact(random_network(names, skips), tolerance=1e-4)


@some_examples
@hypothesis.given(NAMES, SKIPS, st.integers(0, 2**32 - 1))
def test_each_layer_of_random_networks_keeps_a_channel(names, skips, seed):
    """With any importance and `minimum=0`, the narrowest network still runs."""
    model = random_network(names, skips)
    rng = np.random.default_rng(seed)

    def importance(group):
        return rng.normal(size=group.channels)

    macs = min(1, lowest_share(model, importance, minimum=0) + 1e-3)
    pruned = prune_channels(model, importance, macs, minimum=0)
    assert np.isfinite(predictions(pruned, sample(model))).all()


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("kind", ["Conv{}D", "Conv{}DTranspose"])
def test_other_ranks(rank, kind):
    layer = getattr(layers, kind.format(rank))(6, 3, name="second")
    narrower = assert_removal_is_exact(network(layer, rank))
    assert narrower.get_layer("second").filters == 4


def test_operator_and_layer_of_different_rank():
    """`Multiply` inserts axes, so that gates of rank 2 meet the channels."""

    def gated(x):
        gates = layers.GlobalAveragePooling2D()(x)
        gates = layers.Dense(12, "sigmoid", name="gates")(gates)
        return layers.Multiply()([x, gates])

    model = network(gated)
    assert channel_groups(model)["first"].producers == ["first", "gates"]
    assert_removal_is_exact(model)


def test_embedding():
    x = keras.Input((7,), dtype="int32")
    y = layers.Embedding(20, 6, name="embedding")(x)
    model = keras.Model(x, layers.Conv1D(3, 3)(y))
    randomize(model)
    silence(model, {"embedding": [1, 4]})
    tokens = np.arange(14).reshape(2, 7)
    narrower = remove_channels(model, {"embedding": [1, 4]})
    np.testing.assert_allclose(
        predictions(narrower, tokens), predictions(model, tokens), atol=1e-5
    )


@pytest.mark.parametrize("build", [x for x in SAVED if x is not shared])
def test_networks(build):
    assert_removal_is_exact(build())


def test_kept_channels_have_their_weights_in_order():
    model = randomize(network(layers.ReLU()))
    narrower = remove_channels(model, {"first": [0, 3, 11]})
    kept = [1, 2, 4, 5, 6, 7, 8, 9, 10]
    for weights, expected in (
        ("first", lambda w: w[..., kept]),
        ("last", lambda w: w[..., kept, :] if w.ndim > 1 else w),
    ):
        for old, new in zip(
            model.get_layer(weights).get_weights(),
            narrower.get_layer(weights).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(new, expected(old))


def test_efficient_attention_keeps_its_kernel_and_warns_once():
    """64 channels have a kernel of 3; by the rule, 4 would have one of 1."""
    model = randomize(
        network(EfficientChannelAttention(name="eca"), filters=64)
    )
    removed = {"first": np.arange(60)}
    with pytest.warns(UserWarning, match="new neighbors") as warned:
        narrower = remove_channels(model, removed)
    about = [w for w in warned if "neighbors" in str(w.message)]
    assert len(about) == 1
    np.testing.assert_array_equal(
        narrower.get_layer("eca").get_weights(),
        model.get_layer("eca").get_weights(),
    )


def test_warning_names_the_path_in_a_nested_model():
    inner = network(EfficientChannelAttention(3, name="eca"))
    x = keras.Input(inner.input.shape[1:])
    model = keras.Model(x, inner(x))
    (name,) = [x for x in channel_groups(model) if x.endswith("first")]
    with pytest.warns(UserWarning, match=f"layers: {inner.name}/eca"):
        remove_channels(model, {name: [0]})


@pytest.mark.parametrize("function", [remove_channels, prune_channels])
def test_warning_shows_the_line_of_the_user(function):
    model = network(EfficientChannelAttention(3))
    with pytest.warns(UserWarning, match="new neighbors") as warned:
        function(model, {"first": np.arange(12) < 2})
    (about,) = [w for w in warned if "neighbors" in str(w.message)]
    assert about.filename == __file__


def test_efficient_attention_gates_depend_on_the_new_neighbors():
    """The output is that of the same layer on the channels that are left."""
    model = randomize(network(EfficientChannelAttention(3, name="eca")))
    with pytest.warns(UserWarning, match="new neighbors"):
        narrower = remove_channels(model, {"first": [2, 7]})
    x = sample(model)
    first = keras.Model(model.input, model.get_layer("first").output)
    kept = np.delete(predictions(first, x), [2, 7], axis=-1)
    expected = model.get_layer("eca")
    layer = EfficientChannelAttention(3)
    layer.build(kept.shape)
    layer.set_weights(expected.get_weights())
    inner = keras.Model(narrower.input, narrower.get_layer("eca").output)
    np.testing.assert_allclose(
        predictions(inner, x),
        ops.convert_to_numpy(layer(kept)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_own_kernels_of_efficient_attention_are_sliced():
    attention = EfficientChannelAttention(3, shared_kernel=False, name="eca")
    model = randomize(network(attention))
    with pytest.warns(UserWarning, match="new neighbors"):
        narrower = remove_channels(model, {"first": [2, 7]})
    kernel = np.delete(attention.get_weights()[0], [2, 7], axis=1)
    sliced = narrower.get_layer("eca").get_weights()[0]
    np.testing.assert_array_equal(sliced, kernel)


def test_squeeze_excite_keeps_its_bottleneck():
    model = network(SqueezeExcite(reduction=4, name="se"))
    narrower = remove_channels(model, {"first": [0, 1, 2, 3]})
    layer = narrower.get_layer("se")
    assert layer.bottleneck_units == 3
    assert tuple(layer.reduce_kernel.shape) == (8, 3)


def test_original_is_unchanged():
    model = randomize(network(with_concatenation))
    config, weights = model.get_config(), model.get_weights()
    remove_channels(model, some_channels(model))
    assert model.get_config() == config
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_nothing_to_remove_is_a_copy():
    model = randomize(network(with_concatenation))
    copy = remove_channels(model, {"first": []})
    np.testing.assert_array_equal(predictions(copy), predictions(model))


def test_names_flags_and_policies_are_kept():
    policy = "mixed_bfloat16"
    norm = layers.BatchNormalization(axis(), dtype=policy, name="norm")
    model = network(norm)
    model.get_layer("first").trainable = False
    narrower = remove_channels(model, {"first": [0, 1]})
    assert [x.name for x in narrower.layers] == [x.name for x in model.layers]
    assert [x.trainable for x in narrower.layers] == [
        x.trainable for x in model.layers
    ]
    assert narrower.get_layer("norm").dtype_policy.name == policy


def test_initializers_are_kept():
    initializer = keras.initializers.HeNormal(seed=7)
    layer = layers.Conv2D(8, 1, kernel_initializer=initializer, name="second")
    narrower = remove_channels(network(layer), {"second": [0]})
    copied = narrower.get_layer("second").kernel_initializer
    assert copied.get_config() == initializer.get_config()


def test_initializer_with_an_array_is_left_out(tmp_path):
    """Its shape is that of the original's weight."""
    table = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
    x = keras.Input((7,), dtype="int32")
    y = layers.Embedding(
        20, 6, keras.initializers.Constant(table), name="table"
    )(x)
    y = layers.Dense(3)(layers.GlobalAveragePooling1D()(y))
    narrower = remove_channels(keras.Model(x, y), {"table": [0, 3]})
    np.testing.assert_array_equal(
        narrower.get_layer("table").get_weights()[0],
        table[:, [1, 2, 4, 5]],
    )
    narrower.save(tmp_path / "narrower.keras")
    loaded = keras.models.load_model(tmp_path / "narrower.keras")
    words = np.arange(14).reshape(2, 7)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded(words)),
        keras.ops.convert_to_numpy(narrower(words)),
    )


def test_initializer_with_an_array_stays_where_it_fits():
    biases = np.array([1.0, 2.0, 3.0, 4.0, 5.0], "float32")
    layer = layers.Conv2D(
        5, 1, bias_initializer=keras.initializers.Constant(biases), name="last"
    )
    x = keras.Input((6, 6, 4))
    model = keras.Model(x, layer(layers.Conv2D(12, 1, name="first")(x)))
    narrower = remove_channels(model, {"first": [0]})
    copied = narrower.get_layer("last").bias_initializer
    np.testing.assert_array_equal(copied.value, biases)


def test_one_channel_is_not_squeezed():
    model = network(squeezed)
    narrower = remove_channels(model, {"first": range(11)})
    assert narrower.get_layer("last").kernel.shape == (1, 5)
    assert predictions(narrower).shape == predictions(model).shape


@pytest.mark.parametrize(
    ("body", "removed", "message"),
    [
        (
            split_and_joined,
            {"first": range(5)},
            r"of 'split': .* of these: {'first': \[0, 1, 2, 3, 4\]}",
        ),
        (
            lambda x: layers.Add()(
                [with_second(x), layers.Conv2D(16, 1, name="third")(x)]
            ),
            {"first": range(4, 16)},
            r"of 'conv2d.* of these: {'first': \[12, 13, 14, 15\]}",
        ),
    ],
)
def test_each_tensor_keeps_a_channel(body, removed, message):
    with pytest.raises(ValueError, match=message):
        remove_channels(network(body), removed)


def test_layer_of_the_user_locks_the_channels_before_it_only():
    model = network(
        lambda x: layers.Lambda(lambda x: x * 2, name="double")(
            layers.Conv2D(8, 1, name="second")(x)
        )
    )
    groups = channel_groups(model)
    assert groups["first"].locked is None
    assert "'double' (of type Lambda)" in groups["second"].locked
    assert_removal_is_exact(model)


@pytest.mark.training
def test_narrower_network_trains():
    model = network(lambda x: layers.GlobalAveragePooling2D()(with_addition(x)))
    narrower = remove_channels(model, some_channels(model))
    before = [np.array(w) for w in narrower.get_weights()]
    narrower.compile("sgd", "mse")
    narrower.fit(np.ones((4, 6, 6, 4)), np.ones((4, 5)), verbose=0)
    after = narrower.get_weights()
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))


def test_narrower_network_is_saved_and_loaded(tmp_path):
    def body(x):
        x = layers.GroupNormalization(3, axis())(x)
        return squeeze_excite_of_keras(SqueezeExcite(4)(split_and_joined(x)))

    model = network(body)
    narrower = assert_removal_is_exact(model)
    narrower.save(tmp_path / "narrower.keras")
    loaded = keras.models.load_model(tmp_path / "narrower.keras")
    np.testing.assert_allclose(
        predictions(loaded), predictions(narrower), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "channels",
    [
        (0, 5),
        range(0, 6, 5),
        np.array([0, 5], "uint8"),
        [np.int64(0), np.array(5)],
        ops.convert_to_tensor([0, 5]),
        [index in (0, 5) for index in range(12)],
    ],
)
def test_kinds_of_indices(channels):
    narrower = remove_channels(network(layers.ReLU()), {"first": channels})
    assert narrower.get_layer("first").filters == 10


@pytest.mark.parametrize(
    ("removed", "error", "message"),
    [
        (["first"], TypeError, "`removed` must be a dictionary"),
        ({"frist": [0]}, ValueError, r"Near it: \['first'\]"),
        ({"last": [0]}, ValueError, "they are an output of the model"),
        ({"first": range(12)}, ValueError, "At least one must stay"),
        ({"first": [12]}, ValueError, "from 0 to 11"),
        ({"first": [-1]}, ValueError, "from 0 to 11"),
        ({"first": [True, False]}, ValueError, "boolean array of length 12"),
        ({"first": [0.5]}, TypeError, "list of indices"),
        ({"first": 3}, TypeError, "list of indices"),
        ({"first": [[0], [1, 2]]}, TypeError, "list of indices"),
    ],
)
def test_errors(removed, error, message):
    model = network(layers.ReLU())
    with pytest.raises(error, match=message):
        remove_channels(model, removed)
