"""A backend's own form of a function computes what `ops` computes.

Only on the backends that have one: on the others it is the same function.
"""

import importlib.util

import keras
import numpy as np
import pytest
from support.configurations import over_data_formats, shape_of

from keras_channel_attn import backend
from keras_channel_attn import ops as attention_ops

DTYPES = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
# The backends that have a form of their own.
OWN = {
    "activate": ("torch",),
    "attend": ("torch",),
    "bottleneck": ("torch",),
    "channel_convolution": ("tensorflow", "torch", "jax"),
    "grouped_linear": ("torch",),
    "spatial_convolution": ("torch",),
}


def where_own(name):
    return pytest.mark.backend(*OWN[name])


@pytest.mark.parametrize("name", backend.__all__)
def test_other_backends_use_the_function_of_ops(name):
    same = getattr(backend, name) is getattr(attention_ops, name)
    assert same == (keras.config.backend() not in OWN[name])


def tensor(array, dtype="float32"):
    return keras.ops.cast(keras.ops.convert_to_tensor(array), dtype)


def close(actual, expected, tolerance=1e-5):
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(keras.ops.cast(actual, "float32")),
        keras.ops.convert_to_numpy(keras.ops.cast(expected, "float32")),
        rtol=tolerance,
        atol=tolerance,
    )


@where_own("spatial_convolution")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spatial", [(5,), (3, 4), (2, 3, 2)], ids=str)
def test_spatial_convolution(rng, dtype, spatial):
    maps = [tensor(rng.normal(size=(2, *spatial)), dtype) for _ in range(2)]
    kernel = tensor(rng.normal(size=(3,) * len(spatial) + (2, 1)))
    actual = backend.spatial_convolution(maps, kernel)
    expected = attention_ops.spatial_convolution(maps, kernel)
    close(actual, expected, 2 * DTYPES[dtype])


# With another pooling or a mask torch calls `ops` too.
@where_own("attend")
@over_data_formats
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("differentiated", [False, True])
@pytest.mark.parametrize("spatial", [(5,), (3, 4), (2, 3, 2)], ids=str)
def test_attend(rng, data_format, dtype, differentiated, spatial):
    x = tensor(rng.normal(size=shape_of(2, spatial, 6, data_format)), dtype)
    arguments = (keras.ops.sigmoid, data_format)
    expected = attention_ops.attend(x, *arguments)
    x.requires_grad_(differentiated)
    actual = backend.attend(x, *arguments)
    for tensors in zip(actual, expected, strict=True):
        close(*tensors, DTYPES[dtype])


over_kernel_shapes = pytest.mark.parametrize(
    "shape",
    [
        lambda size, channels: (size, 1, 1),
        lambda size, channels: (size, channels),
    ],
    ids=["shared", "unshared"],
)


@where_own("channel_convolution")
@over_kernel_shapes
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize(
    ("batch", "channels", "size"),
    [(3, 16, 1), (3, 16, 5), (1, 4, 7), (2, 1, 3), (0, 8, 3), (2, 3, 9)],
)
def test_convolution(rng, shape, dtype, padding, batch, channels, size):
    z = tensor(rng.normal(size=(batch, channels)), dtype)
    kernel = tensor(rng.normal(size=shape(size, channels)))
    close(
        backend.channel_convolution(z, kernel, padding),
        attention_ops.channel_convolution(z, kernel, padding),
        2 * DTYPES[dtype],
    )


@where_own("grouped_linear")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    ("batch", "channels", "groups"),
    [(3, 12, 1), (3, 12, 3), (3, 12, 12), (0, 12, 3), (2, 1, 1)],
)
def test_grouped_linear(rng, dtype, use_bias, batch, channels, groups):
    z = tensor(rng.normal(size=(batch, channels)), dtype)
    kernel = tensor(rng.normal(size=(channels // groups, channels)))
    bias = tensor(rng.normal(size=(channels,))) if use_bias else None
    close(
        backend.grouped_linear(z, kernel, bias),
        attention_ops.grouped_linear(z, kernel, bias),
        4 * DTYPES[dtype],
    )


@where_own("bottleneck")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("name", ["relu", "silu", "hard_sigmoid", "tanh"])
def test_bottleneck(rng, dtype, use_bias, name):
    z = tensor(rng.normal(size=(3, 8)), dtype)
    w1, b1, w2, b2 = (
        tensor(rng.normal(size=shape)) for shape in [(8, 4), (4,), (4, 8), (8,)]
    )
    if not use_bias:
        b1 = b2 = None
    arguments = (z, w1, b1, w2, b2, keras.activations.get(name))
    close(
        backend.bottleneck(*arguments),
        attention_ops.bottleneck(*arguments),
        4 * DTYPES[dtype],
    )


@where_own("activate")
@pytest.mark.parametrize(
    "name", ["relu", "sigmoid", "silu", "hard_sigmoid", "softplus", "linear"]
)
def test_activate(rng, name):
    x = tensor(rng.normal(0, 4, size=(3, 8)))
    activation = keras.activations.get(name)
    close(
        backend.activate(activation, x), attention_ops.activate(activation, x)
    )


def test_activate_keeps_the_dtype(rng):
    x = tensor(rng.normal(size=(3, 8)), "float16")
    activated = backend.activate(lambda x: keras.ops.cast(x, "float32"), x)
    assert activated.dtype == x.dtype


@where_own("channel_convolution")
@over_kernel_shapes
@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize(("channels", "size"), [(8, 3), (2, 7), (5, 5)])
def test_gradients_of_the_convolution(rng, shape, padding, channels, size):
    z, upstream = rng.normal(size=(2, 3, channels)).astype("float32")
    kernel = rng.normal(size=shape(size, channels)).astype("float32")
    actual, expected = (
        gradients(
            lambda z, kernel, convolve=convolve: convolve(z, kernel, padding),
            [z, kernel],
            upstream,
        )
        for convolve in (
            backend.channel_convolution,
            attention_ops.channel_convolution,
        )
    )
    for arrays in zip(actual, expected, strict=True):
        np.testing.assert_allclose(*arrays, rtol=1e-4, atol=1e-5)


def gradients(function, arrays, upstream):
    """Gradients of sum(function * upstream) on this backend."""
    name = keras.config.backend()
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    if name == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = tf.reduce_sum(function(*tensors) * upstream)
        results = tape.gradient(loss, tensors)
    elif name == "torch":
        import torch

        tensors = [tensor.requires_grad_() for tensor in tensors]
        loss = (
            function(*tensors) * keras.ops.convert_to_tensor(upstream)
        ).sum()
        results = torch.autograd.grad(loss, tensors)
    else:
        import jax

        results = jax.grad(
            lambda *tensors: (function(*tensors) * upstream).sum(),
            argnums=tuple(range(len(tensors))),
        )(*tensors)
    return [keras.ops.convert_to_numpy(result) for result in results]


def test_a_backend_of_another_name_has_the_specification(monkeypatch):
    """Keras' backends may become packages with names of their own."""
    monkeypatch.setattr(keras.config, "backend", lambda: "tomorrow")
    spec = importlib.util.spec_from_file_location("fresh", backend.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    for name in backend.__all__:
        assert getattr(fresh, name) is getattr(attention_ops, name)
