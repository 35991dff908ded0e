"""Our layers compute what the peers compute, forward and backward.

Each row of docs/equivalents.md that names this file is one peer and the layer
of ours that equals it. timm and torchvision run themselves; the other peers
are their formulas, with the source in each docstring of formulas.py.
"""

import itertools
from typing import NamedTuple

import keras
import numpy as np
import pytest
import timm.layers
import timm.layers.cbam
import timm.layers.coord_attn
import timm.layers.global_context
import timm.layers.squeeze_excite
import torch
import torchvision.ops
from peers.formulas import FORMULAS
from support.equivalents import Equivalent, equivalents

LIBRARIES = {
    # SqueezeExciteCl and ChannelAttn are in no list of timm's public names.
    "timm": {
        **vars(timm.layers),
        **vars(timm.layers.squeeze_excite),
        **vars(timm.layers.cbam),
        **vars(timm.layers.coord_attn),
        **vars(timm.layers.global_context),
    },
    "torchvision": vars(torchvision.ops),
    **FORMULAS,
}
CHANNELS_LAST_PEERS = ("SqueezeExciteCl", "SqueezeAndExcite2D")
# What the table leaves open.
OPEN = {"units": (4, 20), "kernel_size": (1, 5, 9), "dimensions": (1, 2, 3)}
SPATIAL = {1: (11,), 2: (5, 4), 3: (3, 2, 4)}


class Case(NamedTuple):
    row: Equivalent
    names: dict

    def __str__(self):
        values = "-".join(f"{key}={self.names[key]}" for key in self.names)
        return f"{self.row.library}-{self.row.peer}-{values}"


def cases():
    for row in equivalents("peers/test_parity.py"):
        used = compile(f"{row.peer}, {row.layer}", row.peer, "eval").co_names
        opened = [name for name in OPEN if name in used]
        values = [row.tested_channels, *(OPEN[name] for name in opened)]
        for chosen in itertools.product(*values):
            yield Case(
                row, dict(zip(["channels", *opened], chosen, strict=True))
            )


pytestmark = [
    pytest.mark.parametrize("case", list(cases()), ids=str),
    pytest.mark.parametrize("data_format", ["channels_last", "channels_first"]),
]


class Results(NamedTuple):
    """What a layer gives, with the channels first."""

    output: np.ndarray
    input_gradient: np.ndarray
    weight_gradients: list


@pytest.fixture
def results(case, data_format, rng):
    """The results of the layer and of the peer, at the same weights."""
    keras.config.set_image_data_format(data_format)
    channels = case.names["channels"]
    spatial = SPATIAL[case.names.get("dimensions", 2)]
    # In float32: outside TensorFlow Keras promotes no result to float64.
    x, cotangent = rng.normal(size=(2, 3, channels, *spatial)).astype("float32")

    peer = build_peer(case)
    weights = list(peer.parameters())
    name = case.row.peer.partition("(")[0]
    peer_format = (
        "channels_last" if name in CHANNELS_LAST_PEERS else "channels_first"
    )
    expected = run(peer, weights, x, cotangent, peer_format)
    expected = expected._replace(
        weight_gradients=case.row.carry(expected.weight_gradients)
    )

    layer = case.row.build_layer(**case.names)
    layer.build(in_format(x, data_format).shape)
    statistics = [b for b in peer.buffers() if b.ndim]
    arrays = [tensor.detach().numpy() for tensor in (*weights, *statistics)]
    layer.set_weights(case.row.carry(arrays))
    ours = [variable.value for variable in layer.trainable_weights]
    return run(layer, ours, x, cotangent, data_format), expected


def build_peer(case):
    """The peer with weights and biases of a size that moves its gates.

    Where it normalizes over the batch, it uses the statistics that it has.
    """
    names = {**LIBRARIES[case.row.library], "nn": torch.nn, **case.names}
    peer = eval(case.row.peer, names)
    for parameter in peer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for buffer in peer.buffers():
        if buffer.ndim:  # Not the number of batches.
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    return peer.eval()


def run(function, weights, x, cotangent, data_format):
    x = torch.tensor(in_format(x, data_format), requires_grad=True)
    y = function(x)
    input_gradient, *weight_gradients = torch.autograd.grad(
        y, [x, *weights], torch.tensor(in_format(cotangent, data_format))
    )
    output, input_gradient = (
        tensor.detach().numpy() for tensor in (y, input_gradient)
    )
    if data_format == "channels_last":
        output = np.moveaxis(output, -1, 1)
        input_gradient = np.moveaxis(input_gradient, -1, 1)
    return Results(
        output, input_gradient, [w.numpy() for w in weight_gradients]
    )


def in_format(x, data_format):
    if data_format == "channels_first":
        return x
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def close(actual, expected):
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * scale)


def test_output(results):
    actual, expected = results
    close(actual.output, expected.output)


@pytest.mark.training
def test_input_gradient(results):
    actual, expected = results
    close(actual.input_gradient, expected.input_gradient)


@pytest.mark.training
def test_weight_gradients(results):
    actual, expected = results
    pairs = zip(actual.weight_gradients, expected.weight_gradients, strict=True)
    for gradient, peer_gradient in pairs:
        if peer_gradient.shape == (1,) and abs(peer_gradient) < 1e-5:
            # The bias before a softmax: rounding alone.
            assert abs(gradient) < 1e-5
        else:
            close(gradient, peer_gradient)
