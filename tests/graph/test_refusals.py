"""Errors name the true cause."""

import keras
import pytest
from keras import layers
from support.copies import LAST, conv, copy_of, image

from keras_channel_attn import SqueezeExcite, expand_attention
from keras_channel_attn.graph import graph_of


class Student(keras.Model):
    """As in articles on distillation."""

    def __init__(self, inputs, outputs, temperature=3.0, **kwargs):
        super().__init__(inputs, outputs, **kwargs)
        self.temperature = temperature

    def compute_loss(self, *args, **kwargs):
        return 0.0


class Configured(keras.Model):
    def get_config(self):
        return {"name": self.name}

    def train_step(self, *args):
        return {}


class OwnStack(keras.Sequential):
    def __init__(self):
        super().__init__([image(), conv("c")])

    def train_step(self, *args):
        return {}


def of_tensors(kind, **arguments):
    x = image()
    return kind(x, conv("c")(x), **arguments)


def test_an_argument_beside_inputs_and_outputs():
    model = of_tensors(Student, temperature=5.0)
    message = (
        r"`compute_loss`.*because its constructor takes "
        r"\(inputs, outputs, temperature=3.0, \*\*kwargs\)"
    )
    with pytest.raises(ValueError, match=message):
        copy_of(model)


class Advised(keras.Model):
    """Its constructor is as the error says."""

    def __init__(self, *args, temperature=3.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.temperature = temperature

    def compute_loss(self, *args, **kwargs):
        return 0.0


def test_the_advice_helps():
    copy = copy_of(of_tensors(Advised, temperature=5.0))
    assert type(copy) is Advised
    assert copy.temperature == 5.0


def test_a_configuration_of_its_own():
    message = r"`train_step`.*because its `get_config` returns"
    with pytest.raises(ValueError, match=message):
        copy_of(of_tensors(Configured))


def test_a_sequential_model_with_a_constructor():
    message = "`train_step`.*because the class has a constructor of its own"
    with pytest.raises(ValueError, match=message):
        copy_of(OwnStack())


class Stack(keras.Sequential):
    def train_step(self, *args):
        return {}


def test_a_sequential_model_that_would_branch():
    model = Stack([image(), SqueezeExcite(2, **LAST)])
    message = "`train_step`.*because its layers are no longer a chain"
    with pytest.raises(ValueError, match=message):
        expand_attention(model)


# Models without a graph.


class OwnCall(keras.Model):
    def call(self, x):
        return x


class NoShape(layers.Layer):
    def call(self, x):
        raise NotImplementedError

    def compute_output_spec(self, x):
        raise NotImplementedError


def replaced_call():
    model = of_tensors(keras.Model)
    model.call = lambda x: x
    return model


NO_GRAPH = {
    "own call": (OwnCall, r"`call` method of its own \(OwnCall.call\)"),
    "replaced call": (replaced_call, "`call` method of its own"),
    "no inputs": (keras.Model, "not constructed from inputs and outputs"),
    "no shape": (
        lambda: keras.Sequential([image(), NoShape()]),
        "does not tell the shape of its output",
    ),
    "not built": (lambda: keras.Sequential([conv("c")]), "is not built"),
}


@pytest.mark.parametrize(("build", "message"), NO_GRAPH.values(), ids=NO_GRAPH)
def test_a_model_without_a_graph(build, message):
    with pytest.raises(ValueError, match=message):
        graph_of(build())


# Layers that cannot be made again.


class Holding(layers.Layer):
    """Without `get_config`, and with a layer as its argument."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return self.inner(x)

    def compute_output_shape(self, shape):
        return shape


class Forgetful(Holding):
    def __init__(self, inner, **kwargs):
        layers.Layer.__init__(self, **kwargs)
        self._inner = inner

    def call(self, x):
        return self._inner(x)


class Changing(Holding):
    def get_config(self):
        return {"name": self.name, "other": 1}


class Adapted(layers.Layer):
    """Calls a layer that it is given after it was made, and before `build`."""

    def build(self, shape):
        pass

    def call(self, x):
        return self.adapter(x)


class AdaptedWithShape(Adapted):
    """Keras does not call it to know the shape of its output."""

    def compute_output_shape(self, shape):
        return shape


def adapted(kind):
    layer = kind(name="odd")
    layer.adapter = layers.ReLU()
    return layer


LAYERS = {
    "layer inside": (
        lambda: Holding(Forgetful(layers.ReLU(), name="inside"), name="odd"),
        r"^The layer 'inside' .*Give it a `get_config`",
    ),
    "no configuration": (
        lambda: Forgetful(layers.ReLU(), name="odd"),
        r"^The layer 'odd' .*its argument `inner`.*Give it a `get_config`",
    ),
    "wrong configuration": (
        lambda: Changing(layers.ReLU(), name="odd"),
        "^The layer 'odd' .*Its `get_config` must return",
    ),
    "layer set later": (
        lambda: adapted(AdaptedWithShape),
        "^'odd' .*its attribute `adapter` was set after it was made",
    ),
    "layer set later, called": (
        lambda: adapted(Adapted),
        "^The layer 'odd' .*made again from its configuration, it fails when",
    ),
}


@pytest.mark.parametrize(("layer", "message"), LAYERS.values(), ids=LAYERS)
def test_a_layer(layer, message):
    x = image()
    model = keras.Model(x, layer()(x))
    with pytest.raises(ValueError, match=message):
        copy_of(model)
