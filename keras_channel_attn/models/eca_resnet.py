"""ResNets with Efficient Channel Attention."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_channel_attn.models.architecture import (
    RESNET18,
    RESNET34,
    RESNET50,
    RESNET101,
    RESNET152,
)
from keras_channel_attn.models.attention import efficient_channel_attention
from keras_channel_attn.models.docstrings import document_arguments
from keras_channel_attn.models.resnet import ResNet
from keras_channel_attn.models.torch_weights import Checkpoint


@document_arguments(ResNet, efficient_channel_attention)
def ECAResNet18(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "ecaresnet18",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    kernel_sizes: Sequence[int] | None = None,
) -> keras.Model:
    """ResNet-18 with Efficient Channel Attention.

    [ECA-Net](https://arxiv.org/abs/1910.03151).

    Examples:

    >>> network = ECAResNet18(input_shape=(64, 64, 3), classes=10)
    >>> network.output_shape
    (None, 10)
    """
    return _network(RESNET18, **locals())


@document_arguments(ResNet, efficient_channel_attention)
def ECAResNet34(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "ecaresnet34",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    kernel_sizes: Sequence[int] | None = None,
) -> keras.Model:
    """ResNet-34 with Efficient Channel Attention.

    [ECA-Net](https://arxiv.org/abs/1910.03151).
    """
    return _network(RESNET34, **locals())


@document_arguments(ResNet, efficient_channel_attention)
def ECAResNet50(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "ecaresnet50",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    kernel_sizes: Sequence[int] | None = None,
) -> keras.Model:
    """ResNet-50 with Efficient Channel Attention.

    [ECA-Net](https://arxiv.org/abs/1910.03151).
    """
    return _network(RESNET50, **locals())


@document_arguments(ResNet, efficient_channel_attention)
def ECAResNet101(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "ecaresnet101",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    kernel_sizes: Sequence[int] | None = None,
) -> keras.Model:
    """ResNet-101 with Efficient Channel Attention.

    [ECA-Net](https://arxiv.org/abs/1910.03151).
    """
    return _network(RESNET101, **locals())


@document_arguments(ResNet, efficient_channel_attention)
def ECAResNet152(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "ecaresnet152",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    kernel_sizes: Sequence[int] | None = None,
) -> keras.Model:
    """ResNet-152 with Efficient Channel Attention.

    [ECA-Net](https://arxiv.org/abs/1910.03151).
    """
    return _network(RESNET152, **locals())


def _network(
    architecture: dict[str, Any],
    kernel_sizes: Sequence[int] | None,
    **arguments: Any,
) -> keras.Model:
    """The network for all arguments of a function above: its `locals()`."""
    settings = {name: arguments[name] for name in ("data_format", "dtype")}
    attention = efficient_channel_attention(kernel_sizes, **settings)
    return ResNet(attention=attention, **architecture, **arguments)
