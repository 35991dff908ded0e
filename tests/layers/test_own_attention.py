"""A subclass of a user is counted, expanded, inserted, scored and loaded.

The classes are those of docs/own_attention.md, whose code is run here.
"""

import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.configurations import over_data_formats, randomize, shape_of
from support.networks import distance, predictions, sample

from keras_channel_attn import (
    ChannelAttention,
    SqueezeExcite,
    attention_layers,
    attention_scores,
    expand_attention,
    insert_attention,
    model_costs,
    models,
)
from keras_channel_attn.pruning import channel_groups, remove_channels

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "own_attention.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the code of the page defines."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    namespace = {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), namespace)
    return namespace


def attended(attention):
    inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(8, 3, name="conv", data_format="channels_last")(inputs)
    model = keras.Model(inputs, layers.Activation("relu")(x))
    return insert_attention(model, attention, ["conv"])


def randomized(model):
    for layer in attention_layers(model).values():
        randomize(layer)
    return model


LAST = {"data_format": "channels_last"}


def test_the_first_example_is_short():
    first = PAGE.read_text().split("```python\n")[1]
    lines = first[first.index("@keras") : first.index("```")].splitlines()
    assert len(lines) <= 30


def test_loaded_network_computes_the_same(page):
    model, loaded = page["attended"], page["loaded"]
    assert distance(predictions(model), predictions(loaded)) == 0
    (layer,) = attention_layers(loaded).values()
    assert layer.scale == 0.5


def test_inserted(page):
    """With an identity start the outputs are those of the network before."""
    attention = page["TanhAttention"](0.5, identity_start=True, **LAST)
    model = attended(attention)
    plain = keras.Model(model.input, model.get_layer("conv").output)
    x = sample(model)
    expected = np.maximum(predictions(plain, x), 0)
    np.testing.assert_array_equal(predictions(model, x), expected)
    (layer,) = attention_layers(model).values()
    assert layer.scale == 0.5


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("TanhAttention", 8 * 8),
        ("DescribedAttention", 8 * 8),
        ("StyleAttention", 0),
    ],
)
@pytest.mark.parametrize("pooling", ["avg", "avg_max_separate"])
def test_counted(page, name, macs, pooling):
    costs = model_costs(attended(page[name](pooling=pooling, **LAST)))
    separate = pooling == "avg_max_separate" and name != "StyleAttention"
    assert costs.attention_macs == macs * (2 if separate else 1)
    assert not costs.uncounted


def test_counting_leaves_no_trace(page):
    model = attended(page["TanhAttention"](**LAST))
    model_costs(model)
    (layer,) = attention_layers(model).values()
    assert keras.utils.is_keras_tensor(layer.output)


@pytest.mark.parametrize("pooling", ["max", "avg_max_mean", "avg_max_separate"])
@over_data_formats
def test_expanded(page, pooling, data_format):
    layer = page["DescribedAttention"](
        0.5, pooling=pooling, data_format=data_format
    )
    inputs = keras.Input(shape_of(None, (4, 5), 8, data_format)[1:])
    model = randomized(keras.Model(inputs, layer(inputs)))
    expanded = expand_attention(model)
    assert not attention_layers(expanded)
    assert expanded.count_params() == model.count_params()
    assert distance(predictions(model), predictions(expanded)) < 1e-6


def test_expanded_with_functions_of_its_weight(page):
    class Regularized(page["DescribedAttention"]):
        def build_excitation(self, channels):
            self.kernel = self.add_weight(
                shape=(channels, channels),
                regularizer="l2",
                constraint="non_neg",
            )

    expanded = expand_attention(attended(Regularized(name="own", **LAST)))
    linear = expanded.get_layer("conv_regularized_linear")
    assert isinstance(linear.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(linear.kernel.constraint, keras.constraints.NonNeg)


@pytest.mark.backend("tensorflow", "torch", "jax", "numpy")
@pytest.mark.parametrize("name", ["TanhAttention", "StyleAttention"])
def test_scored(page, name):
    model = randomized(attended(page[name](**LAST)))
    x = sample(model)
    (scores,) = attention_scores(model, x, verbose=0).values()
    (layer,) = attention_layers(model).values()
    conv = keras.Model(model.input, model.get_layer("conv").output)
    _, expected = layer(predictions(conv, x), return_attention_scores=True)
    np.testing.assert_allclose(
        scores, ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-6
    )


def test_pruned(page):
    """Channels that are zero before the attention make no difference."""
    inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(8, 3, name="conv", data_format="channels_last")(inputs)
    x = page["DescribedAttention"](0.5, **LAST)(x)
    x = layers.Conv2D(3, 3, data_format="channels_last")(x)
    model = randomized(keras.Model(inputs, x))
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., [1, 4]] = bias[[1, 4]] = 0
    model.get_layer("conv").set_weights([kernel, bias])
    narrower = remove_channels(model, {"conv": [1, 4]})
    (layer,) = attention_layers(narrower).values()
    assert tuple(layer.kernel.shape) == (6, 6)
    assert distance(predictions(model), predictions(narrower)) < 1e-6


def test_not_pruned_without_axes(page):
    inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(8, 3, name="conv", data_format="channels_last")(inputs)
    x = layers.Flatten()(page["TanhAttention"](**LAST)(x))
    model = keras.Model(inputs, layers.Dense(2)(x))
    assert "channel_axes" in channel_groups(model)["conv"].locked


def test_a_multiplier(page):
    """The stored weight is a tenth of the effective one."""
    faster = page["FasterAttention"](learning_rate_multiplier=10, **LAST)
    plain = page["TanhAttention"](**LAST)
    for layer in (faster, plain):
        layer.build((None, 5, 5, 8))
    kernel = np.random.default_rng(0).normal(size=(8, 8)).astype("float32")
    faster.set_weights([kernel / 10])
    plain.set_weights([kernel])
    x = np.random.default_rng(1).normal(size=(2, 5, 5, 8)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(faster(x)),
        ops.convert_to_numpy(plain(x)),
        rtol=1e-5,
    )
    assert page["faster"].get_layer("conv_faster_attention")


def test_a_block_of_a_user(page):
    """Saved, loaded, counted and found."""
    network, restored = page["network"], page["restored"]
    assert distance(predictions(network), predictions(restored)) == 0
    (layer,) = attention_layers(restored).values()
    assert layer.reduction == 4
    costs = model_costs(restored)
    assert costs.attention_macs == 2 * 8 * 2
    assert costs.macs == 32 * 32 * 9 * 8 * 8 + 2 * 8 * 2 + 8 * 10


def test_weights_of_torch(page):
    layer = page["DescribedAttention"](**LAST)
    layer.build((None, 5, 5, 3))
    array = np.arange(9, dtype="float32").reshape(3, 3)
    models.load_torch_weights(layer, {"fc.weight": array})
    np.testing.assert_array_equal(layer.get_weights()[0], array.T)


# Other statistics


@pytest.mark.parametrize("spatial", [(7,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("masked", [False, True])
@over_data_formats
def test_statistics(rng, page, spatial, masked, data_format):
    """The mean and the standard deviation of the positions in the mask."""
    x = rng.normal(size=shape_of(3, spatial, 4, data_format)).astype("float32")
    mask = rng.random((3, *spatial)) < (0.7 if masked else 2)
    layer = page["StyleAttention"](data_format=data_format)
    layer.build(x.shape)
    randomize(layer)
    # Values outside the mask have no effect.
    axis = -1 if data_format == "channels_last" else 1
    x = np.where(np.expand_dims(mask, axis), x, np.float32(100))
    _, scores = layer(
        x, mask=mask if masked else None, return_attention_scores=True
    )
    last = x if data_format == "channels_last" else np.moveaxis(x, 1, -1)
    kernel = layer.get_weights()[0]
    logits = np.stack(
        [
            kernel[0] * image[kept].mean(0)
            + kernel[1] * np.sqrt(image[kept].var(0) + 1e-5)
            for image, kept in zip(last, mask, strict=True)
        ]
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(scores),
        1 / (1 + np.exp(-logits)),
        rtol=1e-4,
        atol=1e-5,
    )


class MeanThenMaximum(ChannelAttention):
    """Two descriptors, without `pooling`."""

    def squeeze(self, inputs, mask=None):
        return ops.mean(inputs, (1, 2)), ops.max(inputs, (1, 2))

    def excite(self, descriptor):
        return descriptor * descriptor


def test_several_descriptors_are_excited_and_added(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    _, scores = MeanThenMaximum(**LAST)(x, return_attention_scores=True)
    logits = x.mean((1, 2)) ** 2 + x.max((1, 2)) ** 2
    np.testing.assert_allclose(
        ops.convert_to_numpy(scores), 1 / (1 + np.exp(-logits)), rtol=1e-5
    )


# What is refused


class WithoutConfig(ChannelAttention):
    def __init__(self, scale=1.0, power=2, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.power = scale, power

    def excite(self, descriptor):
        return self.scale * descriptor**self.power


class WithArgumentsOfKeras(ChannelAttention):
    def __init__(self, name=None, activity_regularizer=None, **kwargs):
        super().__init__(
            name=name, activity_regularizer=activity_regularizer, **kwargs
        )

    def excite(self, descriptor):
        return descriptor


def test_an_argument_that_a_copy_would_lose():
    message = (
        r"(?s)\['scale', 'power'\].*def get_config.*"
        r'"scale": self\.scale, "power": self\.power'
    )
    with pytest.raises(ValueError, match=message):
        attended(WithoutConfig(3.0, **LAST))


def test_arguments_of_keras_need_no_config():
    assert attention_layers(attended(WithArgumentsOfKeras(**LAST)))


class NotZero(ChannelAttention):
    def build_excitation(self, channels):
        self.bias = self.add_weight(shape=(channels,), initializer="ones")

    def excite(self, descriptor):
        return descriptor + self.bias


class MoreStatistics(NotZero):
    """Its weight is zero, its descriptor is not."""

    def squeeze(self, inputs, mask=None):
        return ops.max(inputs, (1, 2)) - ops.min(inputs, (1, 2))

    def build_excitation(self, channels):
        self.bias = self.add_weight(shape=(channels,), initializer="zeros")


@pytest.mark.parametrize("layer_class", [NotZero, MoreStatistics])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "bfloat16"])
def test_an_identity_start_that_is_none(layer_class, policy):
    layer = layer_class(identity_start=True, dtype=policy, **LAST)
    with pytest.raises(ValueError, match=r"`identity_start=True`.*\"zeros\""):
        layer.build((None, None, 7, 8))
    with pytest.raises(ValueError, match=r"`identity_start=True`.*\"zeros\""):
        attended(layer_class(identity_start=True, **LAST))


WRONG_LOGITS = {
    "one for all channels": (lambda z: z[:, :1], r"\(\d, 1\)"),
    "two for each channel": (lambda z: ops.tile(z, (1, 2)), r"\(\d, 16\)"),
    "spatial axes": (lambda z: z[:, None, None], r"\(\d, 1, 1, 8\)"),
    "nothing": (lambda z: None, "None"),
}


@pytest.mark.parametrize("name", WRONG_LOGITS)
def test_logits_of_a_wrong_shape(name):
    """Some of these would be broadcast, and the gates be others."""

    class Wrong(ChannelAttention):
        def excite(self, descriptor):
            return WRONG_LOGITS[name][0](descriptor)

    message = rf"(?s)Wrong 'own'.*\(batch, 8\).*{WRONG_LOGITS[name][1]}"
    x = np.ones((2, 5, 6, 8), "float32")
    with pytest.raises(ValueError, match=message):
        Wrong(name="own", **LAST)(x)


class Louder(SqueezeExcite):
    def excite(self, descriptor):
        return ops.matmul(2 * super().excite(descriptor), ops.eye(8))


def test_descriptions_of_another_excite_are_not_inherited():
    layer = Louder(2, **LAST)
    assert not layer.is_described("excite", by="excitation_macs")
    assert not layer.is_described("excite", by="expand_excitation")
    # It has the same weights.
    assert layer.is_described("build_excitation", by="torch_weights")


def test_a_class_with_the_same_excite_inherits_its_descriptions():
    class Narrow(SqueezeExcite):
        def __init__(self, **kwargs):
            super().__init__(**{"reduction": 2, **kwargs})

    model = randomized(attended(Narrow(**LAST)))
    assert model_costs(model).attention_macs == 2 * 8 * 4
    expanded = expand_attention(model)
    assert distance(predictions(model), predictions(expanded)) < 1e-6


def test_a_squeeze_of_its_own_cannot_be_expanded(page):
    class Described(page["StyleAttention"]):
        def expand_excitation(self, expansion, descriptor):
            return descriptor

    with pytest.raises(ValueError, match="a method `squeeze` of its own"):
        expand_attention(attended(Described(**LAST)))


def test_a_class_without_a_description_is_told_which_to_write(page):
    layer = page["TanhAttention"](**LAST)
    with pytest.raises(ValueError, match="`expand_excitation`"):
        expand_attention(attended(layer))
    layer.build((None, 5, 5, 8))
    with pytest.raises(TypeError, match="`torch_weights`"):
        models.load_torch_weights(layer, {"fc.weight": np.ones((8, 8))})
    with pytest.raises(NotImplementedError, match="`expand_excitation`"):
        layer.expand_excitation(None, None)
    with pytest.raises(NotImplementedError, match="`torch_weights`"):
        layer.torch_weights()


class Opaque(ChannelAttention):
    """Its excitation takes no symbolic tensor."""

    def build_excitation(self, channels):
        self.kernel = self.add_weight(shape=(channels, channels))

    def excite(self, descriptor):
        if keras.utils.is_keras_tensor(descriptor):
            raise TypeError
        return ops.matmul(descriptor, self.kernel)


def test_a_total_that_is_incomplete_says_so():
    with pytest.warns(UserWarning, match="conv_opaque: .*`excitation_macs`"):
        costs = model_costs(attended(Opaque(**LAST)))
    assert costs.uncounted == ["conv_opaque"]
    lines = str(costs).splitlines()
    (total,) = [line for line in lines if "FLOPs: " in line]
    assert total.endswith("(incomplete)")
    assert lines[-1].endswith("0 MACs (incomplete)")
