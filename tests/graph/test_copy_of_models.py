"""The class and the attributes of a model, in its copy."""

import collections

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import (
    array,
    assert_same_outputs,
    conv,
    copy_of,
    image,
    numpy,
    with_attention,
)
from support.networks import assert_same, randomize, residual

from keras_channel_attn import SqueezeExcite, insert_attention, remove_attention


def test_a_compiled_model_gives_one_that_is_not():
    model = residual()
    model.compile("sgd", "mse")
    assert not copy_of(model).compiled


# The class.


def graph_of_two(x):
    return conv("d", 4)(conv("c")(x))


class Trainer(keras.Model):
    """A functional model with a training step of its own."""

    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


class PlainStack(keras.Sequential):
    """A sequential model with a class of its own."""


def trainer():
    x = image()
    return Trainer(x, graph_of_two(x), name="trainer")


def stack():
    return PlainStack([image(), conv("conv")], name="stack")


def with_inner_trainer():
    x = image()
    return keras.Model(x, trainer()(x))


@pytest.mark.parametrize("build", [trainer, stack])
def test_keeps_a_class_that_takes_inputs_and_outputs(build):
    model = randomize(build())
    copy = copy_of(model)
    assert type(copy) is type(model)
    assert copy.name == model.name
    assert_same(model, copy)


def test_keeps_such_a_class_inside_another_model():
    model = randomize(with_inner_trainer())
    copy = copy_of(model)
    assert type(copy.get_layer("trainer")) is type(model.get_layer("trainer"))
    assert_same(model, copy)


class WithMore(keras.Model):
    """Constructed from inputs and outputs, with parts of its own."""

    def __init__(self, *args, temperature=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.temperature = temperature
        self.extra = layers.Dense(3, name="extra")
        self.extra.build((None, 4))
        self.heads = [layers.Dense(2), layers.Dense(2)]
        for head in self.heads:
            head.build((None, 4))
        self.bias = self.add_weight(shape=(4,), name="bias")
        self.add_weight(shape=(2,), name="unnamed", initializer="normal")
        self.seeds = keras.random.SeedGenerator(3)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return self.temperature * ops.mean(ops.square(y_pred))


def with_more(**arguments):
    x = image()
    model = WithMore(x, graph_of_two(x), name="more", **arguments)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def test_layers_weights_and_attributes_beside_the_graph():
    model = with_more(temperature=5.0)
    model.extra.trainable = False
    model.seeds.next()
    copy = with_attention(model)
    assert type(copy) is WithMore
    assert copy.temperature == 5.0
    assert copy.extra is not model.extra
    assert not copy.extra.trainable
    assert len(copy.weights) == len(model.weights) + 2
    pairs = [
        (model.bias, copy.bias),
        (model.seeds.state, copy.seeds.state),
        *zip(model.extra.weights, copy.extra.weights, strict=True),
        *zip(model.heads[1].weights, copy.heads[1].weights, strict=True),
    ]
    for one, other in pairs:
        assert one is not other
        np.testing.assert_array_equal(numpy(one), numpy(other))
    unnamed = [
        next(w for w in m.weights if w.name == "unnamed") for m in (model, copy)
    ]
    np.testing.assert_array_equal(*map(numpy, unnamed))


@pytest.mark.training
def test_a_loss_of_its_own():
    model = with_more(temperature=5.0)
    copy = with_attention(model)
    x = array()
    losses = []
    for one in (model, copy):
        one.compile("sgd")
        losses.append(one.evaluate(x, x[..., :4], verbose=0))
    np.testing.assert_allclose(*losses, rtol=1e-5)


class Detector(keras.Model):
    """Makes its own graph and has a loss of its own."""

    def __init__(self, classes=3, **kwargs):
        x = image()
        super().__init__(x, graph_of_two(x), **kwargs)
        self.classes = classes

    def get_config(self):
        return {"classes": self.classes, "name": self.name}

    def compute_loss(self, *args, **kwargs):
        return 0.0


class Stack(keras.Sequential):
    def __init__(self, width=8, **kwargs):
        super().__init__([image(), conv("c", width)], **kwargs)

    def train_step(self, *args):
        return {}


class Distiller(keras.Model):
    """Takes inputs, outputs and an argument that no copy can be given."""

    def __init__(self, *args, teacher, **kwargs):
        super().__init__(*args, **kwargs)
        self.teacher = teacher

    def train_step(self, *args):
        return {}


def distiller(**arguments):
    x = image()
    return Distiller(x, graph_of_two(x), teacher=None, **arguments)


def forbidden(layer):
    raise AssertionError("called before the model was refused")


@pytest.mark.parametrize(
    ("kind", "logic"),
    [
        (Detector, "compute_loss"),
        (Stack, "train_step"),
        (distiller, "train_step"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_logic_that_would_be_lost_is_refused_first(kind, logic, nested):
    model = kind(name="special")
    where = ["c"]
    if nested:
        x = image()
        model, where = keras.Model(x, model(x)), ["special/c"]
    with pytest.raises(
        ValueError,
        match=rf"'special' \(of type \w+\) cannot be copied.*`{logic}`.*Pass",
    ):
        insert_attention(model, forbidden, where)


def test_such_a_model_stays_whole_where_nothing_changes_in_it():
    x = image()
    inner = Detector(name="special")
    model = keras.Model(x, conv("e")(inner(x)))
    inner.get_layer("c").kernel.assign(array((3, 3, 8, 8)))
    inner.get_layer("c").trainable = False
    copy = with_attention(model, ["e"])
    assert type(copy.get_layer("special")) is Detector
    assert not copy.get_layer("special").get_layer("c").trainable
    assert_same_outputs(model, copy)


class OfLayers(keras.Model):
    """Makes its graph of layers that it is given."""

    def __init__(self, stem, **kwargs):
        x = image()
        super().__init__(x, conv("own")(stem(x)), **kwargs)
        self.stem = stem

    def get_config(self):
        return {"stem": self.stem, "name": self.name}


def test_a_class_of_its_own_whose_graph_shares_a_layer_is_refused():
    x, stem = image(), conv("stem")
    inner = OfLayers(stem, name="inner")
    model = keras.Model(x, conv("c")(stem(inner(x))))
    with pytest.raises(ValueError, match=r"'inner'.*shares the layer 'stem'"):
        with_attention(model)


class Backbone(keras.Model):
    """As in keras-hub: its own configuration, and a property."""

    def __init__(self, units=4, **kwargs):
        x = image()
        super().__init__(x, layers.Dense(units)(graph_of_two(x)), **kwargs)
        self.units = units
        self._ends = {"c": self.get_layer("c").output}

    @property
    def ends(self):
        return self._ends

    def get_config(self):
        return {"units": self.units, "name": self.name}


def test_a_class_with_arguments_of_its_own_becomes_a_plain_model():
    model = Backbone(units=3)
    copy = with_attention(model)
    assert not isinstance(copy, Backbone)
    assert_same_outputs(model, copy)
    end = keras.Model(copy.input, copy.ends["c"])
    assert_same_outputs(keras.Model(model.input, model.ends["c"]), end)


# Models with a `call` that is not their graph.


class Scaled(keras.Model):
    def call(self, x, training=None, mask=None):
        return 3 * super().call(x, training=training, mask=mask)


def test_a_model_with_a_call_of_its_own_is_refused():
    x = image()
    model = Scaled(x, x + conv("c")(x))
    with pytest.raises(ValueError, match=r"of its own \(Scaled.call\)"):
        with_attention(model)


def test_a_nested_model_with_a_call_of_its_own_stays_whole():
    x, y = image(), image()
    inner = Scaled(x, x + conv("c")(x), name="inner")
    model = keras.Model(y, conv("head")(inner(y)))
    copy = with_attention(model, ["head"])
    assert type(copy.get_layer("inner")) is Scaled
    assert_same_outputs(model, copy)


def test_dtype_policy_of_a_nested_model():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        x, y = image(), image()
        inner = keras.Model(x, conv("c")(x), name="inside")
        model = keras.Model(y, conv("head")(inner(y)))
    finally:
        keras.config.set_dtype_policy("float32")
    copy = with_attention(model, ["inside/c"])
    for one in (model, copy):
        assert one.get_layer("inside").dtype_policy.name == "mixed_bfloat16"


# Attributes.


Level = collections.namedtuple("Level", ["stride", "tensor"])


def test_attributes_that_libraries_set():
    """As kyolo and keras-hub have them on functional models."""
    x = image()
    model = keras.Model(x, graph_of_two(x))
    model.nc, model.strides = 80, [8, 16]
    model.pyramid_outputs = {
        "P3": model.get_layer("c").output,
        "P4": model.output,
    }
    model.levels = [Level(8, model.get_layer("c").output)]
    model.stem = model.get_layer("c")
    model.blocks = [("first", [model.get_layer("c"), model.get_layer("d")])]
    model.decoder = lambda y: y + 1
    model.encoder = keras.Model(x, model.get_layer("c").output, name="encoder")
    model.kernel = model.get_layer("c").kernel
    model.probe = layers.Dense(3)
    model.probe.build((None, 4))
    model.classify = model.predict
    copy = with_attention(model)
    assert (copy.nc, copy.strides) == (80, [8, 16])
    assert copy.decoder is model.decoder
    assert copy.classify == copy.predict
    assert copy.stem is copy.get_layer("c")
    assert copy.blocks[0][1][1] is copy.get_layer("d")
    assert copy.kernel is copy.get_layer("c").kernel
    assert copy.levels[0].stride == 8
    # A layer beside the graph.
    assert copy.probe is not model.probe
    np.testing.assert_array_equal(
        numpy(copy.probe.kernel), numpy(model.probe.kernel)
    )
    ends = keras.Model(copy.input, copy.pyramid_outputs)
    expected = keras.Model(model.input, model.pyramid_outputs)
    assert_same_outputs(expected, ends)
    assert_same_outputs(model.encoder, copy.encoder)
    # It has the layers of the copy, attention included.
    assert copy.encoder.get_layer("c") is copy.get_layer("c")
    assert isinstance(copy.encoder.layers[-1], SqueezeExcite)


def test_an_attribute_is_a_tensor_of_a_sequential_copy():
    """A feature map and the output belong to one graph, as in Grad-CAM."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="late")])
    model.end = model.get_layer("late").output
    copy = copy_of(model)
    assert copy.end is copy.get_layer("late").output
    assert keras.Model(copy.inputs, copy.end).layers[1] is copy.layers[0]


class Postprocessing:
    def __init__(self, model):
        self.model = model


REFERENCES = {
    "metric": lambda model: keras.metrics.Mean(),
    "object": Postprocessing,
    "closure": lambda model: lambda x: model(x),
    "list of objects": lambda model: [Postprocessing(model.layers[1])],
}


@pytest.mark.parametrize("value", REFERENCES.values(), ids=REFERENCES)
def test_what_refers_to_the_original_is_named(value):
    x = image()
    model = keras.Model(x, graph_of_two(x))
    model.other, model.nc = value(model), 80
    with pytest.warns(UserWarning, match=r"lacks its attributes \['other'\]"):
        copy = with_attention(model)
    assert copy.nc == 80
    assert not hasattr(copy, "other")


def test_attributes_of_a_nested_model():
    x, y = image(), image()
    inner = keras.Model(x, graph_of_two(x), name="inner")
    inner.ends = {"c": inner.get_layer("c").output}
    model = keras.Model(y, layers.ReLU()(inner(y)))
    copy = with_attention(model, ["inner/c"]).get_layer("inner")
    end = keras.Model(copy.input, copy.ends["c"])
    assert_same_outputs(keras.Model(inner.input, inner.ends["c"]), end)


def test_a_removed_layer_is_no_attribute_of_the_copy():
    x = image()
    model = keras.Model(
        x,
        SqueezeExcite(2, name="se", data_format="channels_last")(conv("c")(x)),
    )
    model.attention = model.get_layer("se")
    with pytest.warns(UserWarning, match=r"\['attention'\]"):
        copy = remove_attention(model)
    assert len(copy.weights) == 2


@pytest.mark.training
# The weights beside the graph have no part in the loss.
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
def test_a_model_that_was_trained_has_no_attributes_to_warn_of():
    model = with_more()
    model.compile("sgd", metrics=["mse"])
    x = array()
    model.fit(x, x[..., :4], verbose=0)
    model.evaluate(x, x[..., :4], verbose=0)
    model.predict(x, verbose=0)
    copy = with_attention(model)
    assert not copy.compiled
    assert set(vars(copy)) <= set(vars(with_more())) | {"_modules"}
