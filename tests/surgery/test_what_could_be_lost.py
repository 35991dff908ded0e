"""What could be lost, or be silently wrong, when a network is rebuilt."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    fuse_squeeze_excite,
    insert_attention,
    remove_attention,
)

LAST = {"data_format": "channels_last"}


def conv(name, filters=8, **arguments):
    return layers.Conv2D(
        filters, 3, padding="same", name=name, **LAST, **arguments
    )


def attention(**arguments):
    return SqueezeExcite(2, identity_start=True, **LAST, **arguments)


def image(name=None):
    return keras.Input((6, 6, 8), name=name)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def same_outputs(model, other, shape=(2, 6, 6, 8)):
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    np.testing.assert_allclose(
        numpy(model(x)), numpy(other(x)), rtol=1e-5, atol=1e-5
    )


# What the layers of a model hold besides weights.


@pytest.mark.parametrize("wrapped", [False, True])
def test_statistics_of_a_normalization(wrapped):
    normalization = layers.Normalization()
    data = np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32")
    normalization.adapt(data)
    if wrapped:
        normalization = layers.TimeDistributed(normalization)
    x = keras.Input((6, 4))
    y = layers.Conv1D(4, 1, name="c", **LAST)(normalization(x))
    model = keras.Model(x, y)
    same_outputs(
        model, insert_attention(model, attention(), ["c"]), shape=(2, 6, 4)
    )


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
    copy = insert_attention(model, attention(), ["inner"]).get_layer("inner")
    assert copy.trainable
    assert copy.dense.trainable
    assert not copy.normalization.trainable


def nested(outer=1):
    x = image()
    model = keras.Model(x, x + conv("c")(x), name="inside")
    for _ in range(outer):
        y = image()
        model = keras.Model(y, conv("head", 2)(model(y)), name="around")
    return model


def test_attention_inside_a_frozen_model_can_be_trained():
    model = nested()
    model.trainable = False
    copy = insert_attention(model, attention())
    inserted = copy.get_layer("inside").get_layer("c_squeeze_excite")
    assert len(copy.trainable_weights) == len(inserted.weights) == 2
    assert not copy.get_layer("inside").get_layer("c").trainable


def test_dtype_policy_of_a_nested_model():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = nested()
    finally:
        keras.config.set_dtype_policy("float32")
    copy = insert_attention(model, attention())
    for one in (model, copy):
        assert one.get_layer("inside").dtype_policy.name == "mixed_bfloat16"


def scaled(x):
    return 2 * keras.ops.relu(x)


def test_activation_that_is_not_registered():
    x = image()
    model = keras.Model(x, conv("c", activation=scaled)(x))
    same_outputs(model, insert_attention(model, attention(), ["c"]))


# Models that compute something else than their graph.


class Scaled(keras.Model):
    def call(self, x, training=None, mask=None):
        return 3 * super().call(x, training=training, mask=mask)


def test_a_model_with_a_call_of_its_own_is_refused():
    x = image()
    model = Scaled(x, x + conv("c")(x))
    with pytest.raises(ValueError, match=r"of its own \(Scaled.call\)"):
        insert_attention(model, attention())


def test_a_nested_model_with_a_call_of_its_own_stays_whole():
    x, y = image(), image()
    inner = Scaled(x, x + conv("c")(x), name="inner")
    model = keras.Model(y, conv("head")(inner(y)))
    copy = insert_attention(model, attention(), ["head"])
    assert type(copy.get_layer("inner")) is Scaled
    same_outputs(model, copy)


# Where attention stands.


def test_data_format_behind_a_nested_model():
    a, x = keras.Input((8, 6, 6)), keras.Input((8, 6, 6))
    first = layers.Conv2D(8, 1, data_format="channels_first", name="c")
    branch = keras.Model(a, first(a), name="branch")
    model = keras.Model(x, x + branch(x))
    with pytest.raises(ValueError, match="data_format='channels_first'"):
        insert_attention(model, attention())


def sum_of_three(x):
    return (x + conv("a")(x)) + conv("b")(x)


def repvgg(x):
    identity = layers.BatchNormalization(name="identity")(x)
    return identity + conv("a")(x) + conv("b")(x)


@pytest.mark.parametrize("network", [sum_of_three, repvgg])
def test_sums_written_as_several_additions(network):
    x = image()
    y = layers.Conv2D(8, 1, name="before", **LAST)(x)
    assert attention_sites(keras.Model(x, network(y))) == ["a", "b"]


def test_additions_without_spatial_axes_are_passed_over():
    x = image()
    y = layers.GlobalAveragePooling2D(**LAST)(x + conv("c")(x))
    model = keras.Model(x, y + layers.Dense(8, name="d")(y))
    assert attention_sites(model) == ["c"]


class Weighted(layers.Layer):
    def call(self, inputs):
        return inputs[0] + 0.5 * inputs[1]

    def compute_output_shape(self, shapes):
        return shapes[0]


class First(Weighted):
    def call(self, inputs):
        return inputs[0]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_layer_that_adds_is_known_by_what_it_does(dtype):
    x = image()
    y = Weighted(dtype=dtype)([x, conv("c")(x)])
    y = First(dtype=dtype)([y, conv("d")(y)])
    assert attention_sites(keras.Model(x, y)) == ["c"]


def test_looking_at_a_layer_does_not_call_the_original():
    class Penalized(Weighted):
        def call(self, inputs):
            self.add_loss(keras.ops.sum(inputs[1]))
            return super().call(inputs)

    x = image()
    adding = Penalized(name="adding")
    model = keras.Model(x, adding([x, conv("c")(x)]))
    model(np.ones((1, 6, 6, 8)))
    before = [float(numpy(loss)) for loss in model.losses]
    attention_sites(model)
    assert [float(numpy(loss)) for loss in model.losses] == before


def test_a_model_nested_twice_is_known_by_each_of_its_paths():
    x = image()
    shared = keras.Model(x, conv("c")(x), name="shared")
    around = []
    for name in ("first", "second"):
        y = image()
        around.append(keras.Model(y, shared(y), name=name))
    z = image()
    model = keras.Model(z, around[1](around[0](z)))
    for path in ("first/shared/c", "second/shared/c"):
        copy = insert_attention(model, attention(), [path])
        inner = [copy.get_layer(name) for name in ("first", "second")]
        assert inner[0].get_layer("shared") is inner[1].get_layer("shared")
        same_outputs(model, copy)


def test_names_stay_unique():
    x = image()
    model = keras.Model(x, conv("c")(x))
    for _ in range(2):
        model = insert_attention(model, attention(), ["c"])
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names) == 4


@pytest.mark.parametrize("which", ["its own", "another's"])
def test_a_layer_in_use_is_refused_and_not_called(which):
    x = image()
    model = keras.Model(x, conv("c")(x))
    other = attention()
    other(image())
    make = {"its own": lambda layer: layer, "another's": lambda layer: other}
    with pytest.raises(ValueError, match="in use already"):
        insert_attention(model, make[which], ["c"])
    assert model.get_layer("c").output is model.output


def test_a_class_is_no_predicate():
    x = image()
    model = keras.Model(x, layers.ReLU(name="r")(conv("c")(x)))
    copy = insert_attention(model, attention(), layers.Conv2D)
    inserted = [x for x in copy.layers if isinstance(x, SqueezeExcite)]
    assert [x.name for x in inserted] == ["c_squeeze_excite"]
    # `str(layer)` would be true for each layer.
    with pytest.raises(TypeError, match="one or several classes of layers"):
        insert_attention(model, attention(), str)


def test_removal_of_a_whole_model():
    x = image()
    model = keras.Model(x, SqueezeExcite(2, **LAST)(x))
    plain = remove_attention(model)
    images = np.ones((2, 6, 6, 8), "float32")
    np.testing.assert_array_equal(numpy(plain(images)), images)


# Blocks that look like Squeeze-and-Excitation and are none, or are more.


def gates(x, hidden="relu", gate="sigmoid", reduce=None, expand=None, units=4):
    y = layers.GlobalAveragePooling2D(keepdims=True, **LAST)(x)
    y = (reduce or layers.Dense(units))(y)
    y = hidden(y) if callable(hidden) else layers.Activation(hidden)(y)
    y = (expand or layers.Dense(8))(y)
    return gate(y) if callable(gate) else layers.Activation(gate)(y)


def block(x, **arguments):
    return layers.Multiply()([x, gates(x, **arguments)])


class Multiply(layers.Layer):
    """Not the one of Keras."""

    def call(self, inputs):
        return 2 * inputs[0] * inputs[1]

    def compute_output_shape(self, shapes):
        return shapes[0]


def threshold(x):
    return keras.ops.where(x > 0.09, x, 0.0)


def rounded(x):
    return keras.ops.round(x * 10) / 10


def masked(x):
    return block(layers.Masking()(x))


def tied_maps(x):
    dense = layers.Dense(8)
    return block(x, reduce=dense, expand=dense)


def shared_maps(x):
    maps = {"reduce": layers.Dense(4), "expand": layers.Dense(8)}
    return block(block(x, **maps), **maps)


def frozen_expansion(x):
    return block(x, expand=layers.Dense(8, trainable=False))


def gates_used_again(x):
    scores = gates(x)
    return x * scores + scores


NO_BLOCKS = {
    "another layer named Multiply": lambda x: Multiply()([x, gates(x)]),
    "threshold near zero": lambda x: block(x, hidden=threshold),
    "ReLU with a threshold": lambda x: block(
        x, hidden=layers.ReLU(threshold=0.15)
    ),
    "steps": lambda x: block(x, hidden=rounded),
    "ReLU with a maximum": lambda x: block(x, hidden=layers.ReLU(10.0)),
    "softmax": lambda x: block(x, gate="softmax"),
    "three times a sigmoid": lambda x: block(
        x, gate=lambda y: 3 * keras.ops.sigmoid(y)
    ),
    "a mask": masked,
    "tied maps": tied_maps,
    "shared maps": shared_maps,
    "a frozen map": frozen_expansion,
    "one bias": lambda x: block(x, reduce=layers.Dense(4, use_bias=False)),
    "one regularizer": lambda x: block(
        x, reduce=layers.Dense(4, kernel_regularizer="l2")
    ),
    "activity regularizer": lambda x: block(
        x, reduce=layers.Dense(4, activity_regularizer="l2")
    ),
    "a constraint": lambda x: block(
        x, reduce=layers.Dense(4, kernel_constraint="non_neg")
    ),
    "another precision": lambda x: block(
        x, reduce=layers.Dense(4, dtype="bfloat16")
    ),
    "gates used again": gates_used_again,
    "repeated gates": lambda x: (
        x * keras.ops.repeat(gates(x, expand=layers.Dense(4)), 2, axis=-1)
    ),
}


# Keras' pooling over two axes takes no notice of masks, and says so.
@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
@pytest.mark.parametrize("network", NO_BLOCKS.values(), ids=NO_BLOCKS.keys())
def test_no_block(network):
    x = image()
    with pytest.raises(ValueError, match="found no block"):
        fuse_squeeze_excite(keras.Model(x, network(x)))


def test_gates_as_an_output_are_no_block():
    x = image()
    scores = gates(x)
    with pytest.raises(ValueError, match="found no block"):
        fuse_squeeze_excite(keras.Model(x, [x * scores, scores]))


def without_spatial_axes(x):
    y = layers.GlobalAveragePooling2D(**LAST)(x)
    y = layers.Dense(8, "sigmoid")(layers.Dense(4, "relu")(y))
    return layers.Multiply()([x, y])


BLOCKS = {
    "layers": block,
    "regularized alike": lambda x: block(
        x,
        reduce=layers.Dense(4, kernel_regularizer="l2"),
        expand=layers.Dense(8, kernel_regularizer="l2"),
    ),
    "without spatial axes": without_spatial_axes,
    "no bottleneck activation": lambda x: block(x, hidden="linear"),
}


@pytest.mark.parametrize("network", BLOCKS.values(), ids=BLOCKS.keys())
def test_block(network):
    x = image()
    model = keras.Model(x, network(x))
    fused = fuse_squeeze_excite(model)
    same_outputs(model, fused)
    assert sum(isinstance(one, ChannelAttention) for one in fused.layers) == 1
    assert fused.count_params() == model.count_params()


def test_block_with_a_fixed_batch():
    x = keras.Input((6, 6, 8), batch_size=3)
    y = layers.GlobalAveragePooling2D(**LAST)(x)
    y = keras.ops.reshape(y, (3, 1, 1, 8))
    y = layers.Dense(8, "sigmoid")(layers.Dense(4, "relu")(y))
    model = keras.Model(x, x * y)
    same_outputs(model, fuse_squeeze_excite(model), shape=(3, 6, 6, 8))


def test_inserted_where_the_names_of_the_sites_say():
    model = nested(outer=2)
    eca = EfficientChannelAttention(**LAST)
    sites = attention_sites(model)
    assert sites == ["around/inside/c"]
    by_name = insert_attention(model, eca, sites)
    by_default = insert_attention(model, eca)
    assert [len(one.weights) for one in (by_name, by_default)] == [7, 7]
