"""The least important channels are removed until the multiply-adds fit."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.networks import predictions
from support.pruning import conv, lowest_share, macs_share, small

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    model_costs,
    models,
)
from keras_channel_attn.pruning import (
    channel_groups,
    magnitude,
    prune_channels,
    selection,
)

LAST = {"data_format": "channels_last"}


def unet():
    x = inputs = keras.Input((64, 64, 3))
    skips = []
    for width in (8, 16, 32):
        x = layers.ReLU()(layers.BatchNormalization()(conv(width, None)(x)))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = conv(64, None, activation="relu")(x)
    for width, skip in zip((32, 16, 8), skips[::-1], strict=True):
        x = layers.Conv2DTranspose(width, 2, strides=2)(x)
        x = conv(width, None)(layers.Concatenate()([x, skip]))
    return keras.Model(inputs, conv(2, None, 1)(x))


def application(name):
    return getattr(keras.applications, name)(
        weights=None, input_shape=(64, 64, 3), classes=10
    )


def of_ours(name):
    return getattr(models, name)(input_shape=(64, 64, 3), classes=10, **LAST)


NETWORKS = {
    "U-Net": unet,
    **{
        name: lambda name=name: application(name)
        for name in ("ResNet50", "MobileNetV2", "EfficientNetB0", "DenseNet121")
    },
    **{
        name: lambda name=name: of_ours(name)
        for name in ("SEResNet50", "ECAResNet50")
    },
}


# The choice does not depend on the backend, and JAX compiles each new shape.
@pytest.mark.backend("torch")
@pytest.mark.filterwarnings("ignore:.*new neighbors")
@pytest.mark.parametrize("name", NETWORKS)
def test_large_networks_lose_half_of_their_macs(name):
    model = NETWORKS[name]()
    pruned = prune_channels(model, magnitude)
    # Steps are single channels: the budget is nearly used up.
    assert 0.49 < macs_share(pruned, model) <= 0.5
    x = np.random.default_rng(1).normal(size=(1, 64, 64, 3))
    outputs = predictions(pruned, x.astype("float32"))
    assert outputs.shape == (1, *model.output.shape[1:])
    assert np.isfinite(outputs).all()


def all_kinds():
    """Every layer whose multiply-adds depend on its channels."""
    x = keras.Input((8, 8, 4))
    y = conv(12, "a")(x)
    y = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(y)
    y = layers.SeparableConv2D(12, 3, name="separable")(y)
    y = SqueezeExcite(4)(y)
    y = LinearSqueezeExcite()(y)
    y = LinearSqueezeExcite(4)(y)
    y = EfficientChannelAttention(3)(y)
    y = EfficientChannelAttention(3, shared_kernel=False)(y)
    y = conv(8, "grouped", groups=4)(y)
    y = layers.Conv2DTranspose(9, 3, name="transposed")(y)
    y = layers.Dense(7, name="dense")(layers.Flatten()(y))
    return keras.Model(x, layers.Dense(2, name="head")(y))


@pytest.mark.filterwarnings("ignore:.*new neighbors")
@pytest.mark.parametrize("share", [0.9, 0.6, 0.3])
def test_budget_is_computed_as_model_costs_does(share):
    """One channel less would be above: the count before building is exact."""
    model = all_kinds()
    importance = {
        group.name: np.arange(group.channels)
        for group in channel_groups(model).values()
        if not group.locked
    }
    pruned = prune_channels(model, importance, share, minimum=0)
    reached = macs_share(pruned, model)
    assert reached <= share
    # One multiply-add less.
    budget = reached - 1 / model_costs(model).macs
    assert (
        macs_share(prune_channels(model, importance, budget, minimum=0), model)
        < reached
    )
    again = prune_channels(model, importance, reached, minimum=0)
    assert macs_share(again, model) == reached


def test_least_important_channels_go():
    model = small()
    importance = {"a": np.arange(12)[::-1]}
    pruned = prune_channels(model, importance, macs=0.7)
    left = pruned.get_layer("a").filters
    np.testing.assert_array_equal(
        pruned.get_layer("a").get_weights()[0],
        model.get_layer("a").get_weights()[0][..., :left],
    )
    assert pruned.get_layer("b").filters == 20


def test_channels_of_all_groups_are_compared():
    """Without normalization, the group with the lower numbers loses more."""
    importance = {"a": np.arange(12) + 1, "b": 100 + np.arange(20)}
    pruned = prune_channels(small(), importance, normalize=None, minimum=0.25)
    assert pruned.get_layer("a").filters < 12
    assert pruned.get_layer("b").filters == 20


def test_normalization_makes_groups_comparable():
    importance = {"a": np.arange(12) + 1, "b": 100 * (np.arange(20) + 1)}
    pruned = prune_channels(small(), importance)
    assert pruned.get_layer("a").filters < 12
    assert pruned.get_layer("b").filters < 20


@pytest.mark.parametrize(
    ("minimum", "multiple_of", "filters"),
    [(0.5, 1, 6), (0.55, 1, 7), (0.5, 4, 8), (0.3, 5, 5), (0, 1, 1)],
)
def test_minimum_and_multiple(minimum, multiple_of, filters):
    """The lowest share that can be reached has the fewest filters."""
    importance = {"a": np.arange(12)}
    arguments = {"minimum": minimum, "multiple_of": multiple_of}
    share = lowest_share(small(), importance, **arguments)
    pruned = prune_channels(small(), importance, share + 1e-3, **arguments)
    assert pruned.get_layer("a").filters == filters


def test_result_is_deterministic():
    model = small()
    ties = {"a": np.ones(12), "b": np.ones(20)}
    first, second = (prune_channels(model, ties).get_weights() for _ in "ab")
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_numbers_of_numpy():
    importance = {"a": np.arange(12)}
    plain = {"macs": 0.75, "minimum": 0.25, "multiple_of": 4}
    kinds = np.float32, np.float64, np.int32
    given = {
        name: kind(plain[name]) for name, kind in zip(plain, kinds, strict=True)
    }
    expected = prune_channels(small(), importance, **plain, verbose=0)
    verbose = np.int64(0)
    pruned = prune_channels(small(), importance, **given, verbose=verbose)
    assert pruned.get_layer("a").filters == expected.get_layer("a").filters


def frames():
    """A network for images, and one that applies it to each frame."""
    image = keras.Input((8, 8, 3))
    y = layers.GlobalAveragePooling2D()(conv(12, "a")(image))
    inner = keras.Model(image, layers.Dense(2)(y), name="inner")
    clip = keras.Input((4, 8, 8, 3))
    y = layers.TimeDistributed(inner, name="frames")(clip)
    return inner, keras.Model(clip, layers.Dense(3, name="head")(y))


INSIDE = (
    r"The model 'inner' inside 'frames' \(of type TimeDistributed\) is not "
    "read: prune that model, and wrap the result again"
)


@pytest.mark.filterwarnings("ignore:.*unknown")
@pytest.mark.parametrize(
    "importance", [magnitude, {"frames/a": np.arange(12)}, {"a": [1] * 12}]
)
def test_model_inside_a_wrapper_is_named(importance):
    _, model = frames()
    with pytest.raises(ValueError, match=INSIDE):
        prune_channels(model, importance)


def test_model_inside_a_wrapper_is_pruned_and_wrapped_again():
    inner, model = frames()
    pruned = prune_channels(inner, magnitude, 0.6)
    clip = keras.Input((4, 8, 8, 3))
    y = layers.TimeDistributed(pruned, name="frames")(clip)
    head = model.get_layer("head")
    narrower = keras.Model(clip, head(y))
    assert predictions(narrower).shape == predictions(model).shape
    assert narrower.count_params() < model.count_params()


def test_all_macs_is_a_copy():
    model = small()
    copy = prune_channels(model, magnitude, macs=1)
    np.testing.assert_array_equal(predictions(copy), predictions(model))


def test_unknown_input_size():
    x = keras.Input((None, None, 3))
    y = conv(4, "last")(conv(12, "a")(x))
    model = keras.Model(x, y)
    with pytest.raises(ValueError, match="input_shape"):
        prune_channels(model, magnitude)
    pruned = prune_channels(model, magnitude, input_shape=(16, 16, 3))
    assert pruned.get_layer("a").filters == 6


@pytest.mark.parametrize("minimum", [0, 0.5])
def test_each_part_of_a_split_keeps_channels(minimum):
    x = keras.Input((8, 8, 3))
    first, second = ops.split(conv(12, "a")(x), [4], axis=-1)
    y = layers.Concatenate()([conv(3, "b")(first), second])
    model = keras.Model(x, conv(2, "last")(y))
    # Those of the first part are the least important ones.
    importance = {"a": np.arange(12)}
    pruned = prune_channels(model, importance, 0.75, minimum=minimum)
    split = next(x for x in pruned.operations if type(x).__name__ == "Split")
    least = 2 if minimum else 1
    assert split.output[0].shape[-1] == least
    assert macs_share(pruned, model) <= 0.75
    assert predictions(pruned).shape == predictions(model).shape


def test_each_input_of_a_concatenation_keeps_channels():
    x = keras.Input((8, 8, 3))
    y = layers.Concatenate()([conv(4, "a")(x), conv(8, "b")(x)])
    y = layers.Add()([y, conv(12, "c", 1)(x)])
    model = keras.Model(x, conv(2, "last")(y))
    pruned = prune_channels(model, {"a": np.arange(12)}, 0.5)
    assert [pruned.get_layer(name).filters for name in "abc"] == [1, 5, 6]


@pytest.mark.parametrize(
    ("share", "size"), [(0.28, 25), (0.07, 100), (0.69, 100)]
)
def test_share_that_is_not_exact_in_floating_point(share, size):
    """0.28 * 25 is 7.000000000000001, 0.69 * 100 is 68.99999999999999."""
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, conv(2, "last")(conv(size, "a")(x)))
    pruned = prune_channels(model, {"a": np.arange(size)}, share, minimum=share)
    assert pruned.get_layer("a").filters == round(share * size)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype="int8"),
        list(range(12)),
        keras.ops.arange(12, dtype="float32"),
    ],
)
def test_kinds_of_importance(values):
    pruned = prune_channels(small(), {"a": values}, 0.9, multiple_of=4)
    kernel = small().get_layer("a").get_weights()[0]
    assert pruned.get_layer("a").filters == 8
    assert pruned.get_layer("a").kernel.shape == (*kernel.shape[:-1], 8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_importance_of_half_precision(dtype):
    importance = {"a": ops.cast(ops.arange(12), dtype)}
    pruned = prune_channels(small(), importance, 0.9, multiple_of=4)
    assert pruned.get_layer("a").filters == 8


def test_importance_of_a_list_of_tensors():
    values = ops.arange(12, dtype="float32")
    importance = {"a": [values[number] for number in range(12)]}
    pruned = prune_channels(small(), importance, 0.9, multiple_of=4)
    assert pruned.get_layer("a").filters == 8


def test_importance_computed_with_keras_ops():
    """Weights of torch require a gradient."""
    model = small()
    pruned = prune_channels(
        model,
        lambda group: (
            ops.sum(model.get_layer("a").kernel, (0, 1, 2))
            if group.name == "a"
            else None
        ),
        0.9,
    )
    assert pruned.get_layer("a").filters < 12


@pytest.mark.training
def test_pruned_network_is_trained_saved_and_loaded(tmp_path):
    pruned = prune_channels(small(), magnitude)
    pruned.compile("sgd", "mse")
    pruned.fit(np.ones((4, 8, 8, 3)), np.ones((4, 4)), verbose=0)
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    np.testing.assert_allclose(
        predictions(loaded), predictions(pruned), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"importance": "magnitude"}, TypeError, "`importance` must be"),
        ({"importance": {"c": [1]}}, ValueError, "no group of that name"),
        ({"importance": {"head": np.ones(4)}}, ValueError, "must stay"),
        ({"importance": {"a": np.ones(3)}}, ValueError, "12 finite numbers"),
        (
            {"importance": {"a": np.full(12, np.nan)}},
            ValueError,
            "12 finite numbers",
        ),
        ({"macs": 0}, ValueError, "above 0"),
        ({"macs": 1.5}, ValueError, "at most 1"),
        ({"macs": "half"}, TypeError, "`macs` must be"),
        ({"minimum": -0.1}, ValueError, "from 0 to 1"),
        ({"multiple_of": 0}, ValueError, "positive integer"),
        ({"normalize": "max"}, ValueError, "'mean' or None"),
        ({"normalize": np.ones(2)}, TypeError, "'mean' or None"),
        ({"normalize": 1}, TypeError, "'mean' or None"),
        ({"macs": np.array([0.5])}, TypeError, "`macs` must be"),
        ({"minimum": np.array(0.5)}, TypeError, "`minimum` must be"),
        ({"verbose": np.int64(3)}, ValueError, "'auto', 0, 1 or 2"),
        ({"verbose": np.ones(2)}, TypeError, "'auto', 0, 1 or 2"),
        ({"verbose": None}, TypeError, "'auto', 0, 1 or 2"),
        ({"importance": {"a": ["x"] * 12}}, ValueError, "12 finite numbers"),
        ({"importance": {"a": [[1], [1, 2]]}}, ValueError, "12 finite"),
        ({"importance": {"a": [1j] * 12}}, ValueError, "12 finite numbers"),
        ({"importance": {"a": range(11)}}, ValueError, "12 finite numbers"),
        ({"importance": {}}, ValueError, "numbers for no group"),
        ({"multiple_of": 32}, ValueError, "100.0% of the MACs are left"),
        ({"macs": 0.01, "minimum": 0.5}, ValueError, "cannot be reached"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        prune_channels(small(), **{"importance": magnitude, **arguments})


@pytest.mark.parametrize(
    ("verbose", "patience", "lines"),
    [(0, 0, 0), (1, 1000, 1), (2, 1000, 1), ("auto", 1000, 0), ("auto", 0, 1)],
)
def test_progress(verbose, patience, lines, capsys, monkeypatch):
    monkeypatch.setattr(selection, "PATIENCE", patience)
    prune_channels(small(), magnitude, verbose=verbose)
    written = capsys.readouterr().out
    assert written.count("\n") == lines
    # Two groups that may be pruned, and seven layers.
    assert ("9/9" in written) == bool(lines)


@pytest.mark.parametrize("importance", [magnitude, {"a": np.arange(12)}])
def test_each_step_of_progress(importance, monkeypatch):
    shown = []
    monkeypatch.setattr(
        selection.Progress, "_show", lambda _, n: shown.append(n)
    )
    prune_channels(small(), importance, macs=0.8)
    assert shown == list(range(1, 10))
