"""Published networks with channel attention: thin names on one builder."""

import contextlib
import inspect

import keras

from keras_channel_attn.arguments import four_integers
from keras_channel_attn.layers import EfficientChannelAttention, SqueezeExcite
from keras_channel_attn.models.resnet import ResNet
from keras_channel_attn.surgery.insertion import insert_attention

# Arguments of `ResNet`: what timm's names are made of, too.
RESNET18 = {"depths": (2, 2, 2, 2), "block": "basic"}
RESNET34 = {"depths": (3, 4, 6, 3), "block": "basic"}
RESNET50 = {"depths": (3, 4, 6, 3)}
RESNET101 = {"depths": (3, 4, 23, 3)}
RESNET152 = {"depths": (3, 8, 36, 3)}
RESNEXT_32X4D = {"cardinality": 32, "base_width": 4}
SENET = {
    "cardinality": 64,
    "base_width": 4,
    "stem": "deep",
    "shortcut_kernel_size": 3,
    "first_reduction": 2,
}

_USE_BIAS = """\
    use_bias: Boolean, whether the excitation has biases, as in the published
        checkpoints. Defaults to `False`.
"""
_KERNEL_SIZES = """\
    kernel_sizes: Tuple of four odd integers, the kernel of each stage, as in
        the checkpoints of ECANet. Defaults to `None`: the rule of the paper.
"""
# Of the small networks only: the examples are run by the tests.
_EXAMPLE = """

Examples:

>>> network = {title}(input_shape=(64, 64, 3), classes=10)
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

    if kernel_sizes is not None:
        kernel_sizes = four_integers("kernel_sizes", kernel_sizes)

    def attention(channels, stage):
        size = None if kernel_sizes is None else kernel_sizes[stage]
        return EfficientChannelAttention(kernel_size=size, **options)

    return attention


def _with_biases(data_format, dtype, *, use_bias=False):
    return squeeze_excite(
        use_bias=use_bias, data_format=data_format, dtype=dtype
    )


def _with_kernel_sizes(data_format, dtype, *, kernel_sizes=None):
    return efficient_channel_attention(
        kernel_sizes, data_format=data_format, dtype=dtype
    )


def _network(title, first_line, paper, mechanism, documented, **architecture):
    """A function with the signature of `keras.applications`.

    Args:
        title: String, its name.
        first_line, paper: Strings, how its docstring begins.
        mechanism: Callable from `data_format`, `dtype` and the arguments of its
            own that the function has to what `ResNet` takes as attention.
        documented: String, the latter in the docstring.
        **architecture: Arguments of `ResNet`.
    """

    def network(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=title.lower(),  # noqa: B008
        data_format=None,
        dtype=None,
        **own,
    ):
        unknown = [one for one in own if one not in own_parameters]
        if unknown:
            raise TypeError(
                f"{title}() has no argument named {unknown[0]!r}. Its own are "
                f"{own_parameters}, besides those of `keras.applications`."
            )
        return ResNet(
            attention=mechanism(data_format, dtype, **own),
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
            **architecture,
        )

    network.__name__ = network.__qualname__ = title
    *parameters, _ = inspect.signature(network).parameters.values()
    _, _, *own = inspect.signature(mechanism).parameters.values()
    own_parameters = [one.name for one in own]
    network.__signature__ = inspect.Signature([*parameters, *own])
    # Python with -OO has no docstrings.
    _, start, rest = (inspect.getdoc(ResNet) or "").partition("    include_top")
    arguments, end, rest = rest.partition("\nReturns:")
    example = "" if title[-2:] != "18" else _EXAMPLE.format(title=title)
    network.__doc__ = (
        f"{first_line}\n\n{paper}\n\nArgs:\n"
        + (start + arguments).replace('"resnet"', f'"{title.lower()}"')
        + documented
        + end
        + rest.partition("\nExamples:")[0].rstrip()
        + example
    )
    return network


def _se_network(title, label, **architecture):
    return _network(
        title,
        f"{label} with Squeeze-and-Excitation.",
        "[Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).",
        _with_biases,
        _USE_BIAS,
        **architecture,
    )


def _eca_network(title, label, **architecture):
    return _network(
        title,
        f"{label} with Efficient Channel Attention.",
        "[ECA-Net](https://arxiv.org/abs/1910.03151).",
        _with_kernel_sizes,
        _KERNEL_SIZES,
        **architecture,
    )


SEResNet18 = _se_network("SEResNet18", "ResNet-18", **RESNET18)
SEResNet34 = _se_network("SEResNet34", "ResNet-34", **RESNET34)
SEResNet50 = _se_network("SEResNet50", "ResNet-50", **RESNET50)
SEResNet101 = _se_network("SEResNet101", "ResNet-101", **RESNET101)
SEResNet152 = _se_network("SEResNet152", "ResNet-152", **RESNET152)
SEResNeXt50 = _se_network(
    "SEResNeXt50", "ResNeXt-50 (32x4d)", **RESNET50, **RESNEXT_32X4D
)
SEResNeXt101 = _se_network(
    "SEResNeXt101", "ResNeXt-101 (32x4d)", **RESNET101, **RESNEXT_32X4D
)
SENet154 = _se_network(
    "SENet154", "SENet-154: ResNeXt-152 (64x4d)", **RESNET152, **SENET
)
ECAResNet18 = _eca_network("ECAResNet18", "ResNet-18", **RESNET18)
ECAResNet34 = _eca_network("ECAResNet34", "ResNet-34", **RESNET34)
ECAResNet50 = _eca_network("ECAResNet50", "ResNet-50", **RESNET50)
ECAResNet101 = _eca_network("ECAResNet101", "ResNet-101", **RESNET101)
ECAResNet152 = _eca_network("ECAResNet152", "ResNet-152", **RESNET152)


def SEInceptionV3(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="seinceptionv3",
    data_format=None,
    dtype=None,
    use_bias=False,
):
    """Inception-v3 of Keras with Squeeze-and-Excitation after each block.

    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507).

    Args:
        include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation: As `keras.applications.InceptionV3`, whose
            images are prepared by `inception_v3.preprocess_input`; the weights
            are those without attention.
        name: String, of the model. Defaults to `"seinceptionv3"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
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
    with _settings(data_format, dtype):
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
    attention = SqueezeExcite(
        use_bias=use_bias, data_format=data_format, dtype=dtype
    )
    return insert_attention(plain, attention, sites)


@contextlib.contextmanager
def _settings(data_format, dtype):
    """Keras' own, for networks of Keras that have no arguments for them."""
    before = keras.config.image_data_format(), keras.config.dtype_policy()
    try:
        if data_format is not None:
            keras.config.set_image_data_format(data_format)
        if dtype is not None:
            keras.config.set_dtype_policy(dtype)
        yield
    finally:
        # Only what was set: other threads may read them.
        if data_format is not None:
            keras.config.set_image_data_format(before[0])
        if dtype is not None:
            keras.config.set_dtype_policy(before[1])
