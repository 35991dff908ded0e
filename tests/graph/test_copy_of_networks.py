"""Networks of many kinds: their copies compute the same and share nothing."""

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
    identity_attention,
    image,
    numpy,
    with_attention,
)
from support.networks import (
    assert_same,
    backbone,
    distance,
    inputs_of,
    layers_of,
    over_networks,
    predictions,
    randomize,
    residual,
    shared,
    siamese,
)

from keras_channel_attn import (
    ChannelAttention,
    insert_attention,
    remove_attention,
)


def sequence():
    return keras.Input((6, 8))


def followed(x):
    return layers.Conv1D(8, 1, name="c", **LAST)(x)


def states_of_lstm():
    x = sequence()
    y, *states = layers.Bidirectional(
        layers.LSTM(4, return_sequences=True, return_state=True)
    )(x)
    return keras.Model(x, [ops.relu(followed(y)), *states])


def initial_state():
    x, state = sequence(), keras.Input((8,))
    y = layers.GRU(8, return_sequences=True)(x, initial_state=state)
    return keras.Model([x, state], followed(y))


def attention_over_another_sequence():
    x, key = sequence(), keras.Input((5, 8))
    mask = ops.ones((6, 5), "bool")
    y = layers.MultiHeadAttention(2, 4)(x, key, attention_mask=mask)
    return keras.Model([x, key], followed(y))


def slices_and_constants():
    x = image()
    y = conv("c")(x)
    part = y[:, ::2, 1:, :]
    outputs = [
        ops.where(part > 0, part, np.float32(-1)),
        y[..., None][:, 0],
        ops.stack([x, y]),
        1 / (2 + abs(y)),
        y**2 @ ops.ones((8, 3)),
        ops.take(y, [1, 2], axis=-1),
        ops.pad(y, ((0, 0), (1, 1), (0, 0), (0, 0))),
        ops.einsum("abcd,de->abce", y, ops.ones((8, 2))),
        ops.top_k(y, 2)[1],
    ]
    return keras.Model(x, outputs)


def precision_of_each_layer():
    x = image()
    y = conv("c", dtype="mixed_float16")(x)
    z = conv("d", dtype="mixed_bfloat16")(conv("e", dtype="float32")(y))
    return keras.Model(x, layers.Add(dtype="float32")([y, z]))


class Penalty(layers.Layer):
    def call(self, x):
        self.add_loss(ops.mean(ops.square(x)))
        return x

    def compute_output_shape(self, shape):
        return shape


def loss_of_a_layer():
    x = image()
    return keras.Model(x, Penalty()(conv("c")(x)))


class Sublayers(layers.Layer):
    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.named = {f"{n}": layers.Dense(8) for n in range(count)}
        self.listed = [[layers.Dense(8)], (layers.BatchNormalization(),)]

    def call(self, x):
        for layer in self.named.values():
            x = layer(x)
        return self.listed[1][0](self.listed[0][0](x))

    def compute_output_shape(self, shape):
        return shape


def layers_in_dictionaries_and_lists():
    x = image()
    model = keras.Model(x, Sublayers(3, name="sublayers")(conv("c")(x)))
    model.get_layer("sublayers").named["1"].trainable = False
    return model


class OwnBuild(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(8)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)

    def compute_output_shape(self, shape):
        return shape


def layer_built_by_another():
    x = image()
    return keras.Model(x, OwnBuild()(conv("c")(x)))


def called_at_three_depths():
    a, b, x = image(), image(), image()
    inner = keras.Model(a, layers.ReLU()(conv("inside")(a)), name="inner")
    middle = keras.Model(b, inner(inner(b)), name="middle")
    outer = keras.Sequential([image(), middle, layers.ReLU(), inner])
    return keras.Model(x, conv("c")(outer(x) + middle(x) + inner(x)))


def normalized_spectrally():
    x = image()
    wrapped = layers.SpectralNormalization(conv("inside"))
    return keras.Model(x, wrapped(conv("c")(x)))


def low_rank():
    x = image()
    dense = layers.Dense(8)
    model = keras.Model(x, dense(conv("c")(x)))
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.ones((2, 8)))
    return model


class Subclass(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(8)

    def call(self, x):
        return self.dense(x)


def subclass_as_a_layer():
    x = image()
    return keras.Model(x, Subclass()(conv("c")(x)))


class Options(layers.Layer):
    def call(self, x, *, extra=None, add=False):
        return x + extra["a"] if add else x

    def compute_output_spec(self, x, extra=None, add=False):
        return keras.KerasTensor(x.shape)


def keyword_arguments():
    x = image()
    y = Options()(conv("c")(x), extra={"a": x}, add=True)
    return keras.Model(x, y)


def mapped_function():
    x = image()
    return keras.Model(x, ops.vectorized_map(lambda y: 2 * y, conv("c")(x)))


def structures():
    a, b, x = image(name="a"), image(name="b"), image(name="x")
    outputs = {"sum": a + b, "both": (a, [conv("inside")(b)])}
    inner = keras.Model({"a": a, "b": b}, outputs, name="inner")
    y = inner({"a": x, "b": conv("c")(x)})
    return keras.Model({"x": x}, [y["sum"], ops.relu(y["both"][1][0])])


def dense_inside_and_outside():
    dense, x = layers.Dense(8, name="d"), sequence()
    y = followed(layers.TimeDistributed(dense)(x))
    return keras.Model(x, dense(y))


def one_cell_for_two_layers():
    cell, x = layers.GRUCell(8), sequence()
    y = followed(layers.RNN(cell, return_sequences=True)(x))
    return keras.Model(x, layers.RNN(cell, return_sequences=True)(y))


def fixed_batch_of_halves():
    x = keras.Input((6, 6, 8), batch_size=2, dtype="float16")
    return keras.Model(x, layers.ReLU()(conv("c")(x)))


def statistics():
    x = image()
    normalization = layers.Normalization(
        mean=np.arange(8.0), variance=np.ones(8)
    )
    return keras.Model(x, layers.ReLU()(conv("c")(normalization(x))))


def partly_frozen_model_in_a_layer():
    x, inputs = sequence(), keras.Input((8,))
    frozen = layers.Dense(8, name="frozen", trainable=False)
    inner = keras.Model(inputs, layers.Dense(8, name="thawed")(frozen(inputs)))
    return keras.Model(x, followed(layers.TimeDistributed(inner)(x)))


def input_as_an_output():
    x = image()
    return keras.Model(x, [x, ops.relu(conv("c")(x))])


def tensors_in_keyword_arguments():
    x = sequence()
    y = layers.MultiHeadAttention(2, 3)(x, value=x, key=x)
    return keras.Model(x, followed(y))


def encoder_on_the_same_input():
    """A nested model that begins at the input of the model around it."""
    x = image()
    encoder = keras.Model(x, conv("c")(x), name="encoder")
    y = conv("d")(encoder(x))
    return keras.Model(x, layers.Add()([x, y]))


NETWORKS = [
    states_of_lstm,
    initial_state,
    attention_over_another_sequence,
    slices_and_constants,
    precision_of_each_layer,
    loss_of_a_layer,
    layers_in_dictionaries_and_lists,
    layer_built_by_another,
    called_at_three_depths,
    normalized_spectrally,
    low_rank,
    subclass_as_a_layer,
    keyword_arguments,
    mapped_function,
    structures,
    dense_inside_and_outside,
    one_cell_for_two_layers,
    fixed_batch_of_halves,
    statistics,
    partly_frozen_model_in_a_layer,
    input_as_an_output,
    tensors_in_keyword_arguments,
]


def outputs_and_losses(model):
    x = keras.tree.map_structure(
        lambda x: array((2, *x.shape[1:])).astype(x.dtype), model.input
    )
    outputs = keras.tree.flatten(model(x))
    losses = keras.tree.flatten(model.losses)
    return [numpy(y).astype("float32") for y in (*outputs, *losses)]


@pytest.mark.backend("tensorflow", "torch", "jax")
@pytest.mark.parametrize("build", NETWORKS)
def test_a_copy_computes_the_same_and_shares_nothing(build):
    model = build()
    copy = with_attention(model)
    for one, other in zip(
        outputs_and_losses(model), outputs_and_losses(copy), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    assert len(copy.variables) == len(model.variables) + 2
    variables = {id(variable) for variable in model.variables}
    assert not variables & {id(variable) for variable in copy.variables}
    removed = remove_attention(copy)
    assert not any(isinstance(x, ChannelAttention) for x in removed.layers)
    assert [x.name for x in removed.layers] == [x.name for x in model.layers]
    assert [w.trainable for w in removed.weights] == [
        w.trainable for w in model.weights
    ]


@over_networks
def test_computes_the_same(build):
    model = randomize(build())
    assert_same(model, copy_of(model))


@over_networks
def test_the_model_keeps_name_class_and_structure(build):
    model = build()
    copy = copy_of(model)
    assert type(copy) is type(model)
    assert copy.name == model.name
    keras.tree.assert_same_structure(inputs_of(model), inputs_of(copy))
    keras.tree.assert_same_structure(model.outputs, copy.outputs)
    names = [x.name for x in model.inputs]
    assert [x.name for x in copy.inputs] == names


def test_operations_keep_their_names():
    x = image()
    model = keras.Model(x, ops.relu(x + 1))
    copy = copy_of(model)
    assert [one.name for one in copy.operations] == [
        one.name for one in model.operations
    ]


@pytest.mark.parametrize("build", [shared, siamese])
def test_what_is_called_twice_is_copied_once(build):
    model = build()
    assert len(copy_of(model).weights) == len(model.weights)


def test_arguments_of_calls_are_kept():
    """Transfer learning calls its backbone with `training=False`."""
    x = image()
    model = keras.Model(x, backbone()(x, training=False))
    first, second = (
        one.get_config()["layers"][1]["inbound_nodes"]
        for one in (model, copy_of(model))
    )
    assert first[0]["kwargs"]["training"] is False
    assert second == first


def test_masks_reach_the_layers_that_use_them():
    x = keras.Input((4,), dtype="int32")
    y = layers.Embedding(5, 3, mask_zero=True)(x)
    model = randomize(keras.Model(x, layers.GlobalAveragePooling1D()(y)))
    tokens = np.array([[1, 2, 0, 0], [3, 4, 1, 0]])
    copy = copy_of(model)
    assert copy.input.dtype == "int32"
    assert distance(predictions(model, tokens), predictions(copy, tokens)) == 0


class Either(layers.Layer):
    def call(self, first, second=None):
        return first if second is None else first + second

    def compute_output_shape(self, first_shape, second_shape=None):
        return first_shape


def test_an_optional_input_stays_optional():
    first = keras.Input((4,), name="first")
    second = keras.Input((4,), name="second", optional=True)
    model = keras.Model(
        {"first": first, "second": second}, Either()(first, second)
    )
    x = {"first": np.ones((2, 4), "float32"), "second": None}
    assert distance(predictions(model, x), predictions(copy_of(model), x)) == 0


def test_a_fixed_batch_size_and_a_free_spatial_size():
    x = keras.Input(batch_shape=(2, None, None, 8))
    model = keras.Model(x, conv("c")(x))
    assert copy_of(model).input_shape == (2, None, None, 8)


def test_a_model_that_begins_at_an_inner_tensor():
    whole = randomize(residual())
    model = keras.Model(whole.get_layer("a_add").output, whole.output)
    assert_same(model, copy_of(model))


def test_a_nested_model_on_the_same_input():
    model = encoder_on_the_same_input()
    assert_same_outputs(model, with_attention(model, ["encoder/c"]))
    copy = insert_attention(model, identity_attention())
    assert_same_outputs(model, copy)


def test_the_calls_of_a_shared_layer_keep_their_order():
    """Keras numbers them: the second call is the one nearer to the input."""
    x = image()
    shared, y = layers.ReLU(name="shared"), conv("c")(x)
    late = shared(conv("e")(conv("d")(y)))
    model = keras.Model(x, layers.Add()([shared(y), late]))
    removed = remove_attention(with_attention(model))
    assert removed.to_json() == model.to_json()
    late = keras.Model(x, layers.Add()([late, shared(y)]))
    assert remove_attention(with_attention(late)).to_json() == late.to_json()


@over_networks
def test_a_copy_has_as_many_calls(build):
    model = build()
    counts = [
        {path: len(layer._inbound_nodes) for path, layer in found.items()}
        for found in (layers_of(model), layers_of(copy_of(model)))
    ]
    assert counts[1] == counts[0]
