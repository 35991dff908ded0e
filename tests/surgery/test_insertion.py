"""Attention put into networks, found there, taken out, replaced."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.configurations import over_configurations, over_data_formats
from support.networks import (
    SAVED,
    assert_same,
    attention_of,
    blocks,
    convolution,
    dictionaries,
    distance,
    head,
    image,
    is_convolution,
    layers_of,
    nested,
    nested_in_sequential,
    operations,
    over_networks,
    predictions,
    randomize,
    residual,
    sample,
    sequential,
    shared,
    siamese,
)

from keras_channel_attn import (
    ChannelAttention,
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    attention_sites,
    expand_attention,
    insert_attention,
    remove_attention,
    replace_attention,
)


def identity(**arguments):
    return SqueezeExcite(reduction=2, identity_start=True, **arguments)


def attended(build, where=is_convolution):
    """A network with attention, and random numbers in both."""
    return randomize(insert_attention(build(), SqueezeExcite(2), where))


# What the copy computes and keeps


@over_networks
def test_identity_start_changes_no_output(build):
    model = randomize(build())
    copy = insert_attention(model, identity(), is_convolution)
    assert len(attention_of(copy)) == sum(
        map(is_convolution, layers_of(model).values())
    )
    assert_same(model, copy)


@over_networks
def test_other_attention_changes_the_outputs(build):
    model = randomize(build())
    copy = insert_attention(model, SqueezeExcite(2), is_convolution)
    assert distance(predictions(model), predictions(copy)) > 1e-2


@over_networks
def test_original_layers_keep_all(build):
    model = randomize(build())
    for number, layer in enumerate(layers_of(model).values()):
        if not isinstance(layer, (keras.Model, layers.InputLayer)):
            layer.trainable = number % 3 > 0
    copied = layers_of(insert_attention(model, identity(), is_convolution))
    for path, layer in layers_of(model).items():
        copy = copied[path]
        assert copy is not layer
        assert type(copy) is type(layer)
        if isinstance(layer, (keras.Model, layers.InputLayer)):
            continue
        assert copy.trainable == layer.trainable
        assert copy.get_config() == layer.get_config()
        for one, other in zip(layer.weights, copy.weights, strict=True):
            np.testing.assert_array_equal(
                ops.convert_to_numpy(one), ops.convert_to_numpy(other)
            )


@over_networks
def test_the_given_model_stays_as_it_is(build):
    model = randomize(build())
    config, weights = model.get_config(), model.get_weights()
    outputs = predictions(model)
    copy = insert_attention(model, SqueezeExcite(2), is_convolution)
    for weight in copy.weights:
        weight.assign(np.zeros(weight.shape))
    assert model.get_config() == config
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert distance(outputs, predictions(model)) == 0


def test_tensors_of_the_given_model_can_still_be_used():
    model = randomize(residual())
    insert_attention(model, SqueezeExcite(2))
    end = keras.Model(model.input, model.get_layer("a_2").output)
    assert predictions(end).shape[0] == 2
    assert not attention_of(end)


def test_equal_shapes_are_not_swapped():
    """What a transfer of weights by position would do to this network."""
    model = randomize(residual())
    copy = insert_attention(model, identity())
    before = [layer.name for layer in model.layers]
    after = [layer.name for layer in copy.layers if layer.name in before]
    assert before != after, "the order is the same: nothing could be swapped"
    shapes = [
        [w.shape for w in one.weights]
        for one in (model, remove_attention(copy))
    ]
    assert shapes[0] == shapes[1]
    assert_same(model, copy)


@pytest.mark.training
def test_training_the_copy_leaves_the_original_alone():
    model = randomize(residual())
    x, outputs = sample(model), predictions(model)
    copy = insert_attention(model, SqueezeExcite(2))
    copy.compile("sgd", "mse")
    copy.fit(x, outputs + 1, verbose=0)
    assert distance(predictions(copy, x), outputs) > 1e-3
    assert distance(predictions(model, x), outputs) == 0


@pytest.mark.training
def test_training_the_original_leaves_the_copy_alone():
    model = randomize(residual())
    x, outputs = sample(model), predictions(model)
    copy = insert_attention(model, identity())
    before = predictions(copy, x)
    model.compile("sgd", "mse")
    model.fit(x, outputs + 1, verbose=0)
    assert distance(before, predictions(copy, x)) == 0


def test_the_copy_is_not_compiled():
    model = residual()
    model.compile("sgd", "mse")
    assert not insert_attention(model, identity()).compiled


@pytest.mark.parametrize("build", [sequential, nested_in_sequential])
def test_sequential_stays_sequential(build):
    copy = insert_attention(build(), identity(), is_convolution)
    assert type(copy) is keras.Sequential


class Trainer(keras.Model):
    """A functional model with a training step of its own."""

    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


def test_a_functional_subclass_keeps_its_class():
    x = image()
    model = Trainer(x, blocks(x))
    copy = insert_attention(model, identity())
    assert isinstance(copy, Trainer)
    assert len(attention_of(copy)) == 2


def test_a_shared_layer_is_followed_by_a_shared_one():
    copy = randomize(insert_attention(shared(), SqueezeExcite(2), ["conv"]))
    (attention,) = attention_of(copy).values()
    conv = copy.get_layer("conv")
    y = attention(conv(attention(conv(copy.input))))
    expected = keras.Model(copy.input, head(y))
    expected.layers[-1].set_weights(copy.layers[-1].get_weights())
    assert_same(expected, copy)


def test_a_model_called_twice_is_attended_once():
    copy = insert_attention(siamese(), identity())
    assert list(attention_of(copy)) == [
        "backbone/a_2_squeeze_excite",
        "backbone/b_2_squeeze_excite",
    ]
    assert len(copy.get_layer("backbone")._inbound_nodes) == 2


# Which layer is put in


def test_a_template_gives_each_site_a_layer_of_its_own():
    template = SqueezeExcite(2, name="template")
    copy = insert_attention(residual(), template)
    first, second = attention_of(copy).values()
    assert first is not second
    assert template not in (first, second)
    assert not template.built
    assert not set(map(id, first.weights)) & set(map(id, second.weights))


@pytest.mark.parametrize(
    ("template", "suffix"),
    [
        (SqueezeExcite(2, data_format="channels_last"), "squeeze_excite"),
        (
            EfficientChannelAttention(data_format="channels_last"),
            "efficient_channel_attention",
        ),
        (
            LinearSqueezeExcite(data_format="channels_last"),
            "linear_squeeze_excite",
        ),
        (SqueezeGate(data_format="channels_last"), "squeeze_gate"),
    ],
)
@pytest.mark.parametrize("build", [residual, nested])
def test_names(build, template, suffix):
    model = build()
    copy = insert_attention(model, template)
    assert sorted(attention_of(copy)) == sorted(
        f"{site}_{suffix}" for site in attention_sites(model)
    )


@over_configurations
def test_every_configuration_can_be_inserted(layer_class, arguments):
    template = layer_class(**arguments)
    copy = insert_attention(residual(), template)
    for name, layer in attention_of(copy).items():
        assert type(layer) is layer_class
        assert layer.get_config() == {**template.get_config(), "name": name}


def test_initial_numbers_differ_from_site_to_site():
    copy = insert_attention(residual(), SqueezeExcite(2))
    first, second = (
        layer.get_weights()[0] for layer in attention_of(copy).values()
    )
    assert not np.allclose(first, second)


def test_a_callable_is_given_each_site():
    model, given = residual(), []

    def attention(site):
        given.append(site)
        return EfficientChannelAttention(name=f"{site.name}_mine")

    copy = insert_attention(model, attention)
    assert given == [model.get_layer("a_2"), model.get_layer("b_2")]
    assert list(attention_of(copy)) == ["a_2_mine", "b_2_mine"]


def test_a_callable_that_returns_none_leaves_the_site_alone():
    copy = insert_attention(
        residual(), lambda site: identity() if site.name == "b_2" else None
    )
    assert len(attention_of(copy)) == 1
    names = [layer.name for layer in copy.layers]
    assert names.index("b_2") + 1 == copy.layers.index(
        *attention_of(copy).values()
    )


def test_a_callable_may_return_any_layer():
    model = randomize(residual())
    copy = insert_attention(
        model, lambda site: layers.Rescaling(0.0, name=f"{site.name}_zero")
    )
    assert "a_2_zero" in layers_of(copy)
    assert distance(predictions(model), predictions(copy)) > 1e-2


def test_a_callable_is_asked_once_for_a_shared_layer():
    given = []

    def attention(site):
        given.append(site.name)
        return identity()

    insert_attention(shared(), attention, ["conv"])
    assert given == ["conv"]


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (SqueezeExcite, r"such as `SqueezeExcite\(\)`"),
        (lambda: layers.ReLU(), "For another kind of layer pass a callable"),
        (lambda: "squeeze_excite", "must be a layer of `keras_channel_attn`"),
        (lambda: None, "must be a layer of `keras_channel_attn`"),
    ],
)
def test_what_is_no_attention(attention, message):
    if not isinstance(attention, type):
        # Made here: a layer made at import would set names for all tests.
        attention = attention()
    with pytest.raises(TypeError, match=message):
        insert_attention(residual(), attention)
    with pytest.raises(TypeError, match=message):
        replace_attention(attended(residual), attention)


class WithoutConfiguration(SqueezeExcite):
    """Its argument `scale` is not in its configuration."""

    def __init__(self, scale=1.0, **arguments):
        super().__init__(2, **arguments)
        self.scale = scale


def test_argument_that_a_copy_would_lose():
    with pytest.raises(ValueError, match=r"lose the arguments \['scale'\]"):
        insert_attention(residual(), WithoutConfiguration(2.0))


@pytest.mark.parametrize("returned", ["squeeze_excite", 3, SqueezeExcite])
def test_a_callable_that_returns_no_layer(returned):
    with pytest.raises(TypeError, match=r"must return a Keras layer.*'a_2'"):
        insert_attention(residual(), lambda site: returned)


@pytest.mark.parametrize("which", ["its own", "another's"])
def test_a_layer_in_use_is_refused_and_not_called(which):
    x = image()
    model = keras.Model(x, convolution("c")(x))
    other = identity()
    other(image())
    make = {"its own": lambda layer: layer, "another's": lambda layer: other}
    with pytest.raises(ValueError, match="in use already"):
        insert_attention(model, make[which], ["c"])
    assert model.get_layer("c").output is model.output


def test_attention_may_be_inserted_twice():
    once = insert_attention(residual(), identity(), ["a_2"])
    with pytest.warns(UserWarning, match=r"\['a_2'\] have.*`replace_att"):
        twice = insert_attention(once, identity(), ["a_2"])
    # Each has a name of its own.
    assert len(attention_of(twice)) == 2
    assert_same(once, twice)


STACKED = {
    "residual branch": "residual",
    "attention": ["b_2_squeeze_excite"],
    "before attention": lambda layer: layer.name == "b_2",
}


@pytest.mark.parametrize("where", STACKED.values(), ids=STACKED)
def test_attention_after_attention_is_a_warning(where):
    once = insert_attention(residual(), identity(), ["b_2"])
    with pytest.warns(UserWarning, match="have channel attention already"):
        insert_attention(once, identity(), where)


def test_other_layers_beside_attention_are_no_warning():
    once = insert_attention(residual(), identity(), ["b_2"])
    insert_attention(once, lambda site: layers.Dropout(0.1), ["b_2"])
    insert_attention(once, identity(), ["b_1"])


# Where it is put


ALL = {
    residual: ["a_2", "b_2"],
    dictionaries: ["a_2", "b_2"],
    nested: ["backbone/a_2", "backbone/b_2"],
    siamese: ["backbone/a_2", "backbone/b_2"],
    nested_in_sequential: ["inner/backbone/a_2", "inner/backbone/b_2"],
}


@pytest.mark.parametrize(("build", "expected"), ALL.items())
def test_residual_is_the_default(build, expected):
    assert attention_sites(build()) == expected
    copy = insert_attention(build(), identity())
    assert [
        path.removesuffix("_squeeze_excite") for path in attention_of(copy)
    ] == expected


def test_the_sites_of_operations():
    model = operations()
    (site,) = attention_sites(model)
    copy = insert_attention(model, identity())
    assert list(attention_of(copy)) == [f"{site}_squeeze_excite"]


@pytest.mark.parametrize("where", ["residual", is_convolution])
@pytest.mark.parametrize("build", [*ALL, operations])
def test_sites_can_be_passed_on(build, where):
    model = randomize(build())
    sites = attention_sites(model, where)
    assert attention_sites(model, sites) == sites
    # No other layer consumes the end of a branch in these networks.
    copies = [
        insert_attention(model, SqueezeExcite(2), one) for one in (where, sites)
    ]
    first, second = (attention_of(copy) for copy in copies)
    assert list(first) == list(second)
    for path, layer in first.items():
        second[path].set_weights(layer.get_weights())
    assert_same(*copies)


def test_attention_follows_the_named_layer_for_all_consumers():
    model = randomize(residual())
    copy = insert_attention(model, SqueezeExcite(2), ["a_add"])
    layer = copy.get_layer("a_add_squeeze_excite")
    x = sample(model)
    plain = predictions(
        keras.Model(model.input, model.get_layer("a_add").output), x
    )
    names = ("a_add_squeeze_excite", "b_2", "b_add")
    ends = [copy.get_layer(name).output for name in names]
    scaled, branch, added = predictions(keras.Model(copy.input, ends), x)
    expected = ops.convert_to_numpy(layer(plain))
    np.testing.assert_allclose(scaled, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(added, scaled + branch, rtol=1e-4, atol=1e-5)


def test_a_nested_model_as_a_site():
    copy = insert_attention(nested(), identity(), ["backbone"])
    assert list(attention_of(copy)) == ["backbone_squeeze_excite"]


def test_attention_after_the_last_layer():
    x = image()
    model = randomize(keras.Model(x, convolution("conv")(x)))
    copy = insert_attention(model, SqueezeExcite(2), ["conv"])
    assert copy.layers[-1].name == "conv_squeeze_excite"
    assert distance(predictions(model), predictions(copy)) > 1e-2


def test_a_predicate_sees_each_layer_but_the_inputs():
    seen = []

    def where(layer):
        seen.append(layer.name)
        return layer.name == "conv"

    attention_sites(nested_in_sequential(), where)
    assert sorted(seen) == sorted(
        path.rpartition("/")[2]
        for path in layers_of(nested_in_sequential())
        if not path.endswith("image")
    )


def test_sites_builds_nothing_into_the_model():
    model = randomize(residual())
    config = model.get_config()
    attention_sites(model)
    assert model.get_config() == config


def plain_sequential():
    return keras.Sequential([image(), convolution("conv")])


def two_outputs():
    x = image()

    class Halves(layers.Layer):
        def call(self, inputs):
            return inputs[:, :3], inputs[:, 3:]

    first, second = Halves(name="halves")(x)
    return keras.Model(x, layers.Concatenate(1, name="join")([first, second]))


def test_a_single_name_may_be_a_string():
    model = residual()
    assert attention_sites(model, "a_2") == ["a_2"]
    copy = insert_attention(model, identity(), "a_2")
    assert list(attention_of(copy)) == ["a_2_squeeze_excite"]


class OwnConvolution(layers.Conv2D):
    """A subclass."""


def kinds_of_layers():
    x = image()
    y = OwnConvolution(3, 1, name="own", data_format="channels_last")(x)
    y = layers.ReLU(name="relu")(convolution("conv")(y))
    return keras.Model(x, y * 2.0)


@pytest.mark.parametrize(
    ("where", "sites"),
    [
        (layers.Conv2D, ["own", "conv"]),
        (OwnConvolution, ["own"]),
        ([layers.ReLU, OwnConvolution], ["own", "relu"]),
        ((layers.ReLU, layers.Conv1D), ["relu"]),
        ({layers.ReLU}, ["relu"]),
        (["relu", OwnConvolution, "own"], ["own", "relu"]),
        # Neither the input nor the multiplication.
        (layers.Layer, ["own", "conv", "relu"]),
    ],
)
def test_classes_of_layers(where, sites):
    model = kinds_of_layers()
    assert attention_sites(model, where) == sites
    copy = insert_attention(model, identity(), where)
    expected = [f"{site}_squeeze_excite" for site in sites]
    assert list(attention_of(copy)) == expected


def test_classes_are_found_in_nested_models():
    sites = attention_sites(nested(), layers.Conv2D)
    assert sites == attention_sites(nested(), is_convolution)
    assert any("/" in site for site in sites)


@pytest.mark.parametrize(
    ("build", "where", "error", "message"),
    [
        (residual, layers.Conv1D, ValueError, "these classes: Conv1D"),
        (residual, [str], TypeError, "one or several classes of layers"),
        (residual, int, TypeError, "one or several classes of layers"),
        (
            residual,
            ["a_22", layers.Conv2D],
            ValueError,
            "no layer 'a_22'",
        ),
        (
            residual,
            ["a_22"],
            ValueError,
            r"no layer 'a_22'.*Similar names: \['a_2'",
        ),
        (nested, ["b_2"], ValueError, r"'backbone/b_2'.*'outer/inner'"),
        (residual, ["xyz"], ValueError, r"`model.summary\(\)` lists them"),
        (residual, ["image"], ValueError, "no layer 'image' that attention"),
        (residual, [], ValueError, "empty list"),
        (residual, "a_22", ValueError, r"no layer 'a_22'.*Similar names"),
        (
            residual,
            3,
            TypeError,
            "one or several names of layers, or a predicate",
        ),
        (
            residual,
            [3],
            TypeError,
            "one or several names of layers, or a predicate",
        ),
        (residual, None, TypeError, '"residual"'),
        (
            residual,
            lambda x: False,
            ValueError,
            "true for no layer.*'residual'",
        ),
        (plain_sequential, "residual", ValueError, "Pass the names of layers"),
        (residual, ["head"], ValueError, r"'head'.*\(None, 3\).*spatial axes"),
        (residual, ["head_pool"], ValueError, "Name other layers in `where`"),
        (two_outputs, ["halves"], ValueError, "'halves', which has 2 outputs"),
    ],
)
def test_no_such_place(build, where, error, message):
    model = build()
    with pytest.raises(error, match=message):
        attention_sites(model, where)
    with pytest.raises(error, match=message):
        insert_attention(model, identity(), where)


def test_a_layer_is_no_predicate():
    """A layer can be called, and its output would count as true."""
    model = residual()
    with pytest.raises(TypeError, match="one or several names"):
        attention_sites(model, model.get_layer("a_2"))


def test_a_class_is_no_predicate():
    """`str(layer)` would be true for each layer."""
    with pytest.raises(TypeError, match="one or several classes of layers"):
        insert_attention(residual(), identity(), str)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def subclassed():
    return Subclassed(name="mine")


def unbuilt():
    return keras.Sequential([layers.Conv2D(8, 3)], name="mine")


@pytest.mark.parametrize(
    "function",
    [
        attention_sites,
        lambda model: insert_attention(model, identity()),
        remove_attention,
        lambda model: replace_attention(model, identity()),
    ],
    ids=["sites", "insert", "remove", "replace"],
)
@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            subclassed,
            ValueError,
            "'mine' computes.*does not know its graph.*functional",
        ),
        (unbuilt, ValueError, "'mine' is not built.*`keras.Input`"),
        (lambda: 3, TypeError, "must be a Keras model.*3"),
        (lambda: SqueezeExcite(), TypeError, "must be a Keras model"),
        (lambda: keras.Model, TypeError, "must be a Keras model"),
    ],
    ids=["subclassed", "unbuilt", "number", "layer", "class"],
)
def test_what_is_no_network(build, error, message, function):
    with pytest.raises(error, match=message):
        function(build())


# Data formats and precision


@over_data_formats
def test_data_format_of_the_template(data_format):
    """Shapes only: TensorFlow convolves no channels_first on a CPU."""
    keras.config.set_image_data_format(data_format)
    model = residual()
    template = identity()
    assert template.data_format == data_format
    copy = insert_attention(model, template)
    assert [x.data_format for x in attention_of(copy).values()] == [
        data_format
    ] * 2
    assert attention_of(copy)["a_2_squeeze_excite"].weights[0].shape == (8, 4)


@pytest.mark.backend("torch", "jax", "numpy")
@pytest.mark.parametrize("build", [residual, nested, siamese])
def test_channels_first(build):
    keras.config.set_image_data_format("channels_first")
    model = randomize(build())
    copy = insert_attention(model, identity())
    assert_same(model, copy)
    assert_same(model, remove_attention(copy))


@over_data_formats
def test_another_data_format_than_the_network_is_an_error(data_format):
    keras.config.set_image_data_format(data_format)
    model = residual()
    other = {
        "channels_last": "channels_first",
        "channels_first": "channels_last",
    }[data_format]
    for attention in (
        identity(data_format=other),
        lambda site: identity(data_format=other),
    ):
        with pytest.raises(
            ValueError,
            match=f"{data_format} at 'a_2'.*Pass `data_format='{data_format}'",
        ):
            insert_attention(model, attention)


def test_other_data_format_where_nothing_tells():
    """A network of dense layers has no data format: the argument decides."""
    x = keras.Input((8, 6))
    model = randomize(keras.Model(x, layers.Dense(6, name="dense")(x)))
    copy = insert_attention(
        model, identity(data_format="channels_first"), ["dense"]
    )
    assert copy.layers[-1].weights[0].shape == (8, 4)
    assert_same(model, copy)


def test_the_precision_of_the_network_is_kept():
    """A mixed model loaded into a process with the default policy."""
    keras.config.set_dtype_policy("mixed_float16")
    model = randomize(residual())
    keras.config.set_dtype_policy("float32")
    copy = insert_attention(model, identity())
    for layer in attention_of(copy).values():
        assert layer.dtype_policy.name == "mixed_float16"
        assert layer.weights[0].dtype == "float32"
    assert copy.get_layer("a_2").compute_dtype == "float16"
    assert_same(model, copy, 1e-2)


def test_the_precision_of_the_template_counts_if_it_has_one():
    copy = insert_attention(residual(), identity(dtype="bfloat16"))
    for layer in attention_of(copy).values():
        assert layer.dtype_policy.name == "bfloat16"


# Files and training


@pytest.mark.parametrize("build", SAVED)
def test_keras_file(tmp_path, build):
    copy = attended(build)
    copy.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert list(attention_of(loaded)) == list(attention_of(copy))
    assert_same(copy, loaded)


@pytest.mark.parametrize("build", SAVED)
def test_weights_file(tmp_path, build):
    copy, other = attended(build), attended(build)
    for weight in other.weights:
        weight.assign(np.zeros(weight.shape))
    copy.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(copy, other)


def test_weights_of_the_original_are_loaded_before_insertion(tmp_path):
    model = randomize(residual())
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = residual()
    fresh.load_weights(tmp_path / "model.weights.h5")
    assert_same(model, insert_attention(fresh, identity()))


@pytest.mark.parametrize("build", SAVED)
def test_removed_attention_leaves_the_file_of_the_original(tmp_path, build):
    model = randomize(build())
    model.save_weights(tmp_path / "model.weights.h5")
    removed = remove_attention(attended(build))
    removed.load_weights(tmp_path / "model.weights.h5")
    assert_same(model, removed)


@pytest.mark.training
@pytest.mark.parametrize("build", [residual, sequential, nested, siamese])
def test_trains(build):
    copy = insert_attention(randomize(build()), identity(), is_convolution)
    x = sample(copy)
    y = predictions(copy, x) + 1
    copy.compile("sgd", "mse")
    before = copy.evaluate(x, y, verbose=0)
    copy.fit(x, y, epochs=3, verbose=0)
    assert copy.evaluate(x, y, verbose=0) < before


@pytest.mark.training
@pytest.mark.parametrize("build", [residual, nested])
def test_fine_tunes_attention_in_a_frozen_network(build):
    model = randomize(build())
    for path, layer in layers_of(model).items():
        if not isinstance(layer, keras.Model) and path != "head":
            layer.trainable = False
    # Not ReLU: of its few units all can be dead for a few samples.
    copy = insert_attention(model, identity(activation="silu"))
    before = {
        path: [np.array(w) for w in layer.get_weights()]
        for path, layer in layers_of(copy).items()
        if not isinstance(layer, keras.Model)
    }
    x = sample(copy)
    copy.compile(keras.optimizers.SGD(0.1), "mse")
    # The first step reaches only the weights that start at zero.
    copy.fit(x, predictions(copy, x) + 1, epochs=3, verbose=0)
    changed = {
        path
        for path, weights in before.items()
        for one, other in zip(
            weights, layers_of(copy)[path].get_weights(), strict=True
        )
        if not np.array_equal(one, other)
    }
    assert changed == {"head", *attention_of(copy)}


@pytest.mark.training
@pytest.mark.parametrize("build", [residual, nested])
def test_attention_in_a_model_frozen_as_a_whole_can_be_trained(build):
    model = build()
    model.trainable = False
    copy = insert_attention(model, SqueezeExcite(2))
    trained = sum(len(layer.weights) for layer in attention_of(copy).values())
    assert trained > 0
    assert len(copy.trainable_weights) == trained
    for path, layer in layers_of(model).items():
        if layer.weights and not isinstance(layer, keras.Model):
            assert not layers_of(copy)[path].trainable


# Removal


@over_networks
def test_removal_undoes_insertion(build):
    model = randomize(build())
    copy = insert_attention(model, SqueezeExcite(2), is_convolution)
    removed = remove_attention(copy)
    assert list(layers_of(removed)) == list(layers_of(model))
    assert removed.name == model.name
    assert_same(model, removed)


def test_removal_leaves_the_given_model_as_it_is():
    copy = attended(residual)
    outputs = predictions(copy)
    remove_attention(copy)
    assert len(attention_of(copy)) > 0
    assert distance(outputs, predictions(copy)) == 0


class Variance(ChannelAttention):
    """A mechanism of one's own."""

    def excite(self, descriptor):
        return descriptor


def test_removal_of_all_kinds():
    x = image()
    y = EfficientChannelAttention()(SqueezeExcite(2)(convolution("conv")(x)))
    model = keras.Model(x, layers.ReLU(name="relu")(Variance()(y)))
    assert [layer.name for layer in remove_attention(model).layers] == [
        "image",
        "conv",
        "relu",
    ]


@pytest.mark.parametrize(
    "chosen",
    [
        ["inner/se"],
        ["se"],
        lambda layer: layer.name == "se",
    ],
    ids=["path", "name", "callable"],
)
def test_removal_of_some_layers(chosen):
    """Of a layer that is called twice, both calls are taken out."""
    inner_inputs = keras.Input((8, 8, 4))
    shared = SqueezeExcite(2, name="se")
    y = EfficientChannelAttention(name="eca")(shared(inner_inputs))
    inner = keras.Model(inner_inputs, shared(y), name="inner")
    x = keras.Input((8, 8, 4))
    model = keras.Model(x, SqueezeExcite(2, name="last")(inner(x)))
    randomize(model)
    removed = remove_attention(model, layers=chosen)
    assert [*attention_of(removed)] == ["inner/eca", "last"]
    array = sample(model)
    eca, last = inner.get_layer("eca"), model.get_layer("last")
    np.testing.assert_allclose(
        predictions(removed, array),
        keras.ops.convert_to_numpy(last(eca(array))),
        rtol=1e-6,
    )


def test_layers_to_remove_that_the_model_does_not_show():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__(name="block")
            self.attention = SqueezeExcite(2, name="se")

        def call(self, inputs):
            return self.attention(inputs)

    x = image()
    model = keras.Model(x, SqueezeExcite(2, name="last")(Block()(x)))
    with pytest.raises(ValueError, match=r"\['block/se'\], inside layers"):
        remove_attention(model, layers=["block/se"])
    with pytest.raises(ValueError, match="no attention layer of that name"):
        remove_attention(model, layers=["first"])


class Louder(layers.Wrapper):
    """Attention in the attribute `layer`, beside a weight of the user."""

    def __init__(self, layer=None, **arguments):
        super().__init__(layer or SqueezeExcite(2, name="se"), **arguments)

    def build(self, input_shape):
        self.layer.build(input_shape)
        self.volume = self.add_weight(shape=(), initializer="ones")
        self.built = True

    def call(self, inputs):
        return self.volume * self.layer(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize(
    "function",
    [
        remove_attention,
        expand_attention,
        lambda model: replace_attention(model, SqueezeExcite(2)),
    ],
    ids=["remove", "expand", "replace"],
)
def test_a_wrapper_of_the_user_is_no_attention(function):
    x = image()
    model = keras.Model(x, Louder(name="louder")(x))
    with pytest.raises(ValueError, match=r"inside the layers \['louder'\]"):
        function(model)


def test_removal_between_an_input_and_an_output():
    x = image()
    model = keras.Model(x, SqueezeExcite(2)(x))
    removed = remove_attention(model)
    assert not attention_of(removed)
    array = sample(model)
    np.testing.assert_array_equal(predictions(removed, array), array)


@pytest.mark.parametrize(
    "function",
    [remove_attention, lambda model: replace_attention(model, identity())],
    ids=["remove", "replace"],
)
def test_no_attention_to_be_found(function):
    with pytest.raises(
        ValueError, match=r"no channel attention in.*'residual'.*`fuse_atten"
    ):
        function(residual())


def with_scores():
    x = image()
    y, scores = SqueezeExcite(2, name="se")(x, return_attention_scores=True)
    return keras.Model(x, [y, scores])


def test_scores_that_are_used_cannot_be_removed():
    with pytest.raises(ValueError, match=r"'se': it is called with `return_at"):
        remove_attention(with_scores())


# Replacement


@pytest.mark.parametrize("build", [residual, sequential, nested, siamese])
def test_replacement_equals_insertion(build):
    model = randomize(build())
    replaced, inserted = (
        replace_attention(
            insert_attention(model, SqueezeExcite(2), is_convolution),
            EfficientChannelAttention(),
        ),
        insert_attention(model, EfficientChannelAttention(), is_convolution),
    )
    assert list(layers_of(replaced)) == list(layers_of(inserted))
    for path, layer in attention_of(inserted).items():
        other = attention_of(replaced)[path]
        assert other.get_config() == layer.get_config()
        other.set_weights(layer.get_weights())
    assert_same(replaced, inserted)


@over_configurations
def test_every_configuration_can_replace_another(layer_class, arguments):
    old = SqueezeExcite(2, identity_start="identity_start" in arguments)
    model = insert_attention(residual(), old)
    copy = replace_attention(model, layer_class(**arguments))
    assert [type(new) for new in attention_of(copy).values()] == [
        layer_class
    ] * 2


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (True, "'a_2_squeeze.*=False, .*=True.* at 1: .* twice as large"),
        (False, "'a_2_squeeze.*=True, .*=False.* near 0.5: .* half as large"),
    ],
)
def test_replacement_with_another_start_warns(start, message):
    """The other layers were trained with the gates that are replaced."""
    old = SqueezeExcite(2, identity_start=not start)
    model = insert_attention(residual(), old)
    with pytest.warns(UserWarning, match=message):
        replace_attention(model, SqueezeExcite(4, identity_start=start))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SqueezeExcite(2, identity_start=True), ConcurrentSqueezeExcite(2)),
        (ConvolutionalBlockAttention(2, identity_start=True), SqueezeExcite(2)),
    ],
    ids=["new", "old"],
)
def test_the_start_of_layers_with_several_gates(old, new):
    """Their outputs are not about half or twice as large."""
    model = insert_attention(residual(), old)
    with pytest.warns(UserWarning, match="start at another size") as warned:
        replace_attention(model, new)
    assert "as large" not in str(warned[0].message)


def test_replacement_by_another_class_does_not_warn_of_its_start():
    model = insert_attention(residual(), identity())
    replace_attention(model, lambda old: layers.Identity())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv_squeeze_excite", "conv_efficient_channel_attention"),
        ("squeeze_excite", "squeeze_excite_efficient_channel_attention"),
        ("conv_efficient_channel_attention",) * 2,
        ("mine", "mine_efficient_channel_attention"),
    ],
)
def test_names_after_replacement(name, expected):
    x = image()
    attention = SqueezeExcite(reduction=4, name=name)
    if name == expected:
        attention = EfficientChannelAttention(name=name)
    model = keras.Model(x, attention(x))
    copy = replace_attention(model, EfficientChannelAttention())
    assert copy.layers[-1].name == expected


def test_a_callable_is_given_what_it_replaces():
    model = attended(residual, "residual")

    def attention(old):
        if old.name.startswith("a_2"):
            return None
        return SqueezeExcite(bottleneck_units=old.weights[0].shape[1] - 1)

    copy = replace_attention(model, attention)
    kept, new = attention_of(copy).values()
    assert kept.name == "a_2_squeeze_excite"
    for one, other in zip(
        model.get_layer(kept.name).get_weights(),
        kept.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert new.weights[0].shape == (8, 3)


def test_replacing_nothing_is_a_copy():
    model = attended(residual)
    copy = replace_attention(model, lambda old: None)
    assert list(layers_of(copy)) == list(layers_of(model))
    assert_same(model, copy)


def test_replacement_leaves_the_given_model_as_it_is():
    model = attended(residual)
    names, outputs = list(layers_of(model)), predictions(model)
    replace_attention(model, EfficientChannelAttention())
    assert list(layers_of(model)) == names
    assert distance(outputs, predictions(model)) == 0


def test_replacement_hands_scores_on():
    copy = replace_attention(with_scores(), EfficientChannelAttention())
    assert [tuple(y.shape) for y in copy.outputs] == [
        (None, 6, 6, 8),
        (None, 8),
    ]


def test_replacement_in_another_data_format_is_an_error():
    with pytest.raises(ValueError, match="Pass `data_format='channels_last'`"):
        replace_attention(
            attended(residual),
            EfficientChannelAttention(data_format="channels_first"),
        )


def test_replacement_keeps_the_precision():
    x = image()
    y = SqueezeExcite(2, dtype="mixed_float16", name="se")(x)
    copy = replace_attention(keras.Model(x, y), EfficientChannelAttention())
    assert copy.layers[-1].dtype_policy.name == "mixed_float16"
