"""The other ECA for Keras 3: the same gates where its bias is zero.

Its convolution has a bias, which the paper does not have, and no rule for the
kernel size.
"""

import keras
import numpy as np
import pytest
import torch
from k3_addons.layers import ECAAttention
from support.equivalents import equivalents

KERNEL_SIZES = (1, 3, 9)
CASES = [
    pytest.param(row, channels, size, id=f"{channels}-{size}")
    for row in equivalents("peers/test_k3_addons.py")
    for channels in row.tested_channels
    for size in KERNEL_SIZES
]


def run(layer, kernel, x, cotangent):
    x = torch.tensor(x, requires_grad=True)
    y = layer(x)
    gradients = torch.autograd.grad(y, [x, kernel], torch.tensor(cotangent))
    return [tensor.detach().numpy() for tensor in (y, *gradients)]


@pytest.mark.parametrize(("row", "channels", "size"), CASES)
def test_same_outputs_and_gradients(rng, row, channels, size):
    peer = eval(row.peer, {"ECAAttention": ECAAttention, "kernel_size": size})
    x, cotangent = rng.normal(size=(2, 3, 5, 4, channels)).astype("float32")
    peer(x)
    kernel, bias = peer.weights
    kernel.assign(rng.normal(size=kernel.shape).astype("float32"))
    bias.assign(keras.ops.zeros_like(bias))
    layer = row.build_layer(kernel_size=size)
    layer.build(x.shape)
    layer.set_weights(row.carry([keras.ops.convert_to_numpy(kernel)]))
    expected = run(peer, kernel.value, x, cotangent)
    actual = run(layer, layer.kernel.value, x, cotangent)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
