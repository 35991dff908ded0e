"""The pure functions against the NumPy reference."""

import inspect

import numpy as np
import pytest
from keras import ops
from support import reference
from support.configurations import over_data_formats, shape_of
from support.docstrings import check_docstring

from keras_channel_attn import ops as attention_ops

RANKS = [(7,), (3, 4), (2, 3, 2), (2, 1, 3, 2)]
POOLINGS = ["avg", "max", "avg_max_mean"]


def test_dir_shows_public_names_only():
    assert dir(attention_ops) == sorted(attention_ops.__all__)


@pytest.mark.parametrize("name", attention_ops.__all__)
def test_docstring_has_every_section(name):
    function = getattr(attention_ops, name)
    check_docstring(
        function,
        ("Args", "Returns", "Examples"),
        inspect.signature(function).parameters,
    )


def close(actual, expected):
    np.testing.assert_allclose(
        ops.convert_to_numpy(actual), expected, rtol=1e-5, atol=1e-6
    )


@over_data_formats
@pytest.mark.parametrize("spatial", RANKS, ids=str)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_squeeze(rng, data_format, spatial, pooling):
    x = rng.normal(size=shape_of(3, spatial, 5, data_format)).astype("float32")
    actual = attention_ops.squeeze(
        ops.convert_to_tensor(x), data_format, pooling
    )
    close(actual, reference.squeeze(x, data_format, pooling))


@over_data_formats
@pytest.mark.parametrize("spatial", RANKS, ids=str)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_squeeze_masked(rng, data_format, spatial, pooling):
    x = rng.normal(size=shape_of(3, spatial, 5, data_format)).astype("float32")
    mask = rng.random((3, *spatial)) < 0.5
    mask[1] = False
    actual = attention_ops.squeeze(
        ops.convert_to_tensor(x),
        data_format,
        pooling,
        ops.convert_to_tensor(mask),
    )
    close(actual, reference.squeeze(x, data_format, pooling, mask))


@pytest.mark.parametrize("use_bias", [False, True])
def test_bottleneck(rng, use_bias):
    shapes = [(6, 4), (4,), (4, 6), (6,)] if use_bias else [(6, 4), (4, 6)]
    weights = [rng.normal(size=shape).astype("float32") for shape in shapes]
    z = rng.normal(size=(3, 6)).astype("float32")
    tensors = [ops.convert_to_tensor(weight) for weight in weights]
    w1, b1, w2, b2 = (
        tensors if use_bias else (tensors[0], None, tensors[1], None)
    )
    actual = attention_ops.bottleneck(
        ops.convert_to_tensor(z), w1, b1, w2, b2, ops.relu
    )
    close(actual, reference.bottleneck(z, weights, use_bias))


@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize(
    ("channels", "size"),
    [(8, 1), (8, 3), (8, 5), (8, 7), (3, 5), (1, 3), (2, 9), (64, 63)],
)
def test_channel_convolution(rng, channels, size, padding):
    z = rng.normal(size=(3, channels)).astype("float32")
    kernel = rng.normal(size=(size, 1, 1)).astype("float32")
    actual = attention_ops.channel_convolution(
        ops.convert_to_tensor(z), ops.convert_to_tensor(kernel), padding
    )
    close(actual, reference.channel_convolution(z, kernel, padding))


@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize(
    ("channels", "size"), [(8, 1), (8, 5), (3, 5), (1, 3), (2, 9)]
)
def test_unshared_channel_convolution(rng, channels, size, padding):
    z = rng.normal(size=(3, channels)).astype("float32")
    kernel = rng.normal(size=(size, channels)).astype("float32")
    actual = attention_ops.channel_convolution(
        ops.convert_to_tensor(z), ops.convert_to_tensor(kernel), padding
    )
    close(actual, reference.unshared_channel_convolution(z, kernel, padding))


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    ("channels", "groups"), [(12, 1), (12, 3), (12, 4), (12, 12), (1, 1)]
)
def test_grouped_linear(rng, channels, groups, use_bias):
    shapes = [(channels // groups, channels), (channels,)][: 1 + use_bias]
    weights = [rng.normal(size=shape).astype("float32") for shape in shapes]
    z = rng.normal(size=(3, channels)).astype("float32")
    actual = attention_ops.grouped_linear(
        *(ops.convert_to_tensor(array) for array in (z, *weights))
    )
    close(actual, reference.grouped_linear(z, weights, groups))


@over_data_formats
@pytest.mark.parametrize(
    "pooling", ["avg", "max", "avg_max_mean", "avg_max_separate"]
)
def test_attend(rng, data_format, pooling):
    """With two poolings `gates` gets two descriptors, the average first."""
    x = rng.normal(size=shape_of(3, (4, 5), 6, data_format)).astype("float32")
    received = []

    def gates(*descriptors):
        received.extend(descriptors)
        return ops.sigmoid(descriptors[-1])

    y, scores = attention_ops.attend(
        ops.convert_to_tensor(x), gates, data_format, pooling
    )
    both = ("avg", "max")
    expected = [
        reference.squeeze(x, data_format, name)
        for name in (both if pooling == "avg_max_separate" else [pooling])
    ]
    for actual, descriptor in zip(received, expected, strict=True):
        close(actual, descriptor)
    close(scores, reference.sigmoid(expected[-1]))
    close(y, reference.rescale(x, reference.sigmoid(expected[-1]), data_format))


@over_data_formats
def test_attend_with_other_statistics(rng, data_format):
    x = rng.normal(size=shape_of(3, (4, 5), 6, data_format)).astype("float32")
    mask = rng.random((3, 4, 5)) < 0.5

    def variance(inputs, mask):
        """Of the unmasked positions."""
        mean = attention_ops.squeeze(inputs, data_format, "avg", mask)
        difference = inputs - attention_ops.add_spatial_axes(
            mean, inputs, data_format
        )
        return attention_ops.squeeze(
            difference * difference, data_format, "avg", mask
        )

    y, scores = attention_ops.attend(
        ops.convert_to_tensor(x),
        ops.sqrt,
        data_format,
        variance,
        ops.convert_to_tensor(mask),
    )
    positions = reference.channels_last(x, data_format)
    expected = np.stack(
        [
            sample[kept].std(0)
            for sample, kept in zip(positions, mask, strict=True)
        ]
    )
    close(scores, expected)
    close(y, reference.rescale(x, expected, data_format))


@pytest.mark.parametrize("spatial", [(6,), (4, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_spatial_convolution(rng, spatial, size):
    maps = rng.normal(size=(2, 3, *spatial)).astype("float32")
    shape = (size,) * len(spatial) + (3, 1)
    kernel = rng.normal(size=shape).astype("float32")
    actual = attention_ops.spatial_convolution(
        [ops.convert_to_tensor(maps[:, index]) for index in range(3)],
        ops.convert_to_tensor(kernel),
    )
    for sample, outputs in zip(maps, actual, strict=True):
        expected = reference.spatial_convolution(
            np.moveaxis(sample, 0, -1), kernel.astype("float64")
        )
        np.testing.assert_allclose(
            ops.convert_to_numpy(outputs), expected, rtol=1e-4, atol=1e-4
        )


@over_data_formats
@pytest.mark.parametrize("spatial", RANKS, ids=str)
def test_rescale(rng, data_format, spatial):
    x = rng.normal(size=shape_of(3, spatial, 5, data_format)).astype("float32")
    scores = rng.normal(size=(3, 5)).astype("float32")
    actual = attention_ops.rescale(
        ops.convert_to_tensor(x), ops.convert_to_tensor(scores), data_format
    )
    close(actual, reference.rescale(x, scores, data_format))


@pytest.mark.parametrize(
    ("channels", "reduction", "divisor", "expected"),
    [
        (64, 16, 1, 4),
        (8, 16, 1, 1),
        (100, 16, 1, 6),
        (64, 16, 8, 8),
        (100, 16, 8, 8),
        (192, 16, 8, 16),  # 12 is between 8 and 16: ties are rounded up
        (64, 3, 1, 21),
        (25, 10, 5, 5),  # 2.5 is between 0 and 5
    ],
)
def test_bottleneck_width(channels, reduction, divisor, expected):
    assert (
        attention_ops.bottleneck_width(channels, reduction, divisor) == expected
    )


@pytest.mark.parametrize(
    ("gamma", "b"), [(2, 1), (1, 0), (3, -2), (0.5, 4), (2.5, 1.5)]
)
def test_adaptive_kernel_size(gamma, b):
    for channels in range(1, 1025):
        expected = reference.adaptive_kernel_size(channels, gamma, b)
        assert (
            attention_ops.adaptive_kernel_size(channels, gamma, b) == expected
        )
