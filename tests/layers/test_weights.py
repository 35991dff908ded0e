"""Names, shapes, order and start of every layer's weights."""

import keras
import numpy as np
import pytest
from support.configurations import over

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)


def kernel(*shape):
    return {"kernel": shape}


def two_kernels(channels, units):
    return {
        "reduce_kernel": (channels, units),
        "expand_kernel": (units, channels),
    }


# Of one unit.
NORMALIZATION = {"gamma": (1,), "beta": (1,)}
STATISTICS = {"moving_mean": (1,), "moving_variance": (1,)}

# (layer, arguments, channels, names and shapes in order)
WEIGHTS = {
    "se": (SqueezeExcite, {}, 64, two_kernels(64, 4)),
    "se_bias_divisor": (
        SqueezeExcite,
        {"use_bias": True, "divisor": 8},
        64,
        {
            "reduce_kernel": (64, 8),
            "reduce_bias": (8,),
            "expand_kernel": (8, 64),
            "expand_bias": (64,),
        },
    ),
    "se_bottleneck_units": (
        SqueezeExcite,
        {"bottleneck_units": 5, "reduction": 2, "divisor": 8},
        64,
        two_kernels(64, 5),
    ),
    "se_one_unit": (SqueezeExcite, {"reduction": 64}, 64, two_kernels(64, 1)),
    # Kernel sizes by the rule of the ECA paper (arXiv 1910.03151), fig. 3.
    **{
        f"eca_{channels}": (
            EfficientChannelAttention,
            {},
            channels,
            kernel(size, 1, 1),
        )
        for channels, size in [(4, 1), (64, 3), (256, 5), (2048, 7)]
    },
    **{
        "eca_"
        + "_".join(f"{key}_{value}" for key, value in arguments.items()): (
            EfficientChannelAttention,
            arguments,
            channels,
            kernel(size, 1, 1),
        )
        for arguments, channels, size in [
            ({"kernel_size": 9}, 4, 9),
            ({"kernel_size": 1}, 2048, 1),
            ({"kernel_size": 3, "gamma": 1, "b": 5}, 64, 3),
            ({"gamma": 1, "b": 0}, 64, 7),
            ({"gamma": 0.5, "b": -1}, 64, 11),
        ]
    },
    **{
        f"eca_ns_{channels}": (
            EfficientChannelAttention,
            {"shared_kernel": False},
            channels,
            kernel(size, channels),
        )
        for channels, size in [(64, 3), (2048, 7)]
    },
    "eca_ns_kernel_size": (
        EfficientChannelAttention,
        {"shared_kernel": False, "kernel_size": 9},
        4,
        kernel(9, 4),
    ),
    "linear": (LinearSqueezeExcite, {}, 64, kernel(64, 64)),
    "linear_groups": (LinearSqueezeExcite, {"groups": 16}, 64, kernel(4, 64)),
    "linear_diagonal": (LinearSqueezeExcite, {"groups": 64}, 64, kernel(1, 64)),
    "linear_bias": (
        LinearSqueezeExcite,
        {"groups": 2, "use_bias": True},
        64,
        {"kernel": (32, 64), "bias": (64,)},
    ),
    "gate": (SqueezeGate, {}, 64, {}),
    "cbam": (
        ConvolutionalBlockAttention,
        {},
        64,
        {**two_kernels(64, 4), "spatial_kernel": (7, 7, 2, 1)},
    ),
    "cbam_of_authors": (
        ConvolutionalBlockAttention,
        {"use_bias": True, "batch_normalization": True, "kernel_size": 3},
        64,
        {
            "reduce_kernel": (64, 4),
            "reduce_bias": (4,),
            "expand_kernel": (4, 64),
            "expand_bias": (64,),
            "spatial_kernel": (3, 3, 2, 1),
            **NORMALIZATION,
            **STATISTICS,
        },
    ),
    "scse": (
        ConcurrentSqueezeExcite,
        {},
        64,
        {**two_kernels(64, 4), "spatial_kernel": (64, 1)},
    ),
    "scse_spatial": (
        ConcurrentSqueezeExcite,
        {"combination": "spatial", "use_bias": True},
        64,
        {"spatial_kernel": (64, 1), "spatial_bias": (1,)},
    ),
    "coordinate": (
        CoordinateAttention,
        {"bottleneck_units": 1, "use_bias": True},
        64,
        {
            "reduce_kernel": (64, 1),
            "reduce_bias": (1,),
            **NORMALIZATION,
            "expand_kernel_0": (1, 64),
            "expand_bias_0": (64,),
            "expand_kernel_1": (1, 64),
            "expand_bias_1": (64,),
            **STATISTICS,
        },
    ),
    # The authors' widths (arXiv 2103.02907) of 256 and 512 channels.
    **{
        f"coordinate_{channels}": (
            CoordinateAttention,
            {"batch_normalization": False},
            channels,
            {
                "reduce_kernel": (channels, units),
                "expand_kernel_0": (units, channels),
                "expand_kernel_1": (units, channels),
            },
        )
        for channels, units in [(64, 8), (256, 8), (512, 16)]
    },
    "context": (
        GlobalContext,
        {},
        16,
        {
            "context_kernel": (16, 1),
            "context_bias": (1,),
            "reduce_kernel": (16, 1),
            "reduce_bias": (1,),
            **NORMALIZATION,
            "expand_kernel": (1, 16),
            "expand_bias": (16,),
        },
    ),
}


@pytest.mark.parametrize(
    ("layer_class", "arguments", "channels", "expected"),
    WEIGHTS.values(),
    ids=WEIGHTS.keys(),
)
def test_names_and_shapes_in_order(layer_class, arguments, channels, expected):
    layer = layer_class(**arguments, data_format="channels_last")
    layer.build((None, 7, 7, channels))
    actual = [(weight.name, tuple(weight.shape)) for weight in layer.weights]
    assert actual == list(expected.items())


over_kernels_and_biases = over(
    {
        "se": (SqueezeExcite, {"use_bias": True}),
        "eca": (EfficientChannelAttention, {}),
        "eca_ns": (EfficientChannelAttention, {"shared_kernel": False}),
        "linear": (LinearSqueezeExcite, {"use_bias": True}),
        "cbam": (ConvolutionalBlockAttention, {"use_bias": True}),
        "scse": (ConcurrentSqueezeExcite, {"use_bias": True}),
        "coordinate": (
            CoordinateAttention,
            {"use_bias": True, "batch_normalization": False},
        ),
        "context": (GlobalContext, {"use_bias": True}),
    }
)


def kernels_and_biases(layer):
    """The weights with the name of their kind."""
    kinds = ("kernel", "bias")
    return [
        (weight, kind)
        for weight in layer.weights
        for kind in kinds
        if kind in weight.name
    ]


def built_with(layer_class, arguments, kernels, biases):
    """A layer with `kernels` of its kernels, and `biases` if it has any."""
    options = {f"kernel_{name}": value for name, value in kernels.items()}
    if "use_bias" in arguments:
        options |= {f"bias_{name}": value for name, value in biases.items()}
    layer = layer_class(**arguments, **options)
    layer.build((None, 7, 64))
    return layer


@over_kernels_and_biases
def test_regularizers_and_constraints(layer_class, arguments):
    layer = built_with(
        layer_class,
        arguments,
        {"regularizer": "l2", "constraint": "non_neg"},
        {"regularizer": "l1", "constraint": "max_norm"},
    )
    for weight, kind in kernels_and_biases(layer):
        classes = [
            type(value).__name__
            for value in (weight.regularizer, weight.constraint)
        ]
        expected = ["L1", "MaxNorm"]
        if kind == "kernel":
            expected = ["L2", "NonNeg"]
        assert classes == expected, weight.name


@over_kernels_and_biases
def test_initializers(layer_class, arguments):
    layer = built_with(
        layer_class,
        arguments,
        {"initializer": keras.initializers.Constant(2)},
        {"initializer": keras.initializers.Constant(3)},
    )
    for weight, kind in kernels_and_biases(layer):
        expected = 2 if kind == "kernel" else 3
        array = keras.ops.convert_to_numpy(weight)
        np.testing.assert_array_equal(array, expected, weight.name)


@over(
    {
        "ECA": (EfficientChannelAttention, {"kernel_size": 5}),
        "ECA-NS": (
            EfficientChannelAttention,
            {"kernel_size": 5, "shared_kernel": False},
        ),
        "SE-Var3": (LinearSqueezeExcite, {}),
        "SE-GC": (LinearSqueezeExcite, {"groups": 16}),
        "SE-Var2": (LinearSqueezeExcite, {"groups": 512}),
    }
)
def test_kernels_start_with_the_variance_of_descriptors_kept(
    rng, layer_class, arguments
):
    """Otherwise some rows of the ECA paper's table 2 would start with all
    gates at one half."""
    descriptors = rng.normal(size=(64, 512)).astype("float32")
    variances = []
    for seed in range(8):
        keras.utils.set_random_seed(seed)
        layer = layer_class(**arguments, data_format="channels_last")
        layer.build((None, 1, 512))
        logits = layer.excite(keras.ops.convert_to_tensor(descriptors))
        variances.append(np.var(keras.ops.convert_to_numpy(logits)))
    assert 0.5 < np.mean(variances) < 1.5
