"""Which channels go together, what has them, and why some must stay."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import image
from support.networks import nested, siamese

from keras_channel_attn import SqueezeExcite, SqueezeGate
from keras_channel_attn.pruning import channel_groups, remove_channels


def conv(filters, name, **arguments):
    return layers.Conv2D(filters, 1, name=name, **arguments)


def model_of(*bodies):
    """An input, layers or functions one after the other, and a last layer."""
    x = y = image()
    for body in bodies:
        y = body(y)
    return keras.Model(x, conv(3, "last")(y))


def residual(x):
    y = layers.ReLU(name="relu")(conv(8, "a")(x))
    return layers.Add(name="add")([x, conv(8, "b")(y)])


def test_addition_ties_what_it_adds():
    groups = channel_groups(model_of(conv(8, "stem"), residual))
    assert list(groups) == ["stem", "a", "last"]
    stem = groups["stem"]
    assert stem.producers == ["stem", "b"]
    assert stem.passthrough == ["add"]
    assert stem.consumers == ["a", "last"]
    assert (stem.channels, stem.locked) == (8, None)
    assert groups["a"].passthrough == ["relu"]


def test_concatenation_ties_nothing_and_has_offsets():
    def body(x):
        return layers.Concatenate()([conv(4, "a")(x), conv(5, "b")(x)])

    groups = channel_groups(model_of(body))
    assert [group.channels for group in groups.values()] == [4, 5, 3]
    (kernel,) = [x for x in groups["b"].slices if x.role == "consumers"]
    np.testing.assert_array_equal(kernel.positions, range(4, 9))
    np.testing.assert_array_equal(kernel.channels, range(5))


def test_addition_to_a_concatenation_joins_the_groups():
    def body(x):
        y = layers.Concatenate()([conv(4, "a")(x), conv(5, "b")(x)])
        return layers.Add()([y, conv(9, "c")(x)])

    groups = channel_groups(model_of(body))
    assert groups["a"].producers == ["a", "b", "c"]
    assert groups["a"].channels == 9


def test_flatten_repeats_each_channel_for_each_position():
    x = keras.Input((2, 3, 4))
    y = layers.Flatten()(conv(5, "a")(x))
    groups = channel_groups(keras.Model(x, layers.Dense(2, name="head")(y)))
    (kernel,) = [x for x in groups["a"].slices if x.role == "consumers"]
    np.testing.assert_array_equal(kernel.channels, np.tile(range(5), 6))


def test_group_of_a_convolution_counts_as_one_channel():
    groups = channel_groups(
        model_of(conv(8, "a"), conv(12, "grouped", groups=4))
    )
    assert list(groups) == ["a", "last"]
    assert groups["a"].channels == 4
    assert groups["a"].producers == ["a", "grouped"]


def test_reduction_of_squeeze_excite_of_keras_is_a_group():
    def body(x):
        y = layers.GlobalAveragePooling2D(keepdims=True)(x)
        y = conv(2, "reduce", activation="relu")(y)
        return x * conv(8, "expand", activation="sigmoid")(y)

    groups = channel_groups(model_of(conv(8, "a"), body))
    assert groups["a"].producers == ["a", "expand"]
    assert groups["reduce"].channels == 2


def test_attention_carries():
    attention = SqueezeExcite(2, name="se")
    groups = channel_groups(model_of(conv(8, "a"), attention))
    assert groups["a"].passthrough == ["se"]


def test_nested_models_have_paths():
    groups = channel_groups(nested())
    assert [group.producers for group in groups.values()] == [
        ["backbone/a_1"],
        ["backbone/shortcut", "backbone/a_2", "backbone/b_2"],
        ["backbone/b_1"],
        ["head"],
    ]


def test_both_calls_of_a_model_have_one_group():
    assert channel_groups(siamese()).keys() == channel_groups(nested()).keys()


def test_unknown_sizes():
    x = keras.Input((None, None, 3))
    y = layers.Reshape((-1, 5))(conv(5, "a")(x))
    model = keras.Model(x, layers.Dense(2)(y))
    assert channel_groups(model)["a"].locked is None
    narrower = remove_channels(model, {"a": [1]})
    assert narrower(np.ones((1, 2, 3, 3))).shape == (1, 6, 2)


@pytest.mark.parametrize("shape", [(-1, 6), (-1, 3, 6)])
def test_reshape_that_fits_some_sizes_only_locks(shape):
    """Three channels at two positions are six numbers, at four they are not."""
    x = keras.Input((None, 5))
    y = ops.transpose(layers.Conv1D(3, 1, name="c")(x), (0, 2, 1))
    y = ops.reshape(y, shape)
    groups = channel_groups(keras.Model(x, layers.Dense(2)(y)))
    assert "mixes channels" in groups["c"].locked


def test_slice_of_all_channels():
    groups = channel_groups(model_of(conv(8, "a"), lambda x: x[:, 1:, :, 0:8]))
    assert groups["a"].locked is None


def test_flatten_of_unknown_sizes_locks():
    x = keras.Input((None, 3))
    y = layers.Reshape((-1, 12))(layers.Flatten()(layers.Conv1D(12, 3)(x)))
    groups = channel_groups(keras.Model(x, layers.Dense(2)(y)))
    assert "mixes channels" in groups["conv1d"].locked


def test_channels_of_a_reshape_to_one_channel():
    x = keras.Input((8, 8, 12))
    y = conv(12, "a")(x)
    one = layers.Reshape((64, 1))(conv(1, "b")(y))
    y = layers.Concatenate()([one, layers.Reshape((64, 12))(y)])
    groups = channel_groups(keras.Model(x, layers.Dense(2)(y)))
    assert groups["a"].locked is None


@pytest.mark.slow
@pytest.mark.usefixtures("zero_weights")
def test_scaled_branches_of_inception_resnet():
    model = keras.applications.InceptionResNetV2(
        weights=None, include_top=False, input_shape=(75, 75, 3)
    )
    locked = [x for x in channel_groups(model).values() if x.locked]
    assert [group.name for group in locked] == ["conv_7b"]


class Clip(keras.Operation):
    """The name of an operation of Keras, and another function."""

    def call(self, x):
        return ops.cumsum(x, axis=-1)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


class Mystery(layers.Layer):
    def call(self, x):
        return x


def after_call(layer, change):
    """A layer that is changed once the network has it."""

    def body(x):
        y = layer(x)
        change(layer)
        return y

    return body


def part_of_another(x):
    layer = layers.Dense(8, name="dense")
    return layers.TimeDistributed(layer, name="each")(layer(x))


class OwnConvolution(layers.Conv2D):
    pass


def tied_weights(x):
    layer = conv(8, "tied")
    return ops.multiply(layer(x), layer.bias)


def inner_model(*shape):
    x = keras.Input(shape)
    return keras.Model(x, layers.Dense(8)(x), name="inner")


class HoldsModel(layers.Layer):
    """A layer of a user with a functional model inside."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.body = inner_model(6, 6, 8)

    def call(self, x):
        return self.body(x)


class OwnModel(keras.Model):
    """Its `call` may do anything."""

    def call(self, x):
        return x


class SharedScale(SqueezeGate):
    """Gates with a weight that another layer has made."""

    def __init__(self, scale=None, **arguments):
        super().__init__(**arguments)
        self.scale = scale

    def excite(self, descriptor):
        return descriptor * self.scale

    def channel_axes(self):
        return {"scale": (0,)}


def shared_variable(x):
    layer = layers.BatchNormalization(name="norm")
    y = layer(x)
    return SharedScale(layer.gamma, name="gate")(y)


def shared_with_unknown_layer(x):
    layer, unknown = layers.BatchNormalization(), Mystery(name="mystery")
    y = layer(x)
    unknown.scale = layer.gamma
    return layers.Add()([y, unknown(conv(8, "b")(y))])


class FixedSize(keras.regularizers.Regularizer, keras.constraints.Constraint):
    """A regularizer or constraint with a number for each channel."""

    def __call__(self, weight):
        return ops.convert_to_tensor(np.ones(8, "float32")) * weight


def tied(kind):
    """A convolution with a function of its kernel that knows the channels."""
    return conv(8, "tied", **{f"kernel_{kind}": FixedSize()})


def with_lora(layer):
    return after_call(layer, lambda layer: layer.enable_lora(2))


LOCKED = {
    "unknown layer": (Mystery(name="mystery"), "(of type Mystery) is not of"),
    "own model": (OwnModel(), "(of type OwnModel) is not of Keras"),
    "subclass": (
        OwnConvolution(8, 1, name="own"),
        "'own' (of type OwnConvolution) is of a subclass of Conv2D: its",
    ),
    "subclass with LoRA": (
        with_lora(OwnConvolution(8, 1)),
        "is of a subclass of Conv2D",
    ),
    "wrapped layer": (
        layers.TimeDistributed(layers.Dense(8, name="dense"), name="each"),
        "'each' (of type TimeDistributed) wraps the layer 'dense'",
    ),
    "wrapped model": (
        layers.TimeDistributed(inner_model(6, 8), name="each"),
        "'each' (of type TimeDistributed) holds the model 'inner'",
    ),
    "own layer with a model": (
        HoldsModel(name="own"),
        "'own' (of type HoldsModel) holds the model 'inner'",
    ),
    "kind without a rule": (
        with_lora(layers.EinsumDense("abcd,de->abce", (6, 6, 8))),
        "(of type EinsumDense) is of a kind whose channels cannot be",
    ),
    "LoRA": (with_lora(layers.Dense(8)), "(of type Dense) has LoRA weights"),
    "LoRA, convolution": (
        with_lora(layers.Conv2D(8, 1)),
        "(of type Conv2D) has LoRA weights",
    ),
    "variable of two layers": (
        shared_variable,
        "'norm' (of type BatchNormalization) shares a weight with 'gate'",
    ),
    "variable of a layer and an unknown one": (
        shared_with_unknown_layer,
        "(of type BatchNormalization) shares a weight with 'mystery'",
    ),
    "noise of a fixed shape": (
        layers.Dropout(0.5, noise_shape=(None, 1, 1, 8)),
        "has noise of a fixed shape",
    ),
    "mean over the batch": (
        lambda x: x - ops.mean(x, axis=0, keepdims=True),
        "is computed over the batch",
    ),
    "quantized": (
        after_call(layers.Dense(8), lambda layer: layer.quantize("int8")),
        "(of type Dense) is quantized",
    ),
    "replaced call": (
        after_call(layers.ReLU(), lambda layer: setattr(layer, "call", abs)),
        "(of type ReLU) has a `call` that was replaced",
    ),
    "part of another layer": (part_of_another, "is a part of 'each' as well"),
    "weights of a layer in another call": (
        tied_weights,
        "(of type Conv2D) shares a weight with 'multiply'",
    ),
    "function": (
        layers.Lambda(lambda x: x),
        "(of type Lambda) calls a function: its computation is unknown",
    ),
    "mixing reshape": (layers.Reshape((6, 12, 4)), "mixes channels"),
    "layer norm": (layers.LayerNormalization(), "all channels together"),
    "one group": (layers.GroupNormalization(1), "all channels together"),
    "softmax": (layers.Softmax(), "over all channels"),
    "activation": (layers.Activation("softmax"), "activation 'softmax'"),
    "function as activation": (
        layers.Activation(lambda x: x),
        "activation '<lambda>'",
    ),
    "mean": (lambda x: ops.mean(x, axis=-1, keepdims=True), "all channels"),
    "array": (lambda x: x + np.ones(8, "float32"), "channels that stay"),
    "other axis": (
        layers.UpSampling2D(data_format="channels_first"),
        "another axis",
    ),
    "slice": (lambda x: x[..., :4], "takes some of the channels"),
    "softmax of keras.ops": (
        layers.Activation(ops.softmax),
        "activation 'softmax'",
    ),
    "function of keras.ops over channels": (
        layers.Activation(ops.cumsum),
        "activation 'cumsum'",
    ),
    "bounds of channels": (
        lambda x: ops.clip(x, np.zeros(8), np.ones(8)),
        "a number for each channel",
    ),
    "factors of channels": (
        layers.Rescaling([1.0] * 8),
        "a number for each channel",
    ),
    "padded channels": (lambda x: ops.pad(x, 1), "pads them"),
    "new axis": (
        lambda x: ops.squeeze(x[:, None], 1),
        "(of type GetItem)",
    ),
    "operation with a name of Keras": (lambda x: Clip()(x), "(of type Clip)"),
    "reshape behind a transposition": (
        lambda x: ops.transpose(
            ops.reshape(ops.transpose(x, (3, 0, 1, 2)), (8, 6, 6, -1)),
            (3, 1, 2, 0),
        ),
        "mixes channels",
    ),
}


@pytest.mark.parametrize("name", LOCKED)
def test_locked(name):
    body, reason = LOCKED[name]
    groups = channel_groups(model_of(conv(8, "a"), body))
    assert reason in groups["a"].locked


def called_on_both(layer):
    return lambda x, y: layers.Add()([layer(x), layer(y)])


def inside_model(channels):
    """The convolution of one filter `b`, and a model called on it."""
    inner = keras.Input((6, 6, *channels))
    model = keras.Model(inner, layers.ReLU()(inner), name="inner")
    return lambda x, y: layers.Add()([model(conv(1, "b")(x)), y])


def different_axes(x, y):
    """The channels of `y` along the first spatial axis."""
    y = ops.transpose(layers.Conv2D(6, 1, name="a6")(y), (0, 3, 1, 2))
    return layers.Add()([y, layers.Conv2D(6, 1, name="b6")(x)])


ALSO_LOCKED = {
    "shared convolution": (
        called_on_both(conv(8, "b")),
        "'b' (of type Conv2D) is called on a tensor whose channels stay, too",
    ),
    "shared model": (
        called_on_both(inner_model(6, 6, 8)),
        "the model 'inner' is called on tensors whose channels stay",
    ),
    "model of any width": (
        inside_model([None]),
        "the model 'inner' takes them in the shape (None, 6, 6, None)",
    ),
    "regularizer": (
        lambda x, y: tied("regularizer")(y),
        "has a regularizer of its kernel for",
    ),
    "constraint": (
        lambda x, y: tied("constraint")(y),
        "has a constraint of its kernel for",
    ),
    "addition of different axes": (
        different_axes,
        "combines tensors with different channel axes",
    ),
    "grouped convolution of the input": (
        lambda x, y: layers.Add()(
            [conv(8, "b", groups=2, activation="relu")(x), y]
        ),
        "'b' computes them together with channels that stay",
    ),
}


@pytest.mark.parametrize("name", ALSO_LOCKED)
def test_reason_of_any_group(name):
    body, reason = ALSO_LOCKED[name]
    x = image()
    y = body(x, conv(8, "a")(x))
    groups = channel_groups(keras.Model(x, conv(3, "last")(y)))
    locks = {group.locked for group in groups.values()}
    assert reason in "; ".join(map(str, locks))


def test_normalization_along_another_axis():
    """Each channel is normalized by itself."""
    layer = layers.LayerNormalization(axis=1)
    groups = channel_groups(model_of(conv(8, "a"), layer))
    assert groups["a"].locked is None


def test_reshape_to_any_size_is_not_made_again():
    """Called on tensors of two widths, it serves both."""
    layer = layers.Reshape((36, -1))

    def body(x):
        return layers.Concatenate()([layer(x), layer(conv(5, "b")(x))])

    x = keras.Input((6, 6, 4))
    y = layers.Dense(2)(body(conv(8, "a")(x)))
    model = keras.Model(x, y)
    narrower = remove_channels(model, {"a": [0, 1], "b": [2]})
    assert narrower(np.ones((1, 6, 6, 4))).shape == (1, 36, 2)


class Squares(keras.regularizers.Regularizer):
    def __call__(self, x):
        return ops.sum(ops.square(x))


def test_regularizer_of_any_size_locks_nothing():
    layer = conv(8, "a", kernel_regularizer=Squares())
    assert channel_groups(model_of(layer))["a"].locked is None


def test_subclass_produces_no_group():
    model = model_of(conv(8, "a"), OwnConvolution(8, 1, name="own"))
    assert "own" not in channel_groups(model)


def test_layer_whose_weights_are_used_elsewhere_is_not_followed():
    groups = channel_groups(model_of(tied_weights))
    assert "tied" not in groups


def test_number_that_two_operations_take_locks_nothing():
    factor = keras.Variable(2.0)
    body = [lambda x: x * factor, lambda x: x / factor]
    assert channel_groups(model_of(conv(8, "a"), *body))["a"].locked is None


def test_addition_to_the_input_locks():
    groups = channel_groups(
        model_of(lambda x: layers.Add(name="add")([x, conv(8, "a")(x)]))
    )
    assert groups["a"].locked == "'add' combines them with channels that stay"


def test_scores_as_outputs_lock():
    x = image()
    y, scores = SqueezeExcite(2)(conv(8, "a")(x), return_attention_scores=True)
    model = keras.Model(x, [conv(3, "last")(y), scores])
    assert (
        channel_groups(model)["a"].locked == "they are an output of the model"
    )


def test_model_is_not_changed_or_called():
    x = image()
    y = conv(8, "a")(x)
    model = keras.Model(x, conv(3, "last")(SqueezeExcite(2, name="se")(y)))
    nodes = len(model.get_layer("a")._inbound_nodes)
    channel_groups(model)
    assert len(model.get_layer("a")._inbound_nodes) == nodes


def test_errors():
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        channel_groups(keras.Input((3,)))
