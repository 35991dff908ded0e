"""What may be inserted or put in the place of attention, and what not."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import (
    LAST,
    array,
    assert_same_outputs,
    conv,
    identity_attention,
    image,
    numpy,
    with_attention,
)

from keras_channel_attn import (
    SqueezeExcite,
    attention_layers,
    expand_attention,
    freeze_attention,
    fuse_attention,
    insert_attention,
    remove_attention,
    replace_attention,
)


class Doubled(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x):
        return 2 * x

    def compute_output_shape(self, shape):
        return shape


def cbam():
    """A fresh functional model."""
    x = image()
    gates = layers.Dense(8, "sigmoid")(ops.mean(x, axis=(1, 2), keepdims=True))
    return keras.Model(x, layers.Multiply()([x, gates]))


FRESH = {
    "Activation": lambda: layers.Activation("relu"),
    "ReLU": layers.ReLU,
    "Dropout": lambda: layers.Dropout(0.1),
    "Identity": layers.Identity,
    "functional model": cbam,
    "sequential model": lambda: keras.Sequential([image(), layers.Dense(8)]),
    "own layer": Doubled,
    "convolution": lambda: conv(None),
}


def plain():
    x = image()
    return keras.Model(x, conv("d", 4)(layers.ReLU()(conv("c")(x))))


def attended():
    x = image()
    y = SqueezeExcite(2, name="c_squeeze_excite", **LAST)(conv("c")(x))
    return keras.Model(x, conv("d", 4)(y))


@pytest.mark.parametrize("make", FRESH.values(), ids=FRESH.keys())
def test_any_new_layer_is_inserted(make):
    made = []

    def attention(layer):
        made.append(make())
        return made[-1]

    model = plain()
    copy = insert_attention(model, attention, ["c"])
    parts = keras.Model(model.input, model.get_layer("c").output)
    attended = ops.relu(made[0](parts(array())))
    np.testing.assert_allclose(
        numpy(copy(array())),
        numpy(model.get_layer("d")(attended)),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("make", FRESH.values(), ids=FRESH.keys())
def test_attention_is_replaced_by_any_new_layer(make):
    model = attended()
    copy = replace_attention(model, lambda layer: make())
    assert not any(isinstance(one, SqueezeExcite) for one in copy.layers)
    assert copy(array()).shape == (2, 6, 6, 4)
    assert len(copy.layers) == len(model.layers)


@pytest.mark.parametrize("make", [layers.ReLU, cbam])
def test_one_layer_for_two_sites_is_refused(make):
    layer = make()
    with pytest.raises(ValueError, match=r"in use already.*a new one each"):
        insert_attention(plain(), lambda site: layer, ["c", "d"])


WRONG_SHAPES = {
    "more channels": lambda: conv(None, 4),
    "pooling": lambda: layers.GlobalAveragePooling2D(**LAST),
    "several outputs": lambda: layers.GRU(8, return_state=True),
    "other input": lambda: keras.Sequential(
        [keras.Input((6, 6, 4)), layers.Dense(8)]
    ),
}


@pytest.mark.parametrize("make", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_a_layer_of_the_wrong_shape_is_named(make):
    def attention(layer):
        new = make()
        new.name = "wrong"
        return new

    with pytest.raises(ValueError, match=r"new layer 'wrong'.*'c'"):
        insert_attention(plain(), attention, ["c"])


def test_a_replacement_of_the_wrong_shape_is_named():
    def wrong(layer):
        return layers.Conv2D(4, 1, name="wrong", **LAST)

    with pytest.raises(ValueError, match=r"new layer 'wrong'.*squeeze_excite"):
        replace_attention(attended(), wrong)


def test_attention_inside_time_distributed():
    x = keras.Input((3, 6, 6, 8))
    wrapped = layers.TimeDistributed(SqueezeExcite(2, **LAST), name="w")
    y = layers.TimeDistributed(conv("c"), name="t")(x)
    model = keras.Model(x, wrapped(y))
    removed = remove_attention(model)
    assert [one.name for one in removed.layers[1:]] == ["t"]
    with pytest.raises(ValueError, match=r"'w'.*TimeDistributed"):
        replace_attention(model, identity_attention())


def test_masked_attention_is_replaced_by_a_layer_without_masks():
    x = keras.Input((6, 8))
    y = layers.Masking()(layers.Conv1D(8, 1, name="c", **LAST)(x))
    model = keras.Model(x, SqueezeExcite(2, **LAST)(y))
    copy = replace_attention(model, lambda layer: Doubled())
    assert copy(array((2, 6, 8))).shape == (2, 6, 8)


def test_a_mask_that_was_passed_is_not_dropped():
    x, mask = keras.Input((6, 8)), keras.Input((6,), dtype="bool")
    y = layers.Conv1D(8, 1, name="c", **LAST)(x)
    attention = SqueezeExcite(2, name="se", **LAST)
    model = keras.Model([x, mask], attention(y, mask=mask))
    with pytest.raises(ValueError, match="'se' is called with a mask"):
        replace_attention(model, lambda layer: Doubled())


# Structures of inputs and outputs.


# On torch Keras sorts the keys, which fails.
@pytest.mark.backend("tensorflow", "jax")
def test_dictionaries_with_keys_of_several_types():
    class Levels(layers.Layer):
        def call(self, x):
            return {3: x, "four": 2 * x}

        def compute_output_spec(self, x):
            return {
                3: keras.KerasTensor(x.shape),
                "four": keras.KerasTensor(x.shape),
            }

    x = image()
    levels = Levels()(conv("c")(x))
    y = layers.Add()([levels[3], levels["four"]])
    model = keras.Model(x, {3: y, "four": levels["four"]})
    copy = with_attention(model)
    expected, outputs = model(array()), copy(array())
    assert outputs.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(
            numpy(outputs[key]), numpy(value), rtol=1e-5, atol=1e-5
        )


@pytest.mark.training
def test_losses_by_name_of_an_output():
    """Attention after an output has the output's name."""
    x = image()
    y = conv("c")(x)
    model = keras.Model(x, [conv("mask", 4)(y), conv("edge", 4)(y)])
    with pytest.warns(UserWarning, match="'mask': 'mask_squeeze_excite'"):
        copy = with_attention(model, ["mask"])
    copy.compile("sgd", loss={"mask_squeeze_excite": "mse", "edge": "mae"})
    copy.train_on_batch(array(), [array((2, 6, 6, 4))] * 2)


@pytest.mark.training
def test_losses_by_key_of_a_dictionary():
    x = image()
    y = conv("c")(x)
    model = keras.Model(x, {"mask": conv("m", 4)(y), "edge": conv("e", 4)(y)})
    copy = with_attention(model, ["m"])
    copy.compile("sgd", loss={"mask": "mse", "edge": "mae"})
    targets = {name: array((2, 6, 6, 4)) for name in ("mask", "edge")}
    copy.train_on_batch(array(), targets)


@pytest.mark.backend("tensorflow")
def test_ragged_inputs_are_refused():
    x = keras.Input((None, 8), ragged=True, name="words")
    y = layers.Conv1D(8, 1, name="c", **LAST)(x)
    with pytest.raises(ValueError, match="'words' is ragged"):
        with_attention(keras.Model(x, y))


# Blocks that must not be fused.


class ActsInTraining(layers.Layer):
    def call(self, x, training=False):
        return 2 * x if training else x

    def compute_output_shape(self, shape):
        return shape


def block(x, between=None, frozen=False, activation="relu"):
    y = layers.GlobalAveragePooling2D(keepdims=True, **LAST)(x)
    reduce = layers.Dense(4, activation=activation)
    y = reduce(y)
    if frozen:
        reduce.bias.trainable = False
    if between is not None:
        y = between(y)
    return layers.Multiply()([x, layers.Dense(8, "sigmoid")(y)])


def stopped_relu(x):
    return ops.relu(ops.stop_gradient(x))


LOST = {
    "acts in training": {"between": ActsInTraining()},
    "noise": {"between": layers.GaussianNoise(1.0)},
    "dropout": {"between": layers.Dropout(0.5)},
    "a frozen bias": {"frozen": True},
    "a stopped gradient": {"between": ops.stop_gradient},
    "a stopped gradient in an activation": {"activation": stopped_relu},
    "a stopped gradient in a layer": {
        "between": layers.Activation(stopped_relu)
    },
    "a stopped gradient in a Lambda": {
        "between": layers.Lambda(stopped_relu, output_shape=(1, 1, 4))
    },
}


@pytest.mark.parametrize("arguments", LOST.values(), ids=LOST.keys())
def test_what_one_layer_would_lose_is_not_fused(arguments):
    x = image()
    model = keras.Model(x, block(x, **arguments))
    with pytest.raises(ValueError, match="found no block"):
        fuse_attention(model)


def test_the_block_without_them_is_fused():
    x = image()
    model = keras.Model(x, block(x))
    assert_same_outputs(model, fuse_attention(model))


# Attention that the graph does not show.


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = SqueezeExcite(2, **LAST)

    def build(self, shape):
        self.attention.build(shape)

    def call(self, x):
        return self.attention(x)

    def compute_output_shape(self, shape):
        return shape


CHANGES = {
    "remove_attention": remove_attention,
    "expand_attention": expand_attention,
    "replace_attention": lambda x: replace_attention(x, SqueezeExcite(2)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_blocks_that_hold_attention_are_named(name):
    x = image()
    model = keras.Model(x, Block(name="block")(x))
    message = r"inside the layers \['block'\]"
    with pytest.raises(ValueError, match=message) as error:
        CHANGES[name](model)
    assert "found no" not in str(error.value)


@pytest.mark.parametrize("name", CHANGES)
def test_attention_that_stays_is_a_warning(name):
    x = image()
    y = SqueezeExcite(2, name="shown", **LAST)(x)
    model = keras.Model(x, Block(name="block")(y))
    message = rf"`{name}` leaves .* layers \['block'\].*classes of these"
    with pytest.warns(UserWarning, match=message):
        copy = CHANGES[name](model)
    (path,) = [x for x in attention_layers(copy) if "/" in x]
    assert path.startswith("block/")


def test_attention_that_was_not_chosen_is_no_warning():
    x = image()
    y = SqueezeExcite(2, name="shown", **LAST)(x)
    model = keras.Model(x, Block(name="block")(y))
    remove_attention(model, layers=["shown"])


def frozen(model):
    return freeze_attention(model, array((2, 3, 6, 6, 8)), verbose=0)


@pytest.mark.parametrize("name", [*CHANGES, "freeze_attention"])
def test_models_in_wrappers_are_named(name):
    """The line of the message works."""
    a, x = image(), keras.Input((3, 6, 6, 8))
    frame = keras.Model(a, SqueezeExcite(2, **LAST)(layers.Dense(8)(a)))
    model = keras.Model(x, layers.TimeDistributed(frame, name="frames")(x))
    with pytest.raises(ValueError, match="Change the model") as error:
        {**CHANGES, "freeze_attention": frozen}[name](model)
    line = str(error.value).split("`")[-2]
    assert line.startswith(f"keras.layers.TimeDistributed({name}(")
    names = {"keras": keras, "model": model, "attention": SqueezeExcite(2)}
    names |= {name: globals()[name], "frames": array((2, 6, 6, 8))}
    assert eval(line, names)(x).shape == model.output.shape
