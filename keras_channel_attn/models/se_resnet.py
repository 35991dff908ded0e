"""ResNets, ResNeXts and SENet-154 with Squeeze-and-Excitation."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_channel_attn.models.architecture import (
    RESNET18,
    RESNET34,
    RESNET50,
    RESNET101,
    RESNET152,
    RESNEXT_32X4D,
    SENET,
)
from keras_channel_attn.models.attention import squeeze_excite
from keras_channel_attn.models.resnet import ResNet
from keras_channel_attn.models.torch_weights import Checkpoint


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
        name: String, name of the model. Defaults to `"seresnet18"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.

    Examples:

    >>> network = SEResNet18(input_shape=(64, 64, 3), classes=10)
    >>> network.output_shape
    (None, 10)
    """
    return _network(
        RESNET18,
        use_bias,
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
        name: String, name of the model. Defaults to `"seresnet34"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET34,
        use_bias,
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
        name: String, name of the model. Defaults to `"seresnet50"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET50,
        use_bias,
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
        name: String, name of the model. Defaults to `"seresnet101"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET101,
        use_bias,
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
        name: String, name of the model. Defaults to `"seresnet152"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET152,
        use_bias,
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
        name: String, name of the model. Defaults to `"seresnext50"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET50 | RESNEXT_32X4D,
        use_bias,
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
        name: String, name of the model. Defaults to `"seresnext101"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET101 | RESNEXT_32X4D,
        use_bias,
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
        name: String, name of the model. Defaults to `"senet154"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet`.
    """
    return _network(
        RESNET152 | SENET,
        use_bias,
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
    architecture: dict[str, Any], use_bias: bool, **arguments: Any
) -> keras.Model:
    attention = squeeze_excite(
        use_bias=use_bias,
        data_format=arguments["data_format"],
        dtype=arguments["dtype"],
    )
    return ResNet(attention=attention, **architecture, **arguments)
