"""Warnings show the line of the user's code that called the package."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_channel_attn import (
    SqueezeExcite,
    attention_scores,
    insert_attention,
    model_costs,
    remove_attention,
    replace_attention,
)


class Block(layers.Layer):
    """Holds attention in a loop, and a weight that the graph does not show."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.attention = layers.TimeDistributed(SqueezeExcite(2))
        self.own = self.add_weight(shape=(8,))

    def build(self, shape):
        self.attention.build((None, 1, *shape[1:]))

    def call(self, x):
        spectrum, _ = ops.rfft(x)  # Whose multiply-adds are not counted.
        (attended,) = ops.unstack(self.attention(x[:, None]), axis=1)
        return attended + self.own + ops.mean(spectrum)

    def compute_output_shape(self, shape):
        return shape


def network():
    """Every function of the package warns of it."""
    x = keras.Input((6, 8))
    y = layers.Conv1D(8, 3, padding="same", name="first")(Block()(x))
    z = layers.Conv1D(8, 3, padding="same", name="second")(y)
    y = SqueezeExcite(2, name="se")(y)
    model = keras.Model(x, [y, z])
    model.other = lambda inputs: model(inputs)
    return model


CALLS = {
    "scores": lambda model: attention_scores(model, DATA, verbose=0),
    "costs": lambda model: model_costs(model),
    "attributes": lambda model: remove_attention(model),
    "attributes, replaced": lambda model: replace_attention(
        model, SqueezeExcite(4)
    ),
    "attributes and another start": lambda model: replace_attention(
        model, SqueezeExcite(4, identity_start=True)
    ),
    "attributes and outputs": lambda model: insert_attention(
        model, SqueezeExcite(2), ["second"]
    ),
    "one unit in the bottleneck": lambda model: SqueezeExcite(16)(
        model.inputs[0]
    ),
}
MESSAGES = (
    "attributes|start at 1|multiply-adds|scores are missing|"
    "name of the output|one unit|leaves the channel attention"
)
DATA = np.ones((1, 6, 8), "float32")


@pytest.mark.backend("tensorflow", "torch", "jax")
@pytest.mark.parametrize("name", CALLS)
def test_the_line_of_the_user(name):
    with pytest.warns(UserWarning, match=MESSAGES) as record:
        CALLS[name](network())
    lines, start = inspect.getsourcelines(CALLS[name])
    own = [warning for warning in record if warning.category is UserWarning]
    assert own
    for warning in own:
        assert warning.filename == __file__
        assert start <= warning.lineno < start + len(lines)
