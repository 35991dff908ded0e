"""Residual networks with channel attention: the one builder of all of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_channel_attn.models.architecture import Architecture
from keras_channel_attn.models.attention import Attention, check_attention
from keras_channel_attn.models.layer_names import CLASSIFIER
from keras_channel_attn.models.network import build_network
from keras_channel_attn.models.network_layers import Layers
from keras_channel_attn.models.resnet_blocks import (
    Block,
    apply_block,
    apply_stem,
)
from keras_channel_attn.models.torch_weights import Checkpoint


def ResNet(
    depths: Sequence[int],
    attention: Attention | None = None,
    block: str = "bottleneck",
    stem: str = "plain",
    stem_width: int = 64,
    stem_pool: str = "max",
    average_shortcut: bool = False,
    shortcut_kernel_size: int = 1,
    cardinality: int = 1,
    base_width: int = 64,
    first_reduction: int = 1,
    antialias: bool = False,
    stride_first: bool = False,
    activation_before_attention: bool = False,
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "resnet",
    data_format: str | None = None,
    dtype: Any = None,
) -> keras.Model:
    """A ResNet, ResNeXt or SENet with attention at the end of each branch.

    [Deep Residual Learning](https://arxiv.org/abs/1512.03385), with the stems
    and shortcuts of [Bag of Tricks](https://arxiv.org/abs/1812.01187).

    Args:
        depths: Tuple of four integers, the number of blocks in each stage.
        attention: Callable that takes the number of channels and the index of
            the stage, 0 to 3, and returns a new layer, which has a
            `data_format` and a `dtype` of its own, or `None`. Defaults to
            `None`, no attention.
        block: `"basic"`, two 3x3 convolutions, or `"bottleneck"`. Defaults to
            `"bottleneck"`.
        stem: `"plain"`, one 7x7 convolution; `"deep"`, three 3x3 convolutions;
            or `"tiered"`, three of increasing width. Defaults to `"plain"`.
        stem_width: Integer, channels of a deep or tiered stem. Its last
            convolution has twice as many. Defaults to `64`.
        stem_pool: `"max"`; `"max_ceil"`, without symmetric padding and with the
            size rounded up, as in Caffe; or `"convolution"`, a strided
            convolution. With `antialias=True` the first two are an average.
            Defaults to `"max"`.
        average_shortcut: Boolean, whether shortcuts that halve the size begin
            with 2x2 average pooling. Defaults to `False`.
        shortcut_kernel_size: Odd integer, kernel size of the convolution in
            shortcuts that halve the size. Not used with
            `average_shortcut=True`. Defaults to `1`.
        cardinality: Integer, groups of the 3x3 convolution in a bottleneck.
            Defaults to `1`.
        base_width: Integer, width of each group in the bottlenecks of the
            first stage. Defaults to `64`.
        first_reduction: Integer, the width of a block divided by that of its
            first convolution. Defaults to `1`.
        antialias: Boolean, whether 2x2 average pooling replaces the stride in
            branches, and the maximum pooling in the stem. Defaults to `False`.
        stride_first: Boolean, whether the first convolution of a bottleneck
            has the stride, as in Caffe. Defaults to `False`, the second.
        activation_before_attention: Boolean, whether there is a ReLU between
            the last normalization of a branch and its attention. Defaults to
            `False`.
        include_top: Boolean, whether to end with global average pooling and a
            dense layer. Defaults to `True`.
        weights: `None`, random initialization; the path of a `.weights.h5`
            file; or a torch checkpoint, as `load_torch_weights` takes it. The
            dense layer of a torch checkpoint is ignored if `include_top` is
            `False`. Defaults to `None`.
        input_tensor: Keras tensor to use as the input. Defaults to `None`.
        input_shape: Tuple of integers, the input shape without the batch. Sizes
            may be `None`. Not used with `input_tensor`. Defaults to `None`: any
            size, three channels.
        pooling: Output if `include_top` is `False`: `None`, the last feature
            map; `"avg"` or `"max"`, its global pooling. Defaults to `None`.
        classes: Integer, units of the dense layer, if there is one. Defaults to
            `1000`.
        classifier_activation: Name or callable, activation of the dense layer;
            `None` for logits. Defaults to `"softmax"`.
        name: String, name of the model. Defaults to `"resnet"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError: If an argument is invalid, or if a checkpoint
            does not fit.
        FileNotFoundError, ImportError: As `load_torch_weights`.

    Examples:

    >>> network = ResNet((1, 1, 1, 1), input_shape=(64, 64, 3), classes=10)
    >>> network.output_shape
    (None, 10)
    """
    architecture = Architecture(locals())
    check_attention(attention)

    def features(layers: Layers, x: Any) -> Any:
        layers = dataclasses.replace(layers, antialias=architecture.antialias)
        x = apply_stem(layers, x, architecture)
        for stage, depth in enumerate(architecture.depths):
            for index in range(depth):
                position = Block(architecture, stage, index)
                x = apply_block(layers, x, position, attention)
        return x

    return build_network(
        features,
        blocks=sum(architecture.depths),
        data_format=data_format,
        dtype=dtype,
        classifier=CLASSIFIER,
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
