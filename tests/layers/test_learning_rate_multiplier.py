"""`learning_rate_multiplier`: what it changes in training, and nothing else."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.configurations import over, randomize
from support.networks import distance, predictions

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    attention_layers,
    expand_attention,
    fuse_attention,
    insert_attention,
    models,
    pruning,
)

LAST = {"data_format": "channels_last"}
MECHANISMS = {
    "se": (SqueezeExcite, {"reduction": 2, "use_bias": True}),
    "eca": (EfficientChannelAttention, {"kernel_size": 3}),
    "eca_ns": (
        EfficientChannelAttention,
        {"kernel_size": 3, "shared_kernel": False},
    ),
    "linear": (LinearSqueezeExcite, {"groups": 2, "use_bias": True}),
}


@keras.saving.register_keras_serializable("tests")
class Affine(ChannelAttention):
    """A class of a user: y = x * gate(z * kernel + bias)."""

    def build_excitation(self, channels):
        shape = (channels,)
        start = "zeros" if self.identity_start else "glorot_uniform"
        self.kernel = self.add_effective_weight(shape, start, name="kernel")
        self.bias = self.add_effective_weight(
            shape, "zeros", regularizer="l2", name="bias"
        )

    def excite(self, descriptor):
        kernel = self.effective_weight(self.kernel)
        return descriptor * kernel + self.effective_weight(self.bias)

    def channel_axes(self):
        return {"kernel": (0,), "bias": (0,)}

    def torch_weights(self):
        return {
            "weight": (self.kernel, lambda array: array),
            "bias": (self.bias, lambda array: array),
        }


over_mechanisms = over({**MECHANISMS, "own": (Affine, {})})


def layer_of(layer_class, arguments, multiplier, **more):
    """A built layer. Its random numbers do not depend on the multiplier."""
    keras.utils.set_random_seed(0)
    layer = layer_class(
        learning_rate_multiplier=multiplier, **LAST, **arguments, **more
    )
    layer.build((None, 5, 8))
    return layer


def effective(layer):
    return [
        layer.learning_rate_multiplier * weight
        for weight in layer.get_weights()
    ]


def penalty(layer):
    return sum(float(ops.convert_to_numpy(loss)) for loss in layer.losses)


def outputs(layer, x):
    y = layer(x.astype("float32"))
    return ops.convert_to_numpy(ops.cast(y, "float32"))


def network(layer_class, arguments, multiplier, **more):
    """The same convolution for each multiplier, then attention."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(8, 3, name="conv", **LAST)(inputs)
    attention = layer_of(layer_class, arguments, multiplier, **more)
    x = layers.Conv2D(4, 3, name="last", **LAST)(attention(x))
    return keras.Model(inputs, x)


def attention_of(model):
    (layer,) = attention_layers(model).values()
    return layer


# Before training


@over_mechanisms
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "bfloat16"])
def test_a_power_of_two_changes_no_digit(rng, layer_class, arguments, dtype):
    """1024 would make the smallest weights subnormal in float16."""
    x = rng.normal(size=(3, 5, 8))
    plain, other = (
        layer_of(layer_class, arguments, multiplier, dtype=dtype)
        for multiplier in (1, 1024)
    )
    for weight, stored in zip(
        plain.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weight, 1024 * stored)
    np.testing.assert_array_equal(outputs(plain, x), outputs(other, x))


@over_mechanisms
@pytest.mark.parametrize("multiplier", [0.1, 7, np.float32(30)])
def test_outputs_before_training_are_the_same(
    rng, layer_class, arguments, multiplier
):
    x = rng.normal(size=(3, 5, 8))
    plain = layer_of(layer_class, arguments, 1)
    other = layer_of(layer_class, arguments, multiplier)
    np.testing.assert_allclose(
        outputs(plain, x), outputs(other, x), rtol=1e-6, atol=1e-6
    )


@over_mechanisms
@pytest.mark.parametrize("dtype", ["float32", "float16", "mixed_bfloat16"])
def test_an_identity_start_is_exact(rng, layer_class, arguments, dtype):
    x = rng.integers(-8, 8, size=(3, 5, 8)) / 4
    layer = layer_of(
        layer_class, arguments, 1e5, identity_start=True, dtype=dtype
    )
    np.testing.assert_array_equal(outputs(layer, x), x)


# Training


def with_attention_rate(kind):
    """An optimizer that multiplies its changes of some layers."""

    class WithAttentionRate(kind):
        def apply(self, grads, trainable_variables=None):
            variables = self.layers[0].trainable_variables
            before = [ops.copy(variable) for variable in variables]
            super().apply(grads, trainable_variables)
            for variable, old in zip(variables, before, strict=True):
                variable.assign(old + self.factor * (variable - old))

    return WithAttentionRate


def train(model, optimizer, factor=1):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 6, 6, 3)).astype("float32")
    y = rng.normal(size=(8, 2, 2, 4)).astype("float32")
    # Not the variables: Keras would count them as the optimizer's own.
    optimizer.layers = [attention_of(model)]
    optimizer.factor = factor
    model.compile(optimizer, "mse")
    history = model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    return history.history["loss"]


def adam():
    # The smaller epsilon is, the less the size of a gradient matters.
    return with_attention_rate(keras.optimizers.Adam)(1e-3, epsilon=1e-12)


def sgd():
    return with_attention_rate(keras.optimizers.SGD)(1e-2)


@pytest.mark.training
@pytest.mark.parametrize(
    ("name", "identity_start", "optimizer", "power"),
    [
        ("se", False, adam, 1),
        ("se", True, sgd, 2),
        ("eca", True, adam, 1),
        ("linear", True, adam, 1),
        ("own", False, adam, 1),
    ],
)
def test_training_is_that_of_a_larger_learning_rate(
    name, identity_start, optimizer, power
):
    layer_class, arguments = {**MECHANISMS, "own": (Affine, {})}[name]
    arguments = {**arguments, "identity_start": identity_start}
    plain = network(layer_class, arguments, 1)
    start = plain.get_weights()
    losses = train(plain, optimizer(), factor=5**power)
    other = network(layer_class, arguments, 5)
    np.testing.assert_allclose(train(other, optimizer()), losses, rtol=1e-4)
    for weight, stored, before in zip(
        [*effective(attention_of(plain)), *plain.layers[-1].get_weights()],
        [*effective(attention_of(other)), *other.layers[-1].get_weights()],
        [*start[2:-2], *start[-2:]],
        strict=True,
    ):
        change = np.abs(weight - before).max()
        np.testing.assert_allclose(
            weight, stored, rtol=1e-5, atol=2e-3 * change
        )


@pytest.mark.training
@over({name: MECHANISMS[name] for name in ("se", "eca", "linear")})
def test_regularizers_and_constraints_act_on_effective_weights(
    layer_class, arguments
):
    options = {"kernel_regularizer": "l2", "kernel_constraint": "max_norm"}
    if "use_bias" in arguments:
        options["bias_regularizer"] = "l1"
        options["bias_initializer"] = "ones"
    plain, other = (
        layer_of(layer_class, {**arguments, **options}, multiplier)
        for multiplier in (1, 8)
    )
    for layer in (plain, other):
        randomize(layer)
    assert penalty(plain) > 0
    assert penalty(plain) == pytest.approx(penalty(other), rel=1e-6)
    for first, second in zip(plain.weights, other.weights, strict=True):
        if first.constraint is not None:
            np.testing.assert_allclose(
                ops.convert_to_numpy(first.constraint(4 * first)),
                8 * ops.convert_to_numpy(second.constraint(4 * second)),
                rtol=1e-6,
            )


# The number by default


NUMBERS = {"se": 8, "eca": 32, "eca_ns": 32, "linear": 8}


@pytest.mark.parametrize("identity_start", [False, True])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_an_identity_start_chooses_the_number(mechanism, identity_start):
    layer_class, arguments = MECHANISMS[mechanism]
    arguments = {**arguments, "identity_start": identity_start}
    number = NUMBERS[mechanism] if identity_start else 1
    assert layer_class(**arguments).multiplier == number
    assert layer_class(**arguments, learning_rate_multiplier=3).multiplier == 3


def test_a_class_of_a_user_chooses_its_number():
    assert Affine(identity_start=True).multiplier == 1

    class Fast(Affine):
        automatic_multiplier = 16

    assert Fast(identity_start=True).multiplier == 16
    assert Fast().multiplier == 1


def test_a_file_of_before_restores_every_digit(tmp_path):
    """A file without the argument has the weights that are computed with."""
    before = network(*MECHANISMS["se"], 1, identity_start=True)
    randomize(attention_of(before))
    path = tmp_path / "model.weights.h5"
    before.save_weights(path)
    now = network(*MECHANISMS["se"], "auto", identity_start=True)
    now.load_weights(path)
    np.testing.assert_array_equal(predictions(before), predictions(now))


# Configurations and files


@over_mechanisms
def test_configuration_has_it_only_where_it_was_passed(layer_class, arguments):
    name = "learning_rate_multiplier"
    config = layer_class(**arguments).get_config()
    assert name not in config
    assert layer_class.from_config(config).learning_rate_multiplier == "auto"
    layer = layer_class(**arguments, learning_rate_multiplier=np.float64(2.5))
    assert layer.get_config() == {**config, name: 2.5, "name": layer.name}
    assert type(layer.get_config()[name]) is float


@over_mechanisms
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_file_restores_every_digit(tmp_path, layer_class, arguments, dtype):
    model = network(layer_class, arguments, 0.3, dtype=dtype)
    randomize(attention_of(model))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert attention_of(loaded).learning_rate_multiplier == 0.3
    for weight, other in zip(
        model.get_weights(), loaded.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weight, other)


@over_mechanisms
@pytest.mark.parametrize(("saved", "loads"), [(1, 30), (30, 1), (30, 7)])
def test_a_file_of_weights_fits_every_multiplier(
    tmp_path, layer_class, arguments, saved, loads
):
    model = network(layer_class, arguments, saved)
    randomize(attention_of(model))
    model.save_weights(tmp_path / "model.weights.h5")
    other = network(layer_class, arguments, loads)
    other.load_weights(tmp_path / "model.weights.h5")
    assert distance(predictions(model), predictions(other)) < 1e-6


@over(
    {
        "se": (SqueezeExcite, {"bottleneck_units": 4, "use_bias": True}),
        "eca": MECHANISMS["eca"],
        "own": (Affine, {}),
    }
)
def test_a_torch_checkpoint_has_effective_weights(rng, layer_class, arguments):
    plain, other = (
        layer_of(layer_class, arguments, multiplier) for multiplier in (1, 30)
    )
    checkpoint = {
        "fc1.weight": (4, 8),
        "fc1.bias": (4,),
        "fc2.weight": (8, 4),
        "fc2.bias": (8,),
        "conv.weight": (1, 1, 3),
        "weight": (8,),
        "bias": (8,),
    }
    arrays = {
        name: rng.normal(size=checkpoint[name]).astype("float32")
        for name in plain.torch_weights()
    }
    for layer in (plain, other):
        models.load_torch_weights(layer, arrays)
    for weight, product in zip(effective(plain), effective(other), strict=True):
        np.testing.assert_allclose(weight, product, rtol=1e-6)


# Changed networks


@over_mechanisms
def test_a_copy_keeps_it(layer_class, arguments):
    model = network(layer_class, arguments, 30)
    copy = insert_attention(model, lambda site: None, where=["conv"])
    found = list(attention_layers(copy).values())[-1]
    assert found.learning_rate_multiplier == 30
    for weight, other in zip(
        attention_of(model).get_weights(), found.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weight, other)


@over_mechanisms
@pytest.mark.parametrize("multiplier", [1, 30])
def test_inserted_with_it(layer_class, arguments, multiplier):
    inputs = keras.Input((6, 6, 8))
    x = layers.Conv2D(8, 3, name="conv", **LAST)(inputs)
    attention = layer_class(
        learning_rate_multiplier=multiplier, **arguments, **LAST
    )
    model = insert_attention(keras.Model(inputs, x), attention, ["conv"])
    assert attention_of(model).learning_rate_multiplier == multiplier


@over(MECHANISMS)
def test_expanded(layer_class, arguments):
    model = network(layer_class, arguments, 30, kernel_regularizer="l2")
    randomize(attention_of(model))
    expanded = expand_attention(model)
    assert distance(predictions(model), predictions(expanded)) < 1e-6
    assert penalty(model) == pytest.approx(penalty(expanded), rel=1e-5)


def test_fused():
    model = network(*MECHANISMS["se"], 30)
    randomize(attention_of(model))
    fused = fuse_attention(expand_attention(model))
    assert attention_of(fused).multiplier == 1
    assert distance(predictions(model), predictions(fused)) < 1e-6


@over(
    {
        "se": MECHANISMS["se"],
        "linear": (LinearSqueezeExcite, {"use_bias": True}),
        "own": (Affine, {}),
    }
)
def test_pruned(layer_class, arguments):
    """Channels that are zero before the attention make no difference."""
    model = network(layer_class, arguments, 30)
    randomize(attention_of(model))
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., [1, 6]] = bias[[1, 6]] = 0
    model.get_layer("conv").set_weights([kernel, bias])
    narrower = pruning.remove_channels(model, {"conv": [1, 6]})
    assert attention_of(narrower).learning_rate_multiplier == 30
    assert distance(predictions(model), predictions(narrower)) < 1e-6


# What is refused


class Unaware(ChannelAttention):
    def build_excitation(self, channels):
        self.scale = self.add_effective_weight((channels,), name="scale")
        self.shift = self.add_weight(shape=(channels,), name="shift")

    def excite(self, descriptor):
        return descriptor * self.effective_weight(self.scale) + self.shift


@pytest.mark.parametrize(
    ("layer_class", "has"),
    [(Unaware, r"the weights \['shift'\]"), (SqueezeGate, "no weights")],
)
def test_a_layer_on_which_it_has_no_effect(layer_class, has):
    layer = layer_class(learning_rate_multiplier=3)
    message = (
        f"`learning_rate_multiplier`.*Received: .*=3 .*{has}.*"
        "`self.add_effective_weight`"
    )
    with pytest.raises(ValueError, match=message):
        layer.build((None, 5, 8))
    layer_class().build((None, 5, 8))
