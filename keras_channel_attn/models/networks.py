"""Published networks with channel attention: thin names on one builder."""

import keras

from keras_channel_attn.insertion import insert_attention
from keras_channel_attn.layers import EfficientChannelAttention, SqueezeExcite
from keras_channel_attn.models.resnet import ResNet

_BASIC_18 = {"depths": (2, 2, 2, 2), "block": "basic"}
_BASIC_34 = {"depths": (3, 4, 6, 3), "block": "basic"}
_50 = {"depths": (3, 4, 6, 3)}
_101 = {"depths": (3, 4, 23, 3)}
_152 = {"depths": (3, 8, 36, 3)}
_RESNEXT = {"cardinality": 32, "base_width": 4}

_ARGUMENTS = """
        include_top: Boolean, whether to end with pooling and a dense layer.
            Defaults to `True`.
        weights: `None`, random ones, or the path of a file: `.weights.h5`, or
            a checkpoint of torch, see `load_torch_weights`. Defaults to `None`.
        input_tensor: Tensor to use as input. Defaults to `None`.
        input_shape: Tuple of integers without the batch. Sizes may be `None`.
            Defaults to `None`: any size, three channels.
        pooling: Without top: `None`, the last features; `"avg"` or `"max"`.
            Defaults to `None`.
        classes: Integer, outputs of the dense layer. Defaults to `1000`.
        classifier_activation: Name or callable; `None` for logits. Defaults to
            `"softmax"`.
        name: String, of the model. Defaults to that of the function, in small
            letters.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
"""
_USE_BIAS = """\
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.
"""
_KERNEL_SIZES = """\
        kernel_sizes: Tuple of four odd integers, the kernel of each stage, as
            in the checkpoints of ECANet. Defaults to `None`: the rule of the
            paper.
"""
_RETURNS = """
    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError: For an argument that is not one of the above.
    """
# Of the small networks only: the examples are run by the tests.
_EXAMPLE = """
    Examples:

    >>> network = {name}(input_shape=(64, 64, 3), classes=10)
    >>> network.output_shape
    (None, 10)
    """


def squeeze_excite(reduction=16, use_bias=False, divisor=1, **options):
    """Attention for `ResNet`: Squeeze-and-Excitation with these arguments."""

    def attention(channels, stage):
        return SqueezeExcite(
            reduction=reduction, use_bias=use_bias, divisor=divisor, **options
        )

    return attention


def efficient_channel_attention(kernel_sizes=None, **options):
    """Attention for `ResNet`: ECA, with a kernel size for each stage or the
    rule."""

    def attention(channels, stage):
        size = None if kernel_sizes is None else kernel_sizes[stage]
        return EfficientChannelAttention(kernel_size=size, **options)

    return attention


def _se_network(title, label, **architecture):
    def network(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=None,
        data_format=None,
        dtype=None,
        use_bias=False,
    ):
        return ResNet(
            attention=squeeze_excite(
                use_bias=use_bias, data_format=data_format, dtype=dtype
            ),
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name or title.lower(),
            data_format=data_format,
            dtype=dtype,
            **architecture,
        )

    return _described(
        network,
        title,
        f"""{label} with Squeeze-and-Excitation.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).

    Args:{_ARGUMENTS}{_USE_BIAS}""",
    )


def _eca_network(title, label, **architecture):
    def network(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=None,
        data_format=None,
        dtype=None,
        kernel_sizes=None,
    ):
        return ResNet(
            attention=efficient_channel_attention(
                kernel_sizes, data_format=data_format, dtype=dtype
            ),
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name or title.lower(),
            data_format=data_format,
            dtype=dtype,
            **architecture,
        )

    return _described(
        network,
        title,
        f"""{label} with Efficient Channel Attention.

    [ECA-Net](https://arxiv.org/abs/1910.03151).

    Args:{_ARGUMENTS}{_KERNEL_SIZES}""",
    )


def _described(network, title, text):
    network.__name__ = network.__qualname__ = title
    network.__doc__ = text + _RETURNS
    if title.endswith("18"):
        network.__doc__ += _EXAMPLE.format(name=title)
    return network


SEResNet18 = _se_network("SEResNet18", "ResNet-18", **_BASIC_18)
SEResNet34 = _se_network("SEResNet34", "ResNet-34", **_BASIC_34)
SEResNet50 = _se_network("SEResNet50", "ResNet-50", **_50)
SEResNet101 = _se_network("SEResNet101", "ResNet-101", **_101)
SEResNet152 = _se_network("SEResNet152", "ResNet-152", **_152)
SEResNeXt50 = _se_network(
    "SEResNeXt50", "ResNeXt-50 (32x4d)", **_50, **_RESNEXT
)
SEResNeXt101 = _se_network(
    "SEResNeXt101", "ResNeXt-101 (32x4d)", **_101, **_RESNEXT
)
SENet154 = _se_network(
    "SENet154",
    "SENet-154: ResNeXt-152 (64x4d)",
    **_152,
    cardinality=64,
    base_width=4,
    stem="deep",
    shortcut_kernel_size=3,
    first_reduction=2,
)
ECAResNet18 = _eca_network("ECAResNet18", "ResNet-18", **_BASIC_18)
ECAResNet34 = _eca_network("ECAResNet34", "ResNet-34", **_BASIC_34)
ECAResNet50 = _eca_network("ECAResNet50", "ResNet-50", **_50)
ECAResNet101 = _eca_network("ECAResNet101", "ResNet-101", **_101)
ECAResNet152 = _eca_network("ECAResNet152", "ResNet-152", **_152)


def SEInceptionV3(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="seinceptionv3",
    use_bias=False,
):
    """Inception-v3 of Keras with Squeeze-and-Excitation after each block.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).

    Args:
        include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation: As `keras.applications.InceptionV3`; the
            weights are those without attention.
        name: String, of the model. Defaults to `"seinceptionv3"`.
        use_bias: Boolean, whether the excitation has biases. Defaults to
            `False`.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError: As `keras.applications.InceptionV3`.

    Examples:

    >>> network = SEInceptionV3(input_shape=(96, 96, 3), include_top=False)
    >>> sum(isinstance(layer, SqueezeExcite) for layer in network.layers)
    11
    """
    plain = keras.applications.InceptionV3(
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
    # Two more layers join branches inside the ninth and the tenth block.
    sites = [f"mixed{block}" for block in range(11)]
    return insert_attention(plain, SqueezeExcite(use_bias=use_bias), sites)
