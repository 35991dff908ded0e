"""Attention as `ResNet` takes it: functions that return a new layer each."""

from collections.abc import Sequence
from typing import Any

from keras_channel_attn.arguments import four_integers
from keras_channel_attn.layers import EfficientChannelAttention, SqueezeExcite
from keras_channel_attn.models.resnet_blocks import Attention


def squeeze_excite(**options: Any) -> Attention:
    """Squeeze-and-Excitation with these arguments in every block."""

    def attention(channels: int, stage: int) -> SqueezeExcite:
        return SqueezeExcite(**options)

    return attention


def efficient_channel_attention(
    kernel_sizes: Sequence[int] | None = None, **options: Any
) -> Attention:
    """ECA with a kernel size for each stage, or `None` for the paper's rule."""
    if kernel_sizes is not None:
        kernel_sizes = four_integers("kernel_sizes", kernel_sizes)

    def attention(channels: int, stage: int) -> EfficientChannelAttention:
        size = None if kernel_sizes is None else kernel_sizes[stage]
        return EfficientChannelAttention(kernel_size=size, **options)

    return attention
