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
from keras_channel_attn.models.resnet import ResNet
from keras_channel_attn.models.torch_weights import Checkpoint


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

    Args:
        include_top: Boolean, whether to end with global average pooling and a
            dense layer. Defaults to `True`.
        weights: `None`, random initialization; the path of a `.weights.h5`
            file; or a torch checkpoint, as `load_torch_weights` takes it.
            Defaults to `None`.
        input_tensor: Keras tensor to use as the input. Defaults to `None`.
        input_shape: Tuple of integers, the input shape without the batch.
            Defaults to `None`: any size, three channels.
        pooling: Output if `include_top` is `False`: `None`, the last feature
            map; `"avg"` or `"max"`, its global pooling. Defaults to `None`.
        classes: Integer, units of the dense layer. Defaults to `1000`.
        classifier_activation: Name or callable, activation of the dense layer;
            `None` for logits. Defaults to `"softmax"`.
        name: String, name of the model. Defaults to `"ecaresnet18"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        kernel_sizes: Tuple of four odd integers, the kernel size in each
            stage. The published checkpoints need theirs: see the documentation
            of published networks. Defaults to `None`: the rule of the paper.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.

    Examples:

    >>> network = ECAResNet18(input_shape=(64, 64, 3), classes=10)
    >>> network.output_shape
    (None, 10)
    """
    return _network(
        RESNET18,
        kernel_sizes,
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        data_format=data_format,
        dtype=dtype,
    )


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

    Args:
        include_top: Boolean, whether to end with global average pooling and a
            dense layer. Defaults to `True`.
        weights: `None`, random initialization; the path of a `.weights.h5`
            file; or a torch checkpoint, as `load_torch_weights` takes it.
            Defaults to `None`.
        input_tensor: Keras tensor to use as the input. Defaults to `None`.
        input_shape: Tuple of integers, the input shape without the batch.
            Defaults to `None`: any size, three channels.
        pooling: Output if `include_top` is `False`: `None`, the last feature
            map; `"avg"` or `"max"`, its global pooling. Defaults to `None`.
        classes: Integer, units of the dense layer. Defaults to `1000`.
        classifier_activation: Name or callable, activation of the dense layer;
            `None` for logits. Defaults to `"softmax"`.
        name: String, name of the model. Defaults to `"ecaresnet34"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        kernel_sizes: Tuple of four odd integers, the kernel size in each
            stage. The published checkpoints need theirs: see the documentation
            of published networks. Defaults to `None`: the rule of the paper.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET34,
        kernel_sizes,
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        data_format=data_format,
        dtype=dtype,
    )


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

    Args:
        include_top: Boolean, whether to end with global average pooling and a
            dense layer. Defaults to `True`.
        weights: `None`, random initialization; the path of a `.weights.h5`
            file; or a torch checkpoint, as `load_torch_weights` takes it.
            Defaults to `None`.
        input_tensor: Keras tensor to use as the input. Defaults to `None`.
        input_shape: Tuple of integers, the input shape without the batch.
            Defaults to `None`: any size, three channels.
        pooling: Output if `include_top` is `False`: `None`, the last feature
            map; `"avg"` or `"max"`, its global pooling. Defaults to `None`.
        classes: Integer, units of the dense layer. Defaults to `1000`.
        classifier_activation: Name or callable, activation of the dense layer;
            `None` for logits. Defaults to `"softmax"`.
        name: String, name of the model. Defaults to `"ecaresnet50"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        kernel_sizes: Tuple of four odd integers, the kernel size in each
            stage. The published checkpoints need theirs: see the documentation
            of published networks. Defaults to `None`: the rule of the paper.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET50,
        kernel_sizes,
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        data_format=data_format,
        dtype=dtype,
    )


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

    Args:
        include_top: Boolean, whether to end with global average pooling and a
            dense layer. Defaults to `True`.
        weights: `None`, random initialization; the path of a `.weights.h5`
            file; or a torch checkpoint, as `load_torch_weights` takes it.
            Defaults to `None`.
        input_tensor: Keras tensor to use as the input. Defaults to `None`.
        input_shape: Tuple of integers, the input shape without the batch.
            Defaults to `None`: any size, three channels.
        pooling: Output if `include_top` is `False`: `None`, the last feature
            map; `"avg"` or `"max"`, its global pooling. Defaults to `None`.
        classes: Integer, units of the dense layer. Defaults to `1000`.
        classifier_activation: Name or callable, activation of the dense layer;
            `None` for logits. Defaults to `"softmax"`.
        name: String, name of the model. Defaults to `"ecaresnet101"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        kernel_sizes: Tuple of four odd integers, the kernel size in each
            stage. The published checkpoints need theirs: see the documentation
            of published networks. Defaults to `None`: the rule of the paper.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET101,
        kernel_sizes,
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        data_format=data_format,
        dtype=dtype,
    )


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

    Args:
        include_top: Boolean, whether to end with global average pooling and a
            dense layer. Defaults to `True`.
        weights: `None`, random initialization; the path of a `.weights.h5`
            file; or a torch checkpoint, as `load_torch_weights` takes it.
            Defaults to `None`.
        input_tensor: Keras tensor to use as the input. Defaults to `None`.
        input_shape: Tuple of integers, the input shape without the batch.
            Defaults to `None`: any size, three channels.
        pooling: Output if `include_top` is `False`: `None`, the last feature
            map; `"avg"` or `"max"`, its global pooling. Defaults to `None`.
        classes: Integer, units of the dense layer. Defaults to `1000`.
        classifier_activation: Name or callable, activation of the dense layer;
            `None` for logits. Defaults to `"softmax"`.
        name: String, name of the model. Defaults to `"ecaresnet152"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        kernel_sizes: Tuple of four odd integers, the kernel size in each
            stage. The published checkpoints need theirs: see the documentation
            of published networks. Defaults to `None`: the rule of the paper.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET152,
        kernel_sizes,
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        data_format=data_format,
        dtype=dtype,
    )


def _network(
    architecture: dict[str, Any],
    kernel_sizes: Sequence[int] | None,
    **arguments: Any,
) -> keras.Model:
    attention = efficient_channel_attention(
        kernel_sizes,
        data_format=arguments["data_format"],
        dtype=arguments["dtype"],
    )
    return ResNet(attention=attention, **architecture, **arguments)
