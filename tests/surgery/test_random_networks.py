"""Attention in random networks: what must hold for any of them.

A few networks, always the same, in each run. For a long run with others:

    NETWORKS=1000 NETWORKS_SEED=1 pytest tests/surgery/test_random_networks.py
"""

import functools
import os
import tempfile
import types

import hypothesis
import keras
import numpy as np
from conftest import BACKEND
from hypothesis import strategies as st
from keras import layers, ops
from support.networks import predictions, randomize, sample

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    insert_attention,
    remove_attention,
)

CHANNELS = 4
COUNT = int(os.environ.get("NETWORKS", 4))
SEED = int(os.environ.get("NETWORKS_SEED", 0))

# TensorFlow has no convolution over channels first on the CPU.
FORMATS = ["channels_last", "channels_first"]
if BACKEND == "tensorflow":
    FORMATS = FORMATS[:1]


def clipped(x):
    return ops.clip(x, -0.5, 0.5)


def squared(x):
    return x * x / (1 + x * x)


def gram(x):
    """Products of all channels with each other, applied to them."""
    flat = ops.reshape(x, (-1, 64, CHANNELS))
    products = ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / 64
    return ops.reshape(ops.matmul(flat, ops.tanh(products)), ops.shape(x))


class Scale(layers.Layer):
    """A layer of a user, with a weight and without `get_config`."""

    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, shape):
        self.scale = self.add_weight(shape=(), name="scale")

    def call(self, x):
        return self.start * x + self.scale * x

    def compute_output_shape(self, shape):
        return shape


class OrNot(layers.Layer):
    """Adds a second input where there is one."""

    def call(self, first, second=None):
        return first if second is None else first + second

    def compute_output_shape(self, first_shape, second_shape=None):
        return first_shape


class ScaledAddition(layers.Layer):
    def build(self, shapes):
        self.scale = self.add_weight(
            shape=(), initializer="zeros", name="scale"
        )

    def call(self, inputs):
        return inputs[0] + self.scale * inputs[1]

    def compute_output_shape(self, shapes):
        return shapes[0]


CUSTOM_OBJECTS = {
    "clipped": clipped,
    "squared": squared,
    "Scale": Scale,
    "ScaledAddition": ScaledAddition,
    "OrNot": OrNot,
    "gram": gram,
}


def axis():
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def image(size=8, **arguments):
    shape = (size, size, CHANNELS)
    if axis() == 1:
        shape = (CHANNELS, size, size)
    return keras.Input(shape, **arguments)


def convolution(draw):
    kinds = {
        "plain": lambda **kw: layers.Conv2D(CHANNELS, **kw),
        "groups": lambda **kw: layers.Conv2D(CHANNELS, groups=2, **kw),
        "depthwise": layers.DepthwiseConv2D,
        "separable": lambda **kw: layers.SeparableConv2D(CHANNELS, **kw),
        "transposed": lambda **kw: layers.Conv2DTranspose(CHANNELS, **kw),
    }
    kind = draw(st.sampled_from(list(kinds)))
    return kinds[kind](
        kernel_size=draw(st.sampled_from([1, 3])),
        padding="same",
        activation=draw(st.sampled_from([None, "relu", clipped, squared])),
        use_bias=draw(st.booleans()),
    )


def elementwise(draw):
    makers = [
        lambda: layers.BatchNormalization(axis=axis()),
        lambda: layers.Activation(draw(st.sampled_from(["tanh", clipped]))),
        layers.ReLU,
        # Without a seed, torch's global generator is used.
        lambda: layers.Dropout(0.3, seed=7 if BACKEND == "torch" else None),
        lambda: Scale(draw(st.sampled_from([0.5, 1.0]))),
        lambda: layers.Lambda(gram, output_shape=image().shape[1:]),
        lambda: layers.MaxPooling2D(3, strides=1, padding="same"),
        lambda: layers.AveragePooling2D(3, strides=1, padding="same"),
        lambda: layers.Activation("relu", activity_regularizer="l2"),
        lambda: layers.Conv2D(CHANNELS, 1, kernel_regularizer="l2"),
    ]
    return draw(st.sampled_from(makers))()


def nested(draw, depth):
    x = image()
    return keras.Model(x, grown(draw, x, depth=depth + 1, steps=2))


def wrapped(draw, depth):
    """A model that is applied to each of two halves of the channels."""
    inputs = image()
    model = keras.Model(inputs, grown(draw, inputs, depth + 1, steps=1))
    x = image()
    y = ops.stack([x, ops.tanh(x)], axis=1)
    return keras.Model(x, ops.sum(layers.TimeDistributed(model)(y), axis=1))


def split(draw):
    """Parts of the channels, each added to the part before it: Res2Net."""
    x = image()
    parts = ops.split(x, draw(st.sampled_from([2, CHANNELS])), axis())
    width = parts[0].shape[axis()]
    done = [parts[0]]
    for part in parts[1:]:
        y = part + done[-1] if draw(st.booleans()) else part
        done.append(layers.Conv2D(width, 3, padding="same")(y))
    return keras.Model(x, layers.Concatenate(axis=axis())(done))


def unary(draw, depth):
    """A layer or a nested model that keeps the shape of its input."""
    kinds = ["convolution", "elementwise", "split"]
    if depth < 2:
        kinds += ["nested", "wrapped"]
    kind = draw(st.sampled_from(kinds))
    if kind in ("nested", "wrapped"):
        return {"nested": nested, "wrapped": wrapped}[kind](draw, depth)
    makers = {
        "convolution": convolution,
        "elementwise": elementwise,
        "split": split,
    }
    return makers[kind](draw)


def joined(draw, first, second):
    def concatenated():
        x = layers.Concatenate(axis=axis())([first, second])
        return layers.Conv2D(CHANNELS, 1)(x)

    ways = {
        "layer": lambda: layers.Add()([first, second]),
        "operator": lambda: first + second,
        "operation": lambda: ops.add(first, ops.multiply(second, 0.5)),
        "scaled": lambda: ScaledAddition()([first, second]),
        "product": lambda: layers.Multiply()([first, second]),
        "difference": lambda: layers.Subtract()([first, second]),
        "concatenation": concatenated,
    }
    return ways[draw(st.sampled_from(list(ways)))]()


def grown(draw, x, depth=0, steps=5):
    """A tensor that is computed from another in some random steps."""
    tensors, used = [x], []
    for _ in range(draw(st.integers(1, steps))):
        source = draw(st.sampled_from(tensors[-3:]))
        step = draw(st.sampled_from(["unary", "residual", "joined", "shared"]))
        if step == "shared" and used:
            layer = draw(st.sampled_from(used))
        else:
            layer = unary(draw, depth)
            used.append(layer)
        y = layer(source)
        if step == "residual":
            y = joined(draw, source, y)
        elif step == "joined":
            y = joined(draw, draw(st.sampled_from(tensors)), y)
        tensors.append(y)
    return tensors[-1]


def network(draw):
    """A network and the layers after which attention is put."""
    keras.utils.clear_session(free_memory=False)
    keras.config.set_image_data_format(draw(st.sampled_from(FORMATS)))
    x = inputs = image(name="x")
    y = grown(draw, x)
    if draw(st.booleans()):
        extra = image(name="extra", optional=True)
        inputs = {"x": x, "extra": extra}
        y = OrNot()(y, extra)
    pooled = layers.GlobalAveragePooling2D()(y)
    classes = layers.Dense(3, name="classes")(pooled)
    outputs = draw(st.sampled_from(["one", "list", "dictionary"]))
    outputs = {
        "one": classes,
        "list": [classes, layers.Dense(2, name="other")(pooled)],
        "dictionary": {"classes": classes, "pooled": layers.ReLU()(pooled)},
    }[outputs]
    model = randomize(keras.Model(inputs, outputs))
    set_state(draw, model)
    places = [
        layer.name
        for layer in model.layers[1:]
        if not isinstance(layer, (keras.Model, layers.InputLayer))
        and len(layer.output.shape) == 4
    ]
    where = draw(st.sets(st.sampled_from(places))) if places else set()
    return model, sorted(where)


def quarter(x):
    return 0.25 * x


def set_state(draw, model):
    """What a user sets on layers and weights that are built."""
    model.is_changed = draw(st.booleans())
    for layer in model._flatten_layers(include_self=False):
        is_head = layer.name in ("classes", "other")
        if is_head or not model.is_changed or not draw(st.booleans()):
            continue
        if isinstance(getattr(layer, "activation", None), types.FunctionType):
            layer.activation = quarter
        if isinstance(layer, Scale):
            layer.start = 0.75
        layer.note = {"stage": [layer.name]}
        for weight in layer.trainable_weights:
            weight.trainable = draw(st.booleans())
            weight.regularizer = draw(
                st.sampled_from([None, keras.regularizers.L2(0.01)])
            )
            # Of the whole weight: one may be a scalar.
            weight.constraint = keras.constraints.MaxNorm(2.0, axis=None)
            if BACKEND == "torch":
                weight.value.requires_grad = True


def config_of(thing):
    return None if thing is None else (type(thing), thing.get_config())


def state_of(model):
    """The state of each layer and weight that is not in a configuration."""
    flags = [
        (w.path, w.trainable, *map(config_of, (w.regularizer, w.constraint)))
        for w in model.weights
    ]
    tensors = [getattr(w.value, "requires_grad", None) for w in model.weights]
    notes = [
        (layer.name, layer.supports_masking, getattr(layer, "note", None))
        for layer in model._flatten_layers()
    ]
    return flags, tensors, notes, model.is_changed


def weights_of(model):
    return [(w.path, ops.convert_to_numpy(w)) for w in model.weights]


def attention_in(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, ChannelAttention)
    ]


def check_identity(model, copy, x):
    assert attention_in(copy)
    assert distance_of(predictions(model, x), predictions(copy, x)) < 1e-4
    losses = [
        float(sum(map(float, map(ops.convert_to_numpy, one.losses))))
        for one in (model, copy)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4, atol=1e-6)


def distance_of(one, other):
    if all(np.max(np.abs(y)) < 1e-6 for y in keras.tree.flatten(one)):
        return max(np.max(np.abs(y)) for y in keras.tree.flatten(other))
    keras.tree.assert_same_structure(one, other)
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return max(
        np.max(np.abs(a - b)) / max(1e-3, np.max(np.abs(a))) for a, b in pairs
    )


def check_removal(model, removed):
    assert removed.to_json() == model.to_json()
    assert state_of(removed) == state_of(model)
    assert [one.name for one in removed.layers] == [
        one.name for one in model.layers
    ]
    for (path, value), (other, copied) in zip(
        weights_of(model), weights_of(removed), strict=True
    ):
        assert path == other
        np.testing.assert_array_equal(value, copied)


def check_file(copy, x):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        copy.save(path)
        loaded = keras.models.load_model(path, custom_objects=CUSTOM_OBJECTS)
    assert distance_of(predictions(copy, x), predictions(loaded, x)) < 1e-5


def check_training(model, copy, x):
    for layer in attention_in(copy):
        layer.trainable = False
    targets = keras.tree.map_structure(np.ones_like, predictions(model, x))
    results = []
    for one in (model, copy):
        one.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
        results.append(one.train_on_batch(x, targets))
    np.testing.assert_allclose(*map(np.ravel, results), rtol=1e-3, atol=1e-5)
    check_weights_after_training(model, copy)


def check_weights_after_training(model, copy):
    new = {id(w) for layer in attention_in(copy) for w in layer.weights}
    left = {w.path: w for w in copy.weights if id(w) not in new}
    for weight in model.weights:
        np.testing.assert_allclose(
            ops.convert_to_numpy(left[weight.path]),
            ops.convert_to_numpy(weight),
            rtol=1e-3,
            atol=1e-4,
            err_msg=weight.path,
        )


def check(model, where, attention):
    x = sample(model)
    try:
        sites = attention_sites(model)
    except ValueError:
        sites = []
    if not (where or sites):
        return
    copy = insert_attention(model, attention, where or "residual")
    check_identity(model, copy, x)
    check_removal(model, remove_attention(copy))
    if isinstance(x, dict):
        check_identity(model, copy, {**x, "extra": None})
    if not model.is_changed:
        # A file has configurations and values only.
        check_file(copy, x)
    if BACKEND not in ("numpy", "openvino"):
        check_training(model, copy, x)


@hypothesis.seed(SEED)
@hypothesis.settings(
    max_examples=COUNT,
    derandomize="NETWORKS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(
    # Not a strategy of networks: Keras draws seeds while it makes them.
    st.data(),
    st.sampled_from(
        [
            functools.partial(SqueezeExcite, bottleneck_units=2),
            EfficientChannelAttention,
        ]
    ),
)
def test_random_network(data, kind):
    model, where = network(data.draw)
    check(model, where, kind(identity_start=True))
