"""A layer in a copy: its functions, its configuration, its flags."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import (
    array,
    assert_same_outputs,
    conv,
    copy_of,
    held_objects,
    image,
    numpy,
    with_attention,
)
from support.networks import layers_of, nested, over_networks, randomize


@over_networks
def test_layers_keep_all_but_their_identity(build):
    model = randomize(build())
    for number, layer in enumerate(layers_of(model).values()):
        if not isinstance(layer, (keras.Model, layers.InputLayer)):
            layer.trainable = number % 3 > 0
    copied = layers_of(copy_of(model))
    assert list(copied) == list(layers_of(model))
    for path, layer in layers_of(model).items():
        copy = copied[path]
        assert copy is not layer
        assert type(copy) is type(layer)
        assert copy.trainable == layer.trainable
        assert copy.dtype_policy == layer.dtype_policy
        if isinstance(layer, keras.Model):
            continue
        assert copy.get_config() == layer.get_config()
        for one, other in zip(layer.weights, copy.weights, strict=True):
            assert one.path.split("/")[-2:] == other.path.split("/")[-2:]
            np.testing.assert_array_equal(
                ops.convert_to_numpy(one), ops.convert_to_numpy(other)
            )


# Functions and objects that a user passed to a layer.


def unchanged(x):
    return x


def relu(x):
    """Another function than the one of Keras with this name."""
    return ops.minimum(ops.maximum(x, 0.0), 0.1) * 9


def scale(x, by):
    return by * x


def closure(by):
    def activation(x):
        return by * x

    return activation


class Twice:
    """A callable object."""

    def __call__(self, x):
        return 2 * x


def tokens():
    return keras.Input((6, 8))


def followed(x):
    """A layer that attention can follow."""
    return layers.Conv1D(
        8, 1, name="c", data_format="channels_last", trainable=False
    )(x)


class TwoFunctions(layers.Layer):
    def __init__(self, first, second, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.activations.get(first)
        self.second = keras.activations.get(second)

    def call(self, x):
        return self.first(x) + self.second(x)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {
            **super().get_config(),
            "first": keras.activations.serialize(self.first),
            "second": keras.activations.serialize(self.second),
        }


class Kept(layers.Layer):
    """A layer without `get_config` that keeps its arguments."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)

    def compute_output_shape(self, shape):
        return shape


class Functions(Kept):
    """A layer that holds functions in a list."""

    def __init__(self, functions, **kwargs):
        super().__init__(None, **kwargs)
        self.functions = list(functions)

    def call(self, x):
        for function in self.functions:
            x = function(x)
        return x

    def get_config(self):
        return {**layers.Layer.get_config(self), "functions": self.functions}


def bidirectional(activation):
    rnn = layers.SimpleRNN(4, activation=activation, return_sequences=True)
    # It makes its layers from a configuration, in which functions have names.
    with keras.saving.custom_object_scope({activation.__name__: activation}):
        return layers.Bidirectional(rnn)


FUNCTIONS = {
    "named as one of Keras": lambda: layers.Dense(8, activation=relu),
    "in Activation": lambda: layers.Activation(relu),
    "lambda": lambda: layers.Dense(8, activation=lambda x: 3 * x + 1),
    "partial": lambda: layers.Dense(
        8, activation=functools.partial(scale, by=3)
    ),
    "two closures": lambda: TwoFunctions(closure(2), closure(3)),
    "callable object": lambda: layers.Activation(Twice()),
    "inside GRU": lambda: layers.GRU(
        8,
        activation=relu,
        recurrent_activation=closure(0.5),
        return_sequences=True,
    ),
    "inside Bidirectional": lambda: bidirectional(relu),
    "inside TimeDistributed": lambda: layers.TimeDistributed(
        layers.Dense(8, activation=relu)
    ),
    "inside a cell": lambda: layers.RNN(
        [
            layers.GRUCell(8, activation=relu),
            layers.GRUCell(8, activation=closure(2)),
        ],
        return_sequences=True,
    ),
    "without get_config": lambda: Kept(lambda x: x * x),
    "in a list": lambda: Functions([closure(2), relu, lambda x: x + 1]),
    "in Lambda": lambda: layers.Lambda(relu, output_shape=(6, 8)),
    "closure in Lambda": lambda: layers.Lambda(closure(7), output_shape=(6, 8)),
    "partial in Lambda": lambda: layers.Lambda(
        functools.partial(scale, by=3), output_shape=(6, 8)
    ),
    # Revived from its string, a function has lost what it refers to.
    "two functions of Lambda": lambda: layers.Lambda(
        lambda x: unchanged(x), output_shape=lambda shape: unchanged(shape)
    ),
    "arguments of Lambda": lambda: layers.Lambda(
        scale, output_shape=(6, 8), arguments={"by": 4}
    ),
}


@pytest.mark.parametrize("layer", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_the_copy_has_the_same_functions(layer):
    x = tokens()
    model = keras.Model(x, followed(layer()(x)))
    assert_same_outputs(model, with_attention(model), array((2, 6, 8)))


def test_objects_are_the_same_ones():
    activation, initializer = closure(2), lambda shape, dtype: ops.zeros(shape)
    x = image()
    model = keras.Model(
        x, conv("c", activation=activation, kernel_initializer=initializer)(x)
    )
    copy = with_attention(model).get_layer("c")
    assert copy.activation is activation
    assert copy.kernel_initializer is initializer
    # Those of the original are not replaced.
    assert model.get_layer("c").activation is activation
    assert model.get_layer("c").kernel_initializer is initializer


class Ones(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return ops.ones(shape, dtype)


class Small(keras.regularizers.Regularizer):
    """Without `get_config`."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * ops.sum(ops.abs(x))


class Positive(keras.constraints.Constraint):
    def __call__(self, x):
        return ops.abs(x)


def test_initializer_regularizer_and_constraint():
    x = image()
    objects = {
        "kernel_initializer": Ones(),
        "kernel_regularizer": Small(0.5),
        "kernel_constraint": Positive(),
    }
    model = keras.Model(x, conv("c", **objects)(x))
    copy = with_attention(model).get_layer("c")
    for name, value in objects.items():
        assert getattr(copy, name) is value
    np.testing.assert_allclose(
        numpy(copy.losses[0]), numpy(model.losses[0]), rtol=1e-6
    )


def test_a_function_with_the_name_of_one_of_keras():
    """A function named `relu` that is bounded, unlike that of Keras."""

    def relu(x):
        return ops.relu6(x)

    x = image(1)
    model = keras.Model(
        x, conv("c", size=1, activation=relu, kernel_initializer="ones")(x)
    )
    values = np.full((1, 6, 6, 1), 61, "float32")
    assert_same_outputs(model, with_attention(model), values)
    assert float(numpy(model(values)).max()) == 6


def functional():
    x = keras.Input((4,))
    y = layers.Dense(4, activation=lambda x: 3 * x)(x)
    y = layers.Dense(4, activation=functools.partial(scale, by=2))(y)
    return keras.Model(x, layers.Activation(relu)(y))


def sequential():
    return keras.Sequential([functional(), layers.Activation(relu)])


class OwnGraph(keras.Model):
    def __init__(self, **kwargs):
        x = keras.Input((4,))
        y = layers.Dense(4, activation=lambda x: 3 * x)(x)
        super().__init__(x, y, **kwargs)

    def get_config(self):
        return {"name": self.name}


@pytest.mark.parametrize("build", [functional, sequential, OwnGraph])
def test_functions_in_a_model_inside_a_layer(build):
    """The configurations of three levels are nested in each other."""
    x = keras.Input((3, 4))
    model = randomize(keras.Model(x, layers.TimeDistributed(build())(x)))
    before = held_objects(model)
    copy = copy_of(model)
    array = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(
        numpy(copy(array)), numpy(model(array)), rtol=1e-5
    )
    assert copy.layers[1].layer is not model.layers[1].layer
    assert all(
        old is new
        for (_, old), (_, new) in zip(before, held_objects(model), strict=True)
    )


# Layers that cannot be copied, and attributes.


class Forgetful(layers.Layer):
    """Neither a `get_config` nor an attribute for its argument."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self._apply = function

    def call(self, x):
        return self._apply(x)

    def compute_output_shape(self, shape):
        return shape


class Changing(Kept):
    """Its configuration has an argument that it does not take."""

    def get_config(self):
        return {**super().get_config(), "function": None, "other": 1}


REFUSED = {
    "argument not kept": (
        lambda: Forgetful(abs, name="odd"),
        r"'odd' \(of type Forgetful\).*does not keep its argument `function`",
    ),
    "wrong configuration": (
        lambda: Changing(abs, name="odd"),
        r"'odd' \(of type Changing\).*get_config",
    ),
}


@pytest.mark.parametrize(("layer", "message"), REFUSED.values(), ids=REFUSED)
def test_a_layer_that_cannot_be_copied_is_named(layer, message):
    x = image()
    model = keras.Model(x, conv("c")(layer()(x)))
    with pytest.raises(ValueError, match=message) as error:
        with_attention(model)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)


def test_a_method_replaced_on_one_object_is_refused():
    x = image()
    layer = layers.Identity(name="patched")
    layer.call = lambda x: 2 * x
    model = keras.Model(x, conv("c")(layer(x)))
    with pytest.raises(ValueError, match=r"'patched'.*`call` was replaced"):
        with_attention(model)


class Numbered(layers.Layer):
    """Keras records its argument; it has no attribute of that name."""

    def __init__(self, by):
        super().__init__()
        self._double = 2 * by

    def call(self, x):
        return self._double * x

    def compute_output_shape(self, shape):
        return shape


def test_a_layer_whose_arguments_keras_records():
    x = image()
    layer = Numbered(3)
    model = keras.Model(x, conv("c")(layer(x)))
    copy = with_attention(model)
    assert_same_outputs(model, copy)
    assert copy.layers[1].name == layer.name


def test_attributes_changed_after_construction():
    x = image()
    model = keras.Model(x, layers.Dropout(0.1, name="drop")(conv("c")(x)))
    model.get_layer("c").activation = relu
    model.get_layer("c").stage = 3
    model.get_layer("drop").rate = 0.7
    copy = with_attention(model)
    assert copy.get_layer("c").stage == 3
    assert copy.get_layer("drop").rate == 0.7
    assert_same_outputs(model, copy)


# What is frozen, and the precision.


@pytest.mark.parametrize("frozen", ["outer", "inner"])
def test_a_frozen_model_is_frozen_in_the_copy(frozen):
    model = nested()
    inner = model.get_layer("backbone")
    (model if frozen == "outer" else inner).trainable = False
    # Trainable again: the flag of a model does not tell those of its layers.
    inner.get_layer("b_2").trainable = True
    copy = copy_of(model)
    for path, layer in layers_of(model).items():
        assert layers_of(copy)[path].trainable == layer.trainable
    assert copy.trainable == model.trainable
    assert len(copy.trainable_weights) == len(model.trainable_weights)


class Composite(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(8)
        self.normalization = layers.BatchNormalization()

    def call(self, x):
        return self.normalization(self.dense(x))

    def compute_output_shape(self, shape):
        return shape


def test_flags_of_the_layers_inside_a_layer():
    x = image()
    composite = Composite(name="inner")
    model = keras.Model(x, x + composite(x))
    composite.normalization.trainable = False
    copy = with_attention(model, ["inner"]).get_layer("inner")
    assert copy.trainable
    assert copy.dense.trainable
    assert not copy.normalization.trainable


def test_flags_of_single_weights():
    x = image()
    model = keras.Model(x, conv("c")(x))
    model.get_layer("c").bias.trainable = False
    copy = with_attention(model).get_layer("c")
    assert not copy.bias.trainable
    assert copy.kernel.trainable


def test_mixed_precision_stays():
    x = image()
    model = keras.Model(x, conv("conv", dtype="mixed_float16")(x))
    copied = copy_of(model).get_layer("conv")
    assert copied.compute_dtype == "float16"
    assert copied.kernel.dtype == "float32"


@pytest.mark.backend("tensorflow", "jax")
def test_rematerialization():
    x = image()
    with keras.RematScope(mode="full"):
        y = conv("c")(x)
    with keras.RematScope(mode="list_of_layers", layer_names=["d"]):
        model = keras.Model(x, conv("d")(y))
    copy = with_attention(model)
    for name in ("c", "d"):
        one, other = (m.get_layer(name)._remat_mode for m in (model, copy))
        assert one == other
    assert copy.get_layer("c_squeeze_excite")._remat_mode is None
