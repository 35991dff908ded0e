"""Which layer of one network is in the place of which layer of another."""

import keras
import pytest
from keras import layers

from keras_channel_attn.models.paired_layers import pair_layers


def network(wire=None, prefix="", **arguments):
    """A convolution, a normalization, and what `wire` makes of both."""
    x = keras.Input((8, 8, 4))
    arguments = {"kernel_size": 3, "padding": "same", **arguments}
    y = layers.Conv2D(4, name=f"{prefix}conv", **arguments)(x)
    z = layers.BatchNormalization(name=f"{prefix}norm")(y)
    tensors = (y, z) if wire is None else wire(x, y, z)
    return keras.Model(x, layers.Add(name=f"{prefix}add")(tensors))


def test_names_do_not_matter():
    first, second = network(), network(prefix="other_")
    pairs, problems = pair_layers(second, first)
    assert problems == []
    assert {layer.name: pair.name for layer, pair in pairs.items()} == {
        name: f"other_{name}" for name in ("conv", "norm", "add")
    }


DIFFERENT = {
    "argument": (
        network(padding="valid"),
        ["'conv' (Conv2D) with padding='valid' in place of padding='same'"],
    ),
    "order": (
        network(lambda x, y, z: (z, y)),
        [
            "'conv' (Conv2D) in place of 'norm' (BatchNormalization)",
            "'norm' (BatchNormalization) in place of 'conv' (Conv2D)",
        ],
    ),
    "the input": (
        network(lambda x, y, z: (x, z)),
        ["the input in place of 'conv' (Conv2D)"],
    ),
    "several arguments": (
        network(kernel_size=1, strides=2),
        [
            "'conv' (Conv2D) with kernel_size=(1, 1), strides=(2, 2), "
            "shapes=[(1, 1, 4, 4), (4,)] in place of kernel_size=(3, 3), "
            "strides=(1, 1), shapes=[(3, 3, 4, 4), (4,)]"
        ],
    ),
    "number of inputs": (
        network(lambda x, y, z: (y, z, x)),
        ["'add' (Add) with inputs=3 in place of inputs=2"],
    ),
}


@pytest.mark.parametrize(
    ("other", "expected"), DIFFERENT.values(), ids=DIFFERENT
)
def test_what_differs(other, expected):
    _, problems = pair_layers(other, network())
    assert problems == expected


# Arguments that training needs, and nothing else.
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_initializer": "zeros"},
        {"kernel_regularizer": "l2"},
        {"bias_constraint": "non_neg"},
        {"dtype": "mixed_bfloat16"},
        {"trainable": False},
    ],
    ids=str,
)
def test_what_changes_no_output(arguments):
    _, problems = pair_layers(network(**arguments), network())
    assert problems == []
