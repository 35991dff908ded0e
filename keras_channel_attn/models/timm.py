"""The networks of timm by their names there."""

import difflib

from keras_channel_attn.models.checkpoints import download, find_checkpoint
from keras_channel_attn.models.networks import (
    RESNET18,
    RESNET34,
    RESNET50,
    RESNET101,
    RESNET152,
    RESNEXT_32X4D,
    SENET,
    efficient_channel_attention,
    squeeze_excite,
)
from keras_channel_attn.models.resnet import ResNet

_26 = {"depths": (2, 2, 2, 2)}
_200 = {"depths": (3, 24, 36, 3)}
_269 = {"depths": (3, 30, 48, 8)}

_D = {"stem": "deep", "stem_width": 32, "average_shortcut": True}
_T = {**_D, "stem": "tiered"}
_AA = {**_D, "antialias": True}
_RS = {**_D, "stem_pool": "convolution"}
_CAFFE = {"stem_pool": "max_ceil"}
_FIRST = {"stride_first": True}
_32X8D = {"cardinality": 32, "base_width": 8}
_64X4D = {"cardinality": 64, "base_width": 4}
_RELU_FIRST = {"activation_before_attention": True}

# From the name to the arguments of `ResNet`.
_SE = {
    "seresnet18": RESNET18,
    "seresnet34": RESNET34,
    "seresnet50": RESNET50,
    "seresnet50t": RESNET50 | _T,
    "seresnet101": RESNET101,
    "seresnet152": RESNET152,
    "seresnet152d": RESNET152 | _D,
    "seresnet200d": _200 | _D,
    "seresnet269d": _269 | _D,
    "seresnetaa50d": RESNET50 | _AA,
    "seresnext26d_32x4d": _26 | _D | RESNEXT_32X4D,
    "seresnext26t_32x4d": _26 | _T | RESNEXT_32X4D,
    "seresnext50_32x4d": RESNET50 | RESNEXT_32X4D,
    "seresnext101_32x4d": RESNET101 | RESNEXT_32X4D,
    "seresnext101_32x8d": RESNET101 | _32X8D,
    "seresnext101d_32x8d": RESNET101 | _D | _32X8D,
    "seresnext101_64x4d": RESNET101 | _64X4D,
    "seresnextaa101d_32x8d": RESNET101 | _AA | _32X8D,
    "seresnextaa201d_32x8d": (
        {"depths": (3, 24, 36, 4)} | _AA | _32X8D | {"stem_width": 64}
    ),
    "senet154": RESNET152 | SENET,
}
_RESNETRS = {
    "resnetrs50": RESNET50 | _RS,
    "resnetrs101": RESNET101 | _RS,
    "resnetrs152": RESNET152 | _RS,
    "resnetrs200": _200 | _RS,
    "resnetrs270": {"depths": (4, 29, 53, 4)} | _RS,
    "resnetrs350": {"depths": (4, 36, 72, 4)} | _RS,
    "resnetrs420": {"depths": (4, 44, 87, 4)} | _RS,
}
_LEGACY = {
    "legacy_seresnet18": RESNET18 | _CAFFE | _RELU_FIRST,
    "legacy_seresnet34": RESNET34 | _CAFFE | _RELU_FIRST,
    "legacy_seresnet50": RESNET50 | _CAFFE | _FIRST,
    "legacy_seresnet101": RESNET101 | _CAFFE | _FIRST,
    "legacy_seresnet152": RESNET152 | _CAFFE | _FIRST,
    "legacy_seresnext26_32x4d": _26 | _CAFFE | RESNEXT_32X4D,
    "legacy_seresnext50_32x4d": RESNET50 | _CAFFE | RESNEXT_32X4D,
    "legacy_seresnext101_32x4d": RESNET101 | _CAFFE | RESNEXT_32X4D,
    "legacy_senet154": RESNET152 | _CAFFE | SENET,
}
_ECA = {
    "ecaresnet26t": _26 | _T,
    "ecaresnet50d": RESNET50 | _D,
    "ecaresnet50t": RESNET50 | _T,
    "ecaresnet101d": RESNET101 | _D,
    "ecaresnet200d": _200 | _D,
    "ecaresnet269d": _269 | _D,
    "ecaresnetlight": {
        "depths": (1, 1, 11, 3),
        "stem_width": 32,
        "average_shortcut": True,
    },
    "ecaresnext26t_32x4d": _26 | _T | RESNEXT_32X4D,
    "ecaresnext50t_32x4d": RESNET50 | _T | RESNEXT_32X4D,
}
# Without attention: what the same builder makes too.
_PLAIN = {
    "resnet18": RESNET18,
    "resnet18d": RESNET18 | _D,
    "resnet34": RESNET34,
    "resnet34d": RESNET34 | _D,
    "resnet26": _26,
    "resnet26d": _26 | _D,
    "resnet26t": _26 | _T,
    "resnet50": RESNET50,
    "resnet50d": RESNET50 | _D,
    "resnet50t": RESNET50 | _T,
    "resnet101": RESNET101,
    "resnet101d": RESNET101 | _D,
    "resnet152": RESNET152,
    "resnet152d": RESNET152 | _D,
    "resnet200d": _200 | _D,
    "resnext50_32x4d": RESNET50 | RESNEXT_32X4D,
    "resnext50d_32x4d": RESNET50 | _D | RESNEXT_32X4D,
    "resnext101_32x4d": RESNET101 | RESNEXT_32X4D,
    "resnext101_32x8d": RESNET101 | _32X8D,
    "resnext101_64x4d": RESNET101 | _64X4D,
    "wide_resnet50_2": RESNET50 | {"base_width": 128},
    "wide_resnet101_2": RESNET101 | {"base_width": 128},
    "resnetaa50": RESNET50 | {"antialias": True},
    "resnetaa50d": RESNET50 | _AA,
    "resnetaa101d": RESNET101 | _AA,
}


def timm_networks():
    """Dictionary from each name to (architecture, attention)."""
    # The width of timm's Squeeze-and-Excitation is a multiple of eight.
    timm = {"use_bias": True, "divisor": 8}
    families = (
        (_SE, squeeze_excite, timm),
        (_RESNETRS, squeeze_excite, {**timm, "reduction": 4}),
        (_LEGACY, squeeze_excite, {"use_bias": True}),
        # The rule of timm is never below three, which these are not either.
        (_ECA, efficient_channel_attention, {}),
        (_PLAIN, None, {}),
    )
    return {
        name: (architecture, attention, options)
        for family, attention, options in families
        for name, architecture in family.items()
    }


def from_timm(
    name,
    weights=None,
    include_top=True,
    classes=None,
    data_format=None,
    dtype=None,
    **options,
):
    """A network of timm by its name there, with its checkpoint if given.

    Args:
        name: String, such as `"seresnet50"`, or with the tag of a checkpoint,
            `"seresnet50.ra2_in1k"`.
        weights: `None`, random ones; `"pretrained"`, the checkpoint of this
            tag, or the one that timm takes without a tag, from the Hugging
            Face Hub or its cache (needs `keras-channel-attn[pretrained]`); or
            what `load_torch_weights` takes. Defaults to `None`.
        include_top: Boolean, whether to end with pooling and a dense layer.
            Without it, that of the checkpoint is left out. Defaults to `True`.
        classes: Integer, outputs of the dense layer. Defaults to `None`: as
            many as the checkpoint of this tag has, `1000` without a tag.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        **options: Other arguments of `ResNet` but `attention`, such as
            `input_shape`, `pooling`, `classifier_activation`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If there is no such network or checkpoint here, with the
            nearest names; if a checkpoint has another number of classes.
        ConnectionError: If `"pretrained"` weights can not be had.
        TypeError, ValueError, FileNotFoundError, ImportError, RecursionError:
            As `ResNet` and `load_torch_weights`.

    Examples:

    >>> network = from_timm("seresnet18", input_shape=(64, 64, 3))
    >>> network.count_params()
    11789224
    """
    networks = timm_networks()
    # As the pages of the Hub are called.
    name = str(name).removeprefix("timm/")
    plain_name, _, tag = name.partition(".")
    if plain_name not in networks:
        near = difflib.get_close_matches(plain_name, networks, n=5, cutoff=0.5)
        raise ValueError(
            f"There is no network of timm here with name={name!r}. Near it: "
            f"{near or sorted(networks)}. docs/models.md lists all."
        )
    pretrained = isinstance(weights, str) and weights == "pretrained"
    if pretrained or tag:
        checkpoint = find_checkpoint(name)
        published = int(checkpoint["classes"])
        classes = published if classes is None else classes
        if pretrained and include_top and classes != published:
            raise ValueError(
                f"The checkpoint '{checkpoint['checkpoint']}' has {published} "
                f"classes. Received: classes={classes}. For other ones pass "
                "`include_top=False` and put a dense layer of your own on it."
            )
    architecture, attention, arguments = networks[plain_name]
    if attention is not None:
        attention = attention(**arguments, data_format=data_format, dtype=dtype)
    return ResNet(
        attention=attention,
        weights=download(checkpoint) if pretrained else weights,
        include_top=include_top,
        classes=1000 if classes is None else classes,
        data_format=data_format,
        dtype=dtype,
        **{"name": plain_name, **architecture, **options},
    )
