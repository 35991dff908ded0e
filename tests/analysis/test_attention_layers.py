"""The attention layers of a model, found by their paths."""

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import image, nested, siamese

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_layers,
    attention_scores,
    insert_attention,
)


@pytest.mark.backend("tensorflow", "torch", "jax", "numpy")
@pytest.mark.parametrize("build", [nested, siamese])
def test_paths_are_those_of_the_scores(build):
    model = insert_attention(build(), SqueezeExcite(2))
    found = attention_layers(model)
    assert found
    assert all(isinstance(x, SqueezeExcite) for x in found.values())
    arrays = [np.ones((2, *tensor.shape[1:])) for tensor in model.inputs]
    x = arrays[0] if len(arrays) == 1 else arrays
    scores = attention_scores(model, x, verbose=0)
    # A layer that is called again has a key for each call there.
    assert list(found) == [path for path in scores if ":" not in path]


def test_order_of_computation():
    x = image()
    y = EfficientChannelAttention(name="second")(SqueezeExcite(2, name="a")(x))
    y = layers.Add()([y, SqueezeExcite(2, name="last")(y)])
    assert list(attention_layers(keras.Model(x, y))) == ["a", "second", "last"]


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = SqueezeExcite(
            2, name="se", data_format="channels_last"
        )

    def call(self, inputs):
        return self.attention(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


def test_attention_inside_other_layers():
    x = keras.Input((3, 6, 6, 8))
    inner = EfficientChannelAttention(name="eca", data_format="channels_last")
    y = layers.TimeDistributed(inner, name="steps")(x)
    block = Block(name="block")
    found = attention_layers(keras.Model(x, block(y)))
    assert found == {"steps/eca": inner, "block/se": block.attention}


def test_paths_name_all_that_is_around():
    a = keras.Input((6, 6, 8))
    frame = keras.Model(a, SqueezeExcite(2, name="se")(a), name="frame")
    x = keras.Input((3, 6, 6, 8))
    y = layers.TimeDistributed(frame, name="steps")(x)
    assert list(attention_layers(keras.Model(x, y))) == ["steps/frame/se"]


class Stage(layers.Layer):
    """Blocks of the same name."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = Block(name="block")
        self.second = Block(name="block")

    def call(self, inputs):
        return self.second(self.first(inputs))


class OwnModel(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stage = Stage(name="stage")
        self.last = Block(name="last")

    def call(self, inputs):
        return self.last(self.stage(inputs))


def test_model_with_a_call_of_its_own():
    model = OwnModel()
    stage = model.stage
    assert attention_layers(model) == {
        "stage/block/se": stage.first.attention,
        "stage/block/se:1": stage.second.attention,
        "last/se": model.last.attention,
    }


def test_model_with_a_call_of_its_own_in_another_model():
    x = image()
    inner = OwnModel(name="own")
    found = attention_layers(keras.Model(x, inner(x)))
    assert list(found)[-1] == "own/last/se"
    assert list(found.values()) == list(attention_layers(inner).values())


def test_no_attention():
    x = image()
    assert attention_layers(keras.Model(x, layers.ReLU()(x))) == {}


def test_sequential_model_that_is_not_built():
    with pytest.raises(ValueError, match="is not built"):
        attention_layers(keras.Sequential([SqueezeExcite()]))


def test_what_is_no_network():
    with pytest.raises(TypeError, match="must be a Keras model"):
        attention_layers(SqueezeExcite())
