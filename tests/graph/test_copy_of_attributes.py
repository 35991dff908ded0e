"""What was set on layers and weights after they were made, in a copy."""

import collections
import enum
import types

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import (
    LAST,
    array,
    assert_same_outputs,
    conv,
    copy_of,
    image,
    numpy,
    with_attention,
)

from keras_channel_attn import remove_attention
from keras_channel_attn.pruning import remove_channels

ABSOLUTE = keras.regularizers.L1(1.0)


class Kind(enum.Enum):
    PLAIN = 1


class Helper:
    """An object of a user that a layer makes."""

    def __init__(self, factor=1.0):
        self.factor = factor


class Free(layers.Layer):
    """A layer whose configuration holds nothing of what it has."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.factor = 1.0
        self.function = ops.abs
        self.method = self.doubled
        self.options = {"scale": 1.0, "names": ["a"]}
        self.helper = Helper()
        self.ready = False
        self._offset = 0.0

    def build(self, shape):
        if self.ready:
            raise AssertionError("built before")
        self.kernel = self.add_weight(shape=shape[-1:], initializer="ones")
        self.width = shape[-1]
        self.ready = True

    def doubled(self, x):
        return 2.0 * x

    def tripled(self, x):
        return 3.0 * x

    def call(self, x):
        x = self.method(self.function(x)) * self.kernel
        return x * self.factor * self.helper.factor * self.options["scale"]

    def compute_output_shape(self, shape):
        return shape


def network(layer, name="odd"):
    """A layer, and one behind it that attention can follow."""
    layer.name = name
    x = image()
    return keras.Model(x, conv("c")(layer(x)))


def relu(x):
    """Not the function of Keras that has this name."""
    return 9 * ops.relu(x)


# An attribute of a layer of a user, which the configuration does not hold.
VALUES = {
    "number": ("factor", 7.0),
    "number of another type": ("factor", 7),
    "nothing": ("options", None),
    "string": ("note", "no decay"),
    "function": ("function", relu),
    "function of Keras": ("function", ops.tanh),
    "list": ("notes", [1, [2, "a"]]),
    "tuple": ("notes", (1, "a")),
    "set": ("notes", {1, 2}),
    "dictionary": ("options", {"scale": 5.0, "more": {"a": None}}),
    "ordered": ("notes", collections.OrderedDict(a=1, b=2)),
    "deque": ("notes", collections.deque([1, 2])),
    "enumeration": ("notes", Kind.PLAIN),
    "class": ("notes", Helper),
    "array": ("notes", np.arange(4.0)),
    "initializer": ("notes", keras.initializers.Constant(3.0)),
    "private": ("_offset", 4.0),
    "private and new": ("_new", [4.0]),
    "one of a kind": ("helper", Helper(6.0)),
    "flag": ("ready", "twice"),
    "one that `build` sets": ("width", 99),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_attribute_of_a_layer(name):
    attribute, value = VALUES[name]
    layer = Free()
    model = network(layer)
    setattr(layer, attribute, value)
    copy = with_attention(model).get_layer("odd")
    found = getattr(copy, attribute)
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(found, value)
    else:
        assert found == value
        # Keras has classes of its own for lists and dictionaries. Keras 3.12
        # has none for ordered ones.
        original = getattr(layer, attribute)
        assert isinstance(found, type(value)) == isinstance(
            original, type(value)
        )


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("factor", 7.0),
        ("function", relu),
        ("options", {"scale": 5.0}),
        ("helper", Helper(6.0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("wrap", [None, layers.TimeDistributed])
def test_a_copy_computes_with_it(attribute, value, wrap):
    layer = Free()
    model = network(layer if wrap is None else wrap(layer))
    setattr(layer, attribute, value)
    copy = with_attention(model)
    assert_same_outputs(model, copy)
    assert_same_outputs(model, remove_attention(copy))


CHANGED_IN_PLACE = {
    "list": lambda layer: layer.options["names"].append("b"),
    "dictionary": lambda layer: layer.options.update({"scale": 4.0}),
    "array": lambda layer: np.add.at(layer.notes, 1, 5.0),
    "deque": lambda layer: layer.queue.append(3),
}


@pytest.mark.parametrize(
    "change", CHANGED_IN_PLACE.values(), ids=CHANGED_IN_PLACE
)
def test_containers_are_not_shared(change):
    def state(layer):
        return [
            str(value) for value in (layer.options, layer.notes, layer.queue)
        ]

    layer = Free()
    layer.notes, layer.queue = np.zeros(3), collections.deque([1])
    model = network(layer)
    copy = copy_of(model).get_layer("odd")
    before = state(copy)
    change(layer)
    assert state(copy) == before
    assert state(copy_of(model).get_layer("odd")) == state(layer)


# Attributes that any layer has.


def test_a_mask_goes_on_where_a_layer_was_told_to():
    x = keras.Input((6, 4))
    layer = layers.Conv1D(8, 3, padding="same", name="c", **LAST)
    layer.supports_masking = True
    y = layer(layers.Masking()(x))
    model = keras.Model(x, layers.GlobalAveragePooling1D()(y))
    copy = with_attention(model)
    assert copy.get_layer("c").supports_masking
    values = array((2, 6, 4))
    values[:, 3:] = 0
    assert_same_outputs(model, copy, values)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("supports_masking", False),
        ("autocast", False),
        ("supports_jit", False),
        ("input_spec", None),
    ],
)
def test_a_flag_of_any_layer(attribute, value):
    layer = layers.BatchNormalization(axis=-1)
    model = network(layer)
    setattr(layer, attribute, value)
    copy = with_attention(model).get_layer("odd")
    assert getattr(copy, attribute) == value


@pytest.mark.backend("tensorflow", "torch", "jax")
def test_an_activity_regularizer():
    layer = Free()
    model = network(layer)
    layer.activity_regularizer = keras.regularizers.L2(0.1)
    copy = with_attention(model)
    losses = []
    for one in (model, copy):
        one(array())
        losses.append([numpy(loss) for loss in one.losses])
    assert len(losses[0]) == 1
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_an_input_layer():
    model = network(Free())
    model.layers[0].note = "RGB"
    assert with_attention(model).layers[0].note == "RGB"


def test_a_layer_inside_a_model_inside_a_layer():
    x, y = keras.Input((6, 8)), keras.Input((8,))
    inner = keras.Model(y, layers.Dense(8, name="inside")(y))
    inner.note = "inner"
    wrapped = layers.TimeDistributed(inner, name="wrapper")
    model = keras.Model(x, layers.Conv1D(8, 1, name="c", **LAST)(wrapped(x)))
    inner.get_layer("inside").activation = relu
    inner.get_layer("inside").kernel.regularizer = ABSOLUTE
    copy = with_attention(model)
    copied = copy.get_layer("wrapper").layer
    assert copied.note == "inner"
    assert copied.get_layer("inside").activation is relu
    assert copied.get_layer("inside").kernel.regularizer is ABSOLUTE
    assert_same_outputs(model, copy, array((2, 6, 8)))


# Attributes that refer to the model.


def test_a_method_is_one_of_the_copy():
    layer = Free()
    model = network(layer)
    layer.method = layer.tripled
    copy = with_attention(model)
    assert copy.get_layer("odd").method == copy.get_layer("odd").tripled
    assert_same_outputs(model, copy)


def test_a_method_that_was_set_is_one_of_the_copy():
    layer = Free()
    model = network(layer)
    layer.compute_mask = types.MethodType(
        lambda self, x, mask=None: self, layer
    )
    copy = with_attention(model).get_layer("odd")
    assert copy.compute_mask(None) is copy


def test_tensors_layers_and_variables_are_those_of_the_copy():
    layer = Free()
    model = network(layer)
    other = model.get_layer("c")
    layer.end, layer.alias = other.output, layer.kernel
    layer.ends = {"layers": ({"end": other.output}, [layer.kernel])}
    copy = copy_of(model)
    copied = copy.get_layer("odd")
    assert copied.end is copy.get_layer("c").output
    assert copied.alias is copied.kernel
    assert copied.ends["layers"][0]["end"] is copied.end
    assert copied.ends["layers"][1][0] is copied.kernel


def test_a_variable_is_copied_once():
    """One that a call has as an argument, and one that nothing computes."""
    x = image()
    used, unused = keras.Variable(2.0), keras.Variable(3.0)
    model = keras.Model(x, conv("c")(x) * used)
    model.factor, model.again = used, used
    model.first, model.second = unused, unused
    copy = copy_of(model)
    assert len(copy.weights) == len(model.weights)
    assert copy.factor is copy.again
    assert copy.first is copy.second
    copy.factor.assign(0.0)
    assert not np.any(numpy(copy(array())))


def test_a_variable_of_a_nested_model_that_computes_with_it():
    x, factor = image(), keras.Variable(2.0)
    inner = keras.Model(x, conv("c")(x) * factor, name="inner")
    inner.factor = factor
    x = image()
    copy = copy_of(keras.Model(x, inner(x)))
    copy.get_layer("inner").factor.assign(0.0)
    assert not np.any(numpy(copy(array())))


class Adapted(layers.Layer):
    """Calls layers that it is given after it was made."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.adapter, self.more = None, [layers.Dense(8)]

    def call(self, x):
        for layer in (self.adapter, *self.more):
            x = layer(x)
        return x

    def compute_output_shape(self, shape):
        return shape


def test_layers_that_a_layer_was_given_before_its_first_call():
    layer = Adapted()
    layer.adapter = layers.Dense(8, activation=relu)
    layer.more.append(layers.Dense(8))
    model = network(layer)
    layer.adapter.kernel.regularizer = ABSOLUTE
    copy = with_attention(model)
    copied = copy.get_layer("odd")
    assert copied.adapter is not layer.adapter
    assert copied.adapter.kernel.regularizer is ABSOLUTE
    assert {w.path for w in copied.weights} == {w.path for w in layer.weights}
    assert_same_outputs(model, copy)


class Holder:
    def __init__(self, held):
        self.held = held


REFERENCES = {
    "object": Holder,
    "closure": lambda model: lambda x: model.layers[2](x),
    "metric": lambda model: keras.metrics.Mean(),
}


@pytest.mark.parametrize("value", REFERENCES.values(), ids=REFERENCES)
@pytest.mark.parametrize("attribute", ["note", "function"])
def test_what_refers_to_the_original_is_named(value, attribute):
    layer = Free()
    model = network(layer)
    if value is REFERENCES["metric"]:
        # A layer that is built takes none.
        object.__setattr__(layer, attribute, value(model))
    else:
        setattr(layer, attribute, value(model))
    message = rf"the layer 'odd' lacks its attributes \['{attribute}'\]"
    with pytest.warns(UserWarning, match=message):
        copy = with_attention(model).get_layer("odd")
    assert getattr(copy, attribute, None) in (None, ops.abs)


class MakesReferences(Free):
    """Its constructor makes what refers to the layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.function = lambda x: self.factor * x
        self.holder = Holder(self)


def test_what_the_constructor_makes_is_that_of_the_copy():
    model = network(MakesReferences())
    model.get_layer("odd").factor = 3.0
    copy = with_attention(model)
    assert copy.get_layer("odd").holder.held is copy.get_layer("odd")
    assert_same_outputs(model, copy)


# Weights.


class Tied(keras.regularizers.Regularizer):
    def __init__(self, other):
        self.other = other

    def __call__(self, x):
        return ops.sum(x - self.other)


def losses_of(model):
    return [numpy(ops.stop_gradient(loss)) for loss in model.losses]


def test_regularizer_and_constraint_of_a_weight():
    model = network(layers.Dense(8, kernel_regularizer="l1"))
    dense = model.get_layer("odd")
    dense.kernel.regularizer = keras.regularizers.L2(0.5)
    dense.bias.regularizer = keras.regularizers.L1(0.25)
    dense.kernel.constraint = keras.constraints.MaxNorm(3.0)
    copy = with_attention(model)
    copied = copy.get_layer("odd")
    assert copied.kernel.regularizer is dense.kernel.regularizer
    assert copied.kernel.constraint is dense.kernel.constraint
    np.testing.assert_allclose(losses_of(copy), losses_of(model), rtol=1e-6)


def test_a_regularizer_that_was_taken_away():
    model = network(layers.Dense(8, kernel_regularizer="l1"))
    model.get_layer("odd").kernel.regularizer = None
    copy = with_attention(model)
    assert copy.get_layer("odd").kernel.regularizer is None
    assert not copy.losses


def test_a_regularizer_that_refers_to_the_original_is_named():
    model = network(layers.Dense(8, name="odd"))
    dense = model.get_layer("odd")
    dense.kernel.regularizer = Tied(dense.bias)
    message = r"the layer 'odd' lacks .*\['kernel.regularizer'\]"
    with pytest.warns(UserWarning, match=message):
        copy = with_attention(model)
    assert copy.get_layer("odd").kernel.regularizer is None


def test_other_attributes_of_a_weight():
    model = network(layers.Dense(8, name="odd"))
    bias = model.get_layer("odd").bias
    bias.decays, bias.overwrite_with_gradient = False, True
    copy = with_attention(model).get_layer("odd").bias
    assert (copy.decays, copy.overwrite_with_gradient) == (False, True)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.backend("torch")
def test_the_flag_of_a_tensor(trainable):
    model = network(layers.Dense(8, name="odd"))
    kernel = model.get_layer("odd").kernel
    kernel.trainable = trainable
    kernel.value.requires_grad = not trainable
    copy = with_attention(model).get_layer("odd").kernel
    assert copy.trainable is trainable
    assert copy.value.requires_grad is not trainable


def test_losses_after_each_surgery():
    model = network(layers.Conv2D(8, 1, **LAST))
    for layer in model.layers[1:]:
        layer.kernel.regularizer = keras.regularizers.L2(0.1)
    inserted = with_attention(model)
    expected = losses_of(model)
    assert len(expected) == 2
    for copy in (inserted, remove_attention(inserted), copy_of(model)):
        np.testing.assert_allclose(losses_of(copy), expected, rtol=1e-6)


# Narrower copies: what follows from the sizes is the copy's own.


def test_a_narrower_copy():
    x = image()
    y = layers.ReLU(name="relu")(conv("a")(x))
    model = keras.Model(x, conv("b")(y))
    first, activation = model.get_layer("a"), model.get_layer("relu")
    first.note, first.sizes = "first", [3, 4]
    first.kernel.regularizer = keras.regularizers.L2(0.5)
    activation.supports_masking = False
    copy = remove_channels(model, {"a": [0, 1, 2, 3]})
    copied = copy.get_layer("a")
    assert copied.filters == 4
    assert (copied.note, copied.sizes) == ("first", [3, 4])
    assert copied.kernel.regularizer is first.kernel.regularizer
    assert not copy.get_layer("relu").supports_masking
    assert copy.get_layer("b").input_spec.axes == {-1: 4}


class Bare(keras.regularizers.Regularizer):
    """A regularizer of a user that cannot be saved."""

    def __init__(self, strength):
        self.strength = strength

    def __call__(self, x):
        return self.strength * keras.ops.sum(x * x)


def test_a_regularizer_without_configuration():
    inputs = keras.Input((4,))
    layer = layers.Dense(3)
    model = keras.Model(inputs, layer(inputs))
    layer.kernel.regularizer = Bare(0.5)
    copy = copy_of(copy_of(model))
    assert copy.layers[-1].kernel.regularizer.strength == 0.5
