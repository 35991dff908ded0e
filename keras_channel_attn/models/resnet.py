"""Residual networks with channel attention: one builder.

The layers have the names of the modules in torch's ResNets, with underscores
for dots, so that checkpoints find them: `layer1_0_conv1`, `layer1_0_se`.
"""

import os

import keras
from keras import layers

from keras_channel_attn.arguments import (
    boolean,
    data_format_or_global,
    four_integers,
    odd_integer,
    one_of,
    positive_integer,
)
from keras_channel_attn.models.torch_weights import load_torch_weights

_CHANNELS = (64, 128, 256, 512)
_EXPANSION = 4


def ResNet(
    depths,
    attention=None,
    block="bottleneck",
    stem="plain",
    stem_width=64,
    stem_pool="max",
    average_shortcut=False,
    shortcut_kernel_size=1,
    cardinality=1,
    base_width=64,
    first_reduction=1,
    antialias=False,
    stride_first=False,
    activation_before_attention=False,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="resnet",
    data_format=None,
    dtype=None,
):
    """A ResNet, ResNeXt or SENet with attention at the end of each branch.

    [Deep Residual Learning](https://arxiv.org/abs/1512.03385), with the stems
    and shortcuts of [Bag of Tricks](https://arxiv.org/abs/1812.01187).

    Args:
        depths: Tuple of four integers, the number of blocks of each stage.
        attention: Callable that takes the number of channels and the index of
            the stage, 0 to 3, and returns a new layer or `None`. Defaults to
            `None`, no attention.
        block: `"basic"`, two 3x3 convolutions, or `"bottleneck"`. Defaults to
            `"bottleneck"`.
        stem: `"plain"`, a 7x7 convolution; `"deep"`, three 3x3 ones; or
            `"tiered"`, three of rising width. Defaults to `"plain"`.
        stem_width: Integer, channels of a deep stem: the last of its three
            convolutions has twice as many. Defaults to `64`.
        stem_pool: `"max"`; `"max_ceil"`, without padding and with the size
            rounded up, as in Caffe; or `"convolution"`. Defaults to `"max"`.
        average_shortcut: Boolean, whether shortcuts that halve the size take an
            average of 2x2 first. Defaults to `False`.
        shortcut_kernel_size: Odd integer, kernel of shortcuts that halve the
            size. Defaults to `1`.
        cardinality: Integer, groups of the 3x3 convolution in bottlenecks.
            Defaults to `1`.
        base_width: Integer, width of a bottleneck per group, for 64 channels.
            Defaults to `64`.
        first_reduction: Integer, by which the first convolution of a block is
            narrower. Defaults to `1`.
        antialias: Boolean, whether branches are halved by an average of 2x2
            instead of a stride, and the stem by one instead of a maximum.
            Defaults to `False`.
        stride_first: Boolean, whether the first convolution of a bottleneck
            has the stride, as in Caffe. Defaults to `False`, the second.
        activation_before_attention: Boolean, whether a ReLU stands between the
            last normalization and attention. Defaults to `False`.
        include_top: Boolean, whether to end with pooling and a dense layer.
            Defaults to `True`.
        weights: `None`, random ones; the path of a `.weights.h5`; or a
            checkpoint of torch, what `load_torch_weights` takes, whose dense
            layer is left out without top. Defaults to `None`.
        input_tensor: Tensor to use as input. Defaults to `None`.
        input_shape: Tuple of integers without the batch. Sizes may be `None`.
            Defaults to `None`: any size, three channels.
        pooling: Without top: `None`, the last features; `"avg"` or `"max"`.
            Defaults to `None`.
        classes: Integer, outputs of the dense layer. Defaults to `1000`.
        classifier_activation: Name or callable; `None` for logits. Defaults to
            `"softmax"`.
        name: String, of the model. Defaults to `"resnet"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.

    Returns:
        A functional `keras.Model`.

    Raises:
        TypeError, ValueError: For an argument that is not one of the above.
        RecursionError: If the network is as deep as timm's `seresnet269d` and
            Python's recursion limit is the usual one.

    Examples:

    >>> network = ResNet((1, 1, 1, 1), input_shape=(64, 64, 3), classes=10)
    >>> network.output_shape
    (None, 10)
    """
    depths = four_integers("depths", depths)
    classes = positive_integer("classes", classes)
    _check_attention(attention)
    _check_bottleneck_alone(
        block,
        cardinality=(cardinality, 1),
        base_width=(base_width, 64),
        stride_first=(stride_first, False),
    )
    odd_integer("shortcut_kernel_size", shortcut_kernel_size)
    for argument, value in (
        ("stem_width", stem_width),
        ("cardinality", cardinality),
        ("base_width", base_width),
        ("first_reduction", first_reduction),
    ):
        positive_integer(argument, value)
    for argument, value in (
        ("include_top", include_top),
        ("average_shortcut", average_shortcut),
        ("antialias", antialias),
        ("stride_first", stride_first),
        ("activation_before_attention", activation_before_attention),
    ):
        boolean(argument, value)
    one_of("block", block, ("basic", "bottleneck"))
    one_of("stem", stem, ("plain", "deep", "tiered"))
    one_of("stem_pool", stem_pool, ("max", "max_ceil", "convolution"))
    if pooling is not None:
        one_of("pooling", pooling, ("avg", "max"))
    make = _Layers(data_format, dtype, antialias)
    inputs = _inputs(input_tensor, input_shape, make.data_format)
    x = _stem(make, inputs, stem, stem_width)
    x = _stem_pool(make, x, stem_pool)
    for stage, depth in enumerate(depths):
        for index in range(depth):
            name_of = f"layer{stage + 1}_{index}_{{}}".format
            stride = 2 if stage and not index else 1
            channels = _CHANNELS[stage]
            if block == "basic":
                branch = _basic(
                    make, x, name_of, channels, stride, first_reduction
                )
            else:
                width = int(channels * base_width / 64) * cardinality
                channels *= _EXPANSION
                branch = _bottleneck(
                    make,
                    x,
                    name_of,
                    (width // first_reduction, width, channels),
                    (stride, 1) if stride_first else (1, stride),
                    cardinality,
                )
            if activation_before_attention:
                branch = make.activation(branch, name_of("act_se"))
            layer = attention and attention(channels, stage)
            if layer is not None:
                branch = _named(layer, name_of("se"))(branch)
            shortcut = x
            if stride > 1 or x.shape[make.axis] != channels:
                shortcut = _shortcut(
                    make,
                    x,
                    name_of,
                    channels,
                    stride,
                    average_shortcut,
                    shortcut_kernel_size,
                )
            x = layers.Add(name=name_of("add"), dtype=dtype)([branch, shortcut])
            x = make.activation(x, name_of("act"))
    x = _head(make, x, include_top, pooling, classes, classifier_activation)
    if input_tensor is not None:
        sources = keras.utils.get_source_inputs(input_tensor)
        inputs = sources[0] if len(sources) == 1 else sources
    try:
        model = keras.Model(inputs, x, name=name)
    except RecursionError as error:
        raise RecursionError(
            f"'{name}' is too deep for Keras, which walks through a network by "
            "recursion. Call `sys.setrecursionlimit(20_000)` first, also "
            "before you load it from a file."
        ) from error
    if weights is not None:
        _load(model, weights, include_top)
    return model


def _check_attention(attention):
    is_layer = isinstance(attention, (type, keras.layers.Layer))
    if attention is not None and (is_layer or not callable(attention)):
        raise TypeError(
            "`attention` must be a function that takes the number of channels "
            "and the index of the stage and returns a new layer, or None, such "
            "as `lambda channels, stage: SqueezeExcite()`. Received: "
            f"attention={attention!r} (of type {type(attention).__name__})."
        )


def _check_bottleneck_alone(block, **arguments):
    """Refuse what a basic block would leave out without a word."""
    for name, (value, default) in arguments.items():
        if block == "basic" and value != default:
            raise ValueError(
                f'`{name}` is for block="bottleneck". Received: '
                f'{name}={value!r} with block="basic".'
            )


class _Layers:
    """The layers of a network, with its data format, dtype and constants."""

    def __init__(self, data_format, dtype, antialias):
        self.data_format = data_format_or_global(data_format)
        self.axis = 1 if self.data_format == "channels_first" else -1
        self.dtype = dtype
        self.antialias = antialias

    def spatial(self, kind, x, *arguments, **options):
        """A layer that has to be told where the channels are."""
        return kind(
            *arguments,
            data_format=self.data_format,
            dtype=self.dtype,
            **options,
        )(x)

    def convolution(self, x, filters, size, name, stride=1, groups=1):
        padding = "same"
        if stride > 1 and size > 1:
            # torch pads on both sides alike, Keras' "same" does not.
            x = self.pad(x, size // 2, f"{name}_pad")
            padding = "valid"
        return self.spatial(
            layers.Conv2D,
            x,
            filters,
            size,
            strides=stride,
            padding=padding,
            groups=groups,
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )

    def normalization(self, x, name):
        return layers.BatchNormalization(
            axis=self.axis,
            epsilon=1e-5,
            momentum=0.9,
            dtype=self.dtype,
            name=name,
        )(x)

    def activation(self, x, name):
        return layers.Activation("relu", dtype=self.dtype, name=name)(x)

    def pad(self, x, padding, name):
        return self.spatial(layers.ZeroPadding2D, x, padding, name=name)

    def average_pool(self, x, padding, name):
        return self.spatial(
            layers.AveragePooling2D, x, 2, padding=padding, name=name
        )

    def unit(self, x, filters, size, names, stride=1, groups=1):
        """Convolution, normalization and ReLU; with anti-aliasing the stride
        comes last, as an average."""
        averaged = self.antialias and stride > 1
        x = self.convolution(
            x, filters, size, names[0], 1 if averaged else stride, groups
        )
        x = self.normalization(x, names[1])
        x = self.activation(x, f"{names[1]}_act")
        if averaged:
            x = self.average_pool(x, "valid", f"{names[1]}_aa")
        return x


def _inputs(input_tensor, input_shape, data_format):
    if input_tensor is not None:
        if keras.utils.is_keras_tensor(input_tensor):
            return input_tensor
        return keras.Input(tensor=input_tensor)
    if input_shape is None:
        input_shape = (None, None, 3)
        if data_format == "channels_first":
            input_shape = (3, None, None)
    return keras.Input(input_shape)


def _stem(make, x, stem, width):
    # The stride of a stem is no subject of anti-aliasing.
    if stem == "plain":
        x = make.convolution(x, 64, 7, "conv1", stride=2)
        return make.activation(make.normalization(x, "bn1"), "bn1_act")
    first = width if stem == "deep" else 3 * (width // 4)
    x = make.convolution(x, first, 3, "conv1_0", stride=2)
    x = make.activation(make.normalization(x, "conv1_1"), "conv1_2")
    x = make.convolution(x, width, 3, "conv1_3")
    x = make.activation(make.normalization(x, "conv1_4"), "conv1_5")
    return make.unit(x, 2 * width, 3, ("conv1_6", "bn1"))


def _stem_pool(make, x, kind):
    if kind == "convolution":
        names = ("maxpool_0", "maxpool_1")
        return make.unit(x, x.shape[make.axis], 3, names, stride=2)
    if make.antialias:
        return make.average_pool(x, "valid", "maxpool")
    # After a ReLU: a zero is never above the maximum.
    padding = ((0, 1), (0, 1)) if kind == "max_ceil" else 1
    x = make.pad(x, padding, "maxpool_pad")
    return make.spatial(layers.MaxPooling2D, x, 3, strides=2, name="maxpool")


def _basic(make, x, name_of, channels, stride, reduction):
    names = name_of("conv1"), name_of("bn1")
    x = make.unit(x, channels // reduction, 3, names, stride)
    x = make.convolution(x, channels, 3, name_of("conv2"))
    return make.normalization(x, name_of("bn2"))


def _bottleneck(make, x, name_of, widths, strides, groups):
    names = name_of("conv1"), name_of("bn1")
    x = make.unit(x, widths[0], 1, names, strides[0])
    names = name_of("conv2"), name_of("bn2")
    x = make.unit(x, widths[1], 3, names, strides[1], groups)
    x = make.convolution(x, widths[2], 1, name_of("conv3"))
    return make.normalization(x, name_of("bn3"))


def _shortcut(make, x, name_of, channels, stride, average, size):
    """A projection, called as torch's sequential modules are."""
    names = name_of("downsample_0"), name_of("downsample_1")
    if average:
        if stride > 1:
            # The last row or column alone, where there is no other.
            x = make.average_pool(x, "same", names[0])
        names, stride = (names[1], name_of("downsample_2")), 1
    x = make.convolution(
        x, channels, size if stride > 1 else 1, names[0], stride
    )
    return make.normalization(x, names[1])


def _load(model, weights, include_top):
    is_path = isinstance(weights, (str, os.PathLike))
    if is_path and os.fspath(weights).endswith(".weights.h5"):
        model.load_weights(weights)
    else:
        load_torch_weights(model, weights, include_top=include_top)


def _named(layer, name):
    """The same layer under the name that checkpoints know."""
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            "`attention` must return a new layer or None. It returned: "
            f"{layer!r} (of type {type(layer).__name__})."
        )
    return type(layer).from_config({**layer.get_config(), "name": name})


def _head(make, x, include_top, pooling, classes, activation):
    if include_top or pooling == "avg":
        x = make.spatial(layers.GlobalAveragePooling2D, x, name="avg_pool")
    elif pooling == "max":
        x = make.spatial(layers.GlobalMaxPooling2D, x, name="max_pool")
    if not include_top:
        return x
    return layers.Dense(
        classes, activation=activation, dtype=make.dtype, name="fc"
    )(x)
