"""ResNets, ResNeXts and SENet-154 of the papers on SE and ECA."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_channel_attn.models.architecture import RESNETS, RESNEXT_32X4D, SENET
from keras_channel_attn.models.attention import (
    Attention,
    efficient_channel_attention,
    squeeze_excite,
)
from keras_channel_attn.models.docstrings import document_arguments
from keras_channel_attn.models.resnet import ResNet
from keras_channel_attn.models.torch_weights import Checkpoint


@document_arguments(ResNet, squeeze_excite)
def SEResNet18(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "seresnet18",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    use_bias: bool = False,
) -> keras.Model:
    """ResNet-18 with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).

    Examples:

    >>> network = SEResNet18(input_shape=(64, 64, 3), classes=10)
    >>> network.output_shape
    (None, 10)
    """
    return _network(RESNETS["18"], **locals())


@document_arguments(ResNet, squeeze_excite)
def SEResNet34(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "seresnet34",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    use_bias: bool = False,
) -> keras.Model:
    """ResNet-34 with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).
    """
    return _network(RESNETS["34"], **locals())


@document_arguments(ResNet, squeeze_excite)
def SEResNet50(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "seresnet50",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    use_bias: bool = False,
) -> keras.Model:
    """ResNet-50 with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).
    """
    return _network(RESNETS["50"], **locals())


@document_arguments(ResNet, squeeze_excite)
def SEResNet101(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "seresnet101",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    use_bias: bool = False,
) -> keras.Model:
    """ResNet-101 with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).
    """
    return _network(RESNETS["101"], **locals())


@document_arguments(ResNet, squeeze_excite)
def SEResNet152(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "seresnet152",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    use_bias: bool = False,
) -> keras.Model:
    """ResNet-152 with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).
    """
    return _network(RESNETS["152"], **locals())


@document_arguments(ResNet, squeeze_excite)
def SEResNeXt50(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "seresnext50",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    use_bias: bool = False,
) -> keras.Model:
    """ResNeXt-50 (32x4d) with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).
    """
    return _network(RESNETS["50"] | RESNEXT_32X4D, **locals())


@document_arguments(ResNet, squeeze_excite)
def SEResNeXt101(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "seresnext101",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    use_bias: bool = False,
) -> keras.Model:
    """ResNeXt-101 (32x4d) with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).
    """
    return _network(RESNETS["101"] | RESNEXT_32X4D, **locals())


@document_arguments(ResNet, squeeze_excite)
def SENet154(
    include_top: bool = True,
    weights: Checkpoint | None = None,
    input_tensor: Any = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[[Any], Any] | None = "softmax",
    name: str = "senet154",
    data_format: str | None = None,
    dtype: Any = None,
    *,
    use_bias: bool = False,
) -> keras.Model:
    """SENet-154: ResNeXt-152 (64x4d) with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).
    """
    return _network(RESNETS["154"] | SENET, **locals())


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
    return _network(RESNETS["18"], **locals())


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
    return _network(RESNETS["34"], **locals())


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
    return _network(RESNETS["50"], **locals())


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
    return _network(RESNETS["101"], **locals())


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
    return _network(RESNETS["152"], **locals())


# By the argument that a function above has beside those of `ResNet`.
_ATTENTION: dict[str, Callable[..., Attention]] = {
    "use_bias": squeeze_excite,
    "kernel_sizes": efficient_channel_attention,
}


def _network(architecture: dict[str, Any], **arguments: Any) -> keras.Model:
    """The network for all arguments of a function above: its `locals()`."""
    (option,) = _ATTENTION.keys() & arguments.keys()
    settings = {option: arguments.pop(option)}
    for name in ("data_format", "dtype"):
        settings[name] = arguments[name]
    attention = _ATTENTION[option](**settings)
    return ResNet(attention=attention, **architecture, **arguments)
