"""The kernels for torch on a pretended GPU.

torch computes shapes, dtypes and devices of pretended tensors, and no values. A
tensor that is made on the wrong device is an error, as on a GPU.
"""

import contextlib

import keras
import numpy as np
import pytest
from support.configurations import (
    over_configurations_and_formats,
    over_data_formats,
    shape_of,
)
from support.initial_weights import zero_weights

from keras_channel_attn import ops as attention_ops

pytestmark = pytest.mark.backend("torch")
DEVICE = "cuda:0"
SPATIAL = ((7,), (4, 5))


@contextlib.contextmanager
def pretended_gpu():
    """A context in which Keras and torch use a pretended GPU."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    if torch.version.cuda is None:
        pytest.skip("this build of torch has no operations for a GPU")
    # Random weights would need the driver of a GPU.
    with zero_weights(), FakeTensorMode(), keras.device(DEVICE):
        yield


def on_gpu(shape, dtype="float32"):
    import torch

    return torch.ones(shape, dtype=getattr(torch, dtype), device=DEVICE)


def check(tensor, shape, dtype):
    assert str(tensor.device) == DEVICE
    assert tuple(tensor.shape) == shape
    assert keras.backend.standardize_dtype(tensor.dtype) == dtype


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize("masked", [False, True])
@over_configurations_and_formats
def test_layer(layer_class, arguments, data_format, masked, dtype):
    # Some layers have weights for a number of spatial axes.
    layers = [
        layer_class(data_format=data_format, dtype=dtype, **arguments)
        for _ in SPATIAL
    ]
    with pretended_gpu():
        for layer, spatial in zip(layers, SPATIAL, strict=True):
            shape = shape_of(2, spatial, 16, data_format)
            mask = on_gpu((2, *spatial), "bool") if masked else None
            outputs, scores = layer(
                on_gpu(shape), mask=mask, return_attention_scores=True
            )
            check(outputs, shape, layer.compute_dtype)
            check(scores, (2, 16), layer.compute_dtype)


@over_data_formats
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_squeeze_with_a_mask_of_numpy(data_format, pooling):
    """Keras moves the mask to the device."""
    shape = shape_of(2, (4, 5), 8, data_format)
    with pretended_gpu():
        descriptor = attention_ops.squeeze(
            on_gpu(shape), data_format, pooling, np.ones((2, 4, 5), bool)
        )
        check(descriptor, (2, 8), "float32")


def test_a_tensor_on_another_device_is_found():
    """This test shows that the others can fail."""
    import torch

    class OnTheCPU(keras.layers.Layer):
        def call(self, inputs):
            return inputs * torch.ones(8, device="cpu")

    with pretended_gpu(), pytest.raises(RuntimeError, match="same device"):
        OnTheCPU()(on_gpu((2, 4, 5, 8)))
