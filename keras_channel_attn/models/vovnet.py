"""VoVNet and its successors with attention.

[VoVNet](https://arxiv.org/abs/1904.09730), and
[CenterMask](https://arxiv.org/abs/1911.06667), which adds eSE and shortcuts.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_channel_attn.arguments import data_format_or_global, four_integers
from keras_channel_attn.models.attention import Attention, attention_layer
from keras_channel_attn.models.layer_names import CAFFE_POOL_PADDING
from keras_channel_attn.models.network import build_network
from keras_channel_attn.models.network_layers import Convolution, Layers


@dataclasses.dataclass(frozen=True)
class _Stage:
    """Blocks of one width: what they are made of."""

    index: int
    depth: int
    width: int
    channels: int
    convolutions: int
    depthwise: bool
    residual: bool

    def name(self, part: str) -> str:
        return f"stages_{self.index}_{part}"


def VoVNet(
    depths: Sequence[int],
    widths: Sequence[int] = (128, 160, 192, 224),
    channels: Sequence[int] = (256, 512, 768, 1024),
    stem_channels: int = 128,
    convolutions: int = 5,
    depthwise: bool = False,
    residual: bool = True,
    attention: Attention | None = None,
    data_format: str | None = None,
    dtype: Any = None,
    **options: Any,
) -> keras.Model:
    """A VoVNet: each block concatenates the outputs of its convolutions.

    Args:
        depths: Tuple of four integers, the number of blocks in each stage.
        widths: Tuple of four integers, channels of the 3x3 convolutions.
            Defaults to `(128, 160, 192, 224)`.
        channels: Tuple of four integers, channels of the outputs of blocks.
            Defaults to `(256, 512, 768, 1024)`.
        stem_channels: Integer, channels of the stem. Defaults to `128`.
        convolutions: Integer, 3x3 convolutions in a block. Defaults to `5`.
        depthwise: Boolean, whether the 3x3 convolutions are depthwise, each
            before a 1x1 convolution. Defaults to `False`.
        residual: Boolean, whether all blocks of a stage but the first have a
            shortcut. Defaults to `True`.
        attention: Callable that takes the number of channels and the index of
            the stage, 0 to 3, and returns a new layer or `None`. It is called
            for the last block of each stage. Defaults to `None`.
        data_format, dtype: As in `ResNet`.
        **options: Other arguments of `build_network`.

    Returns:
        A functional `keras.Model`.
    """
    depths = four_integers("depths", depths)
    layers = Layers(data_format_or_global(data_format), dtype)
    sizes = zip(depths, widths, channels, strict=True)
    stages = [
        _Stage(index, *size, convolutions, depthwise, residual)
        for index, size in enumerate(sizes)
    ]

    def features(inputs: Any) -> Any:
        x = _apply_stem(layers, inputs, stem_channels, depthwise)
        for stage in stages:
            x = _apply_stage(layers, x, stage, attention)
        return x

    return build_network(layers, features, blocks=sum(depths), **options)


def _apply_stem(layers: Layers, x: Any, channels: int, depthwise: bool) -> Any:
    names = "stem_0_conv", "stem_0_bn"
    x = layers.convolution_unit(x, Convolution(64, 3, stride=2), names)
    x = _apply_unit(layers, x, Convolution(64, 3), "stem_1", depthwise)
    last = Convolution(channels, 3, stride=2)
    return _apply_unit(layers, x, last, "stem_2", depthwise)


def _apply_stage(
    layers: Layers, x: Any, stage: _Stage, attention: Attention | None
) -> Any:
    if stage.index > 0:
        # The size is rounded up. Zeros do not change a maximum of values that
        # a ReLU returned.
        pool = stage.name("pool")
        x = layers.apply(
            keras.layers.ZeroPadding2D,
            x,
            f"{pool}_pad",
            padding=CAFFE_POOL_PADDING,
        )
        x = layers.apply(
            keras.layers.MaxPooling2D, x, pool, pool_size=3, strides=2
        )
    for index in range(stage.depth):
        block = stage.name(f"blocks_{index}")
        shortcut = x
        x = _apply_block(layers, x, stage, block)
        if index == stage.depth - 1:
            gating = attention_layer(
                attention, stage.channels, stage.index, f"{block}_attn"
            )
            x = x if gating is None else gating(x)
        if stage.residual and index > 0:
            x = layers.apply(keras.layers.Add, [x, shortcut], f"{block}_add")
    return x


def _apply_block(layers: Layers, x: Any, stage: _Stage, block: str) -> Any:
    outputs = [x]
    if stage.depthwise and x.shape[layers.channel_axis] != stage.width:
        names = f"{block}_conv_reduction_conv", f"{block}_conv_reduction_bn"
        x = layers.convolution_unit(x, Convolution(stage.width, 1), names)
    for index in range(stage.convolutions):
        name = f"{block}_conv_mid_{index}"
        convolution = Convolution(stage.width, 3)
        x = _apply_unit(layers, x, convolution, name, stage.depthwise)
        outputs.append(x)
    x = layers.apply(
        keras.layers.Concatenate,
        outputs,
        f"{block}_concatenate",
        axis=layers.channel_axis,
    )
    names = f"{block}_conv_concat_conv", f"{block}_conv_concat_bn"
    return layers.convolution_unit(x, Convolution(stage.channels, 1), names)


def _apply_unit(
    layers: Layers, x: Any, convolution: Convolution, name: str, depthwise: bool
) -> Any:
    """Convolution, normalization and activation; the former in two parts."""
    if not depthwise:
        names = f"{name}_conv", f"{name}_bn"
        return layers.convolution_unit(x, convolution, names)
    x = layers.depthwise_convolution(
        x, convolution.size, convolution.stride, f"{name}_conv_dw"
    )
    pointwise = Convolution(convolution.filters, 1)
    names = f"{name}_conv_pw", f"{name}_bn"
    return layers.convolution_unit(x, pointwise, names)
