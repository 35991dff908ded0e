"""Parameter counts and widths that papers and peers published."""

import math

import keras
import pytest
from support import reference

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    models,
)
from keras_channel_attn.ops import adaptive_kernel_size, bottleneck_width

# Fig. 3 of the ECA paper (arXiv 1910.03151), gamma = 2 and b = 1: the first
# and the last number of channels that get a kernel size.
KERNEL_SIZES = [
    (1, 7, 1),
    (8, 127, 3),
    (128, 2047, 5),
    (2048, 32767, 7),
]


def parameters(layer, channels):
    layer.build((None, None, None, channels))
    return layer.count_params()


# The SELayer of moskomule/senet.pytorch (r = 16), two Linear without biases:
# 2 * 512 * 512 / r. Size and r = 8 are the usage example of
# xmu-xiaoma666/External-Attention-pytorch.
@pytest.mark.parametrize(("reduction", "count"), [(16, 32_768), (8, 65_536)])
def test_selayer_of_512_channels(reduction, count):
    layer = SqueezeExcite(reduction=reduction, data_format="channels_first")
    y = layer(keras.ops.ones((50, 512, 7, 7)))
    assert (tuple(y.shape), layer.count_params()) == ((50, 512, 7, 7), count)


def test_semodule_with_max_pool_of_64_channels():
    # The circulating SEModule, r = 3, with biases: 64 // 3 = 21 hidden units,
    # 64 * 21 + 21 + 21 * 64 + 64 parameters.
    layer = SqueezeExcite(reduction=3, use_bias=True, pooling="max")
    assert parameters(layer, 64) == 2_773
    assert tuple(layer.reduce_kernel.shape) == (64, 21)


# SENet paper (arXiv 1709.01507), section 4: 2 C² / r weights in one block; its
# Caffe release adds the biases, C / r and C.
@pytest.mark.parametrize("channels", [64, 512, 2048])
@pytest.mark.parametrize("reduction", [4, 16])
@pytest.mark.parametrize("use_bias", [False, True])
def test_parameters_of_squeeze_excite(channels, reduction, use_bias):
    expected = 2 * channels**2 // reduction
    if use_bias:
        expected += channels // reduction + channels
    layer = SqueezeExcite(reduction=reduction, use_bias=use_bias)
    assert parameters(layer, channels) == expected


@pytest.mark.parametrize(("first", "last", "size"), KERNEL_SIZES)
def test_adaptive_kernel_size(first, last, size):
    sizes = {adaptive_kernel_size(c) for c in range(first, last + 1)}
    assert sizes == {size}


@pytest.mark.parametrize(("first", "last", "size"), KERNEL_SIZES)
def test_parameters_of_efficient_channel_attention(first, last, size):
    # Section 3.2 of the ECA paper: k parameters, no more.
    for channels in (first, last):
        assert parameters(EfficientChannelAttention(), channels) == size


# Table 2 of the ECA paper: the attention of each row for C channels, and its
# parameters; and the eSE of CenterMask (arXiv 1911.06667).
TABLE_2 = {
    "SE": (lambda c: SqueezeExcite(16), lambda c: 2 * c**2 // 16),
    "SE-Var1": (lambda c: SqueezeGate(), lambda c: 0),
    "SE-Var2": (lambda c: LinearSqueezeExcite(groups=c), lambda c: c),
    "SE-Var3": (lambda c: LinearSqueezeExcite(), lambda c: c**2),
    "SE-GC1": (lambda c: LinearSqueezeExcite(16), lambda c: c**2 // 16),
    "SE-GC2": (lambda c: LinearSqueezeExcite(c // 16), lambda c: 16 * c),
    "SE-GC3": (lambda c: LinearSqueezeExcite(c // 8), lambda c: 8 * c),
    "ECA-NS": (
        lambda c: EfficientChannelAttention(3, shared_kernel=False),
        lambda c: 3 * c,
    ),
    "ECA": (lambda c: EfficientChannelAttention(3), lambda c: 3),
    "eSE": (
        lambda c: LinearSqueezeExcite(
            use_bias=True, gate_activation="hard_sigmoid"
        ),
        lambda c: c**2 + c,
    ),
}
over_table_2 = pytest.mark.parametrize(
    ("attention", "count"), TABLE_2.values(), ids=TABLE_2.keys()
)


@over_table_2
@pytest.mark.parametrize("channels", [64, 256, 2048])
def test_parameters_of_each_row(attention, count, channels):
    assert parameters(attention(channels), channels) == count(channels)


def trainable_parameters(network):
    return sum(math.prod(w.shape) for w in network.trainable_weights)


# One backend is enough to count, and this one builds a network quickly.
@pytest.mark.backend("tensorflow")
def test_parameters_of_resnet_50():
    assert trainable_parameters(models.ResNet((3, 4, 6, 3))) == 25_557_032


@pytest.fixture(scope="module")
def without_attention():
    return trainable_parameters(models.ResNet((1, 1, 1, 1)))


@over_table_2
@pytest.mark.backend("tensorflow")
def test_parameters_of_each_row_in_a_network(
    attention, count, without_attention
):
    # As the paper places them: at the end of each block. The sums for all
    # blocks of ResNet-50 are in tests/models/test_networks.py.
    network = models.ResNet(
        (1, 1, 1, 1), attention=lambda channels, stage: attention(channels)
    )
    added = trainable_parameters(network) - without_attention
    assert added == sum(map(count, (256, 512, 1024, 2048)))


def test_clamped_kernel_size_differs_up_to_7_channels():
    # timm 1.0.31, layers/eca.py: max(k, 3).
    clamped = [
        c
        for c in range(1, 32_768)
        if max(reference.adaptive_kernel_size(c), 3) != adaptive_kernel_size(c)
    ]
    assert clamped == [1, 2, 3, 4, 5, 6, 7]


# timm 1.0.31, layers/squeeze_excite.py: a multiple of 8, round_limit = 0.
@pytest.mark.parametrize("reduction", [2, 4, 8, 16, 32])
def test_width_of_timm(reduction):
    for channels in range(1, 4097):
        expected = reference.make_divisible(channels / reduction, 8, 0.0)
        assert bottleneck_width(channels, reduction, divisor=8) == expected


def test_width_of_timm_is_not_the_paper_s():
    # At 64 channels timm has 8 units and the paper 64 / 16: checkpoints of
    # one do not fit the other.
    assert bottleneck_width(64, 16, divisor=8) == 8
    assert bottleneck_width(64, 16) == 4
