"""timm's networks by their names in timm.

A name such as `seresnextaa101d_32x8d` is composed of: attention (`se`, `eca` or
none); the family; the number of layers; letters for variants; for a ResNeXt,
the groups and the width of each group, 32 and 8. The letters stand for:

- `d`: ResNet-D of the paper [Bag of Tricks](https://arxiv.org/abs/1812.01187),
  with three 3x3 convolutions in the stem and average pooling in shortcuts.
- `t`: as `d`, with a tiered stem, whose convolutions increase in width.
- `aa`: antialiased, with average pooling instead of strides.
- `rs`: [ResNet-RS](https://arxiv.org/abs/2103.07579), as `d`, with a strided
  convolution instead of maximum pooling, and Squeeze-and-Excitation.

`wide_..._2` has bottlenecks twice as wide, and `legacy_` marks the networks of
the SENet paper, which were trained in Caffe.
"""

import difflib
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
from keras_channel_attn.models.attention import (
    efficient_channel_attention,
    squeeze_excite,
)
from keras_channel_attn.models.checkpoints import download, find_checkpoint
from keras_channel_attn.models.resnet import ResNet
from keras_channel_attn.models.torch_weights import Checkpoint

# Everything below consists of arguments of `ResNet`. Depths:
_RESNET26: dict[str, Any] = {"depths": (2, 2, 2, 2)}
_RESNET200: dict[str, Any] = {"depths": (3, 24, 36, 3)}
_RESNET269: dict[str, Any] = {"depths": (3, 30, 48, 8)}
# Groups and the width of each group in a ResNeXt.
_RESNEXT_32X8D = {"cardinality": 32, "base_width": 8}
_RESNEXT_64X4D = {"cardinality": 64, "base_width": 4}
# The variants that letters in a name stand for.
_D = {"stem": "deep", "stem_width": 32, "average_shortcut": True}
_T = {**_D, "stem": "tiered"}
_AA = {"antialias": True}
_RS = {**_D, "stem_pool": "convolution"}
# What the networks trained in Caffe do differently.
_CAFFE_POOL = {"stem_pool": "max_ceil"}
_CAFFE_BASIC = {**_CAFFE_POOL, "activation_before_attention": True}
_CAFFE_BOTTLENECK = {**_CAFFE_POOL, "stride_first": True}

_SE: dict[str, dict[str, Any]] = {
    "seresnet18": RESNET18,
    "seresnet34": RESNET34,
    "seresnet50": RESNET50,
    "seresnet50t": RESNET50 | _T,
    "seresnet101": RESNET101,
    "seresnet152": RESNET152,
    "seresnet152d": RESNET152 | _D,
    "seresnet200d": _RESNET200 | _D,
    "seresnet269d": _RESNET269 | _D,
    "seresnetaa50d": RESNET50 | _D | _AA,
    "seresnext26d_32x4d": _RESNET26 | _D | RESNEXT_32X4D,
    "seresnext26t_32x4d": _RESNET26 | _T | RESNEXT_32X4D,
    "seresnext50_32x4d": RESNET50 | RESNEXT_32X4D,
    "seresnext101_32x4d": RESNET101 | RESNEXT_32X4D,
    "seresnext101_32x8d": RESNET101 | _RESNEXT_32X8D,
    "seresnext101d_32x8d": RESNET101 | _D | _RESNEXT_32X8D,
    "seresnext101_64x4d": RESNET101 | _RESNEXT_64X4D,
    "seresnextaa101d_32x8d": RESNET101 | _D | _AA | _RESNEXT_32X8D,
    "seresnextaa201d_32x8d": {
        "depths": (3, 24, 36, 4),
        **_D,
        **_AA,
        **_RESNEXT_32X8D,
        "stem_width": 64,
    },
    "senet154": RESNET152 | SENET,
}
_RESNETRS: dict[str, dict[str, Any]] = {
    "resnetrs50": RESNET50 | _RS,
    "resnetrs101": RESNET101 | _RS,
    "resnetrs152": RESNET152 | _RS,
    "resnetrs200": _RESNET200 | _RS,
    "resnetrs270": {"depths": (4, 29, 53, 4)} | _RS,
    "resnetrs350": {"depths": (4, 36, 72, 4)} | _RS,
    "resnetrs420": {"depths": (4, 44, 87, 4)} | _RS,
}
_LEGACY: dict[str, dict[str, Any]] = {
    "legacy_seresnet18": RESNET18 | _CAFFE_BASIC,
    "legacy_seresnet34": RESNET34 | _CAFFE_BASIC,
    "legacy_seresnet50": RESNET50 | _CAFFE_BOTTLENECK,
    "legacy_seresnet101": RESNET101 | _CAFFE_BOTTLENECK,
    "legacy_seresnet152": RESNET152 | _CAFFE_BOTTLENECK,
    "legacy_seresnext26_32x4d": _RESNET26 | _CAFFE_POOL | RESNEXT_32X4D,
    "legacy_seresnext50_32x4d": RESNET50 | _CAFFE_POOL | RESNEXT_32X4D,
    "legacy_seresnext101_32x4d": RESNET101 | _CAFFE_POOL | RESNEXT_32X4D,
    "legacy_senet154": RESNET152 | _CAFFE_POOL | SENET,
}
_ECA: dict[str, dict[str, Any]] = {
    "ecaresnet26t": _RESNET26 | _T,
    "ecaresnet50d": RESNET50 | _D,
    "ecaresnet50t": RESNET50 | _T,
    "ecaresnet101d": RESNET101 | _D,
    "ecaresnet200d": _RESNET200 | _D,
    "ecaresnet269d": _RESNET269 | _D,
    "ecaresnetlight": {
        "depths": (1, 1, 11, 3),
        "stem_width": 32,
        "average_shortcut": True,
    },
    "ecaresnext26t_32x4d": _RESNET26 | _T | RESNEXT_32X4D,
    "ecaresnext50t_32x4d": RESNET50 | _T | RESNEXT_32X4D,
}
# Without attention, for comparison and for `insert_attention`.
_PLAIN: dict[str, dict[str, Any]] = {
    "resnet18": RESNET18,
    "resnet18d": RESNET18 | _D,
    "resnet34": RESNET34,
    "resnet34d": RESNET34 | _D,
    "resnet26": _RESNET26,
    "resnet26d": _RESNET26 | _D,
    "resnet26t": _RESNET26 | _T,
    "resnet50": RESNET50,
    "resnet50d": RESNET50 | _D,
    "resnet50t": RESNET50 | _T,
    "resnet101": RESNET101,
    "resnet101d": RESNET101 | _D,
    "resnet152": RESNET152,
    "resnet152d": RESNET152 | _D,
    "resnet200d": _RESNET200 | _D,
    "resnext50_32x4d": RESNET50 | RESNEXT_32X4D,
    "resnext50d_32x4d": RESNET50 | _D | RESNEXT_32X4D,
    "resnext101_32x4d": RESNET101 | RESNEXT_32X4D,
    "resnext101_32x8d": RESNET101 | _RESNEXT_32X8D,
    "resnext101_64x4d": RESNET101 | _RESNEXT_64X4D,
    "wide_resnet50_2": RESNET50 | {"base_width": 128},
    "wide_resnet101_2": RESNET101 | {"base_width": 128},
    "resnetaa50": RESNET50 | _AA,
    "resnetaa50d": RESNET50 | _D | _AA,
    "resnetaa101d": RESNET101 | _D | _AA,
}


# Arguments of `ResNet`; the function that makes its `attention`, or `None`; and
# arguments of that function.
_Network = tuple[dict[str, Any], Any, dict[str, Any]]


def timm_networks() -> dict[str, _Network]:
    """Dictionary from each name to (architecture, attention, arguments)."""
    # timm rounds the width of the excitation to a multiple of eight.
    timm = {"use_bias": True, "divisor": 8}
    families: tuple[tuple[dict[str, Any], Any, dict[str, Any]], ...] = (
        (_SE, squeeze_excite, timm),
        (_RESNETRS, squeeze_excite, {**timm, "reduction": 4}),
        (_LEGACY, squeeze_excite, {"use_bias": True}),
        # timm's rule differs from the paper's only below 8 channels.
        (_ECA, efficient_channel_attention, {}),
        (_PLAIN, None, {}),
    )
    return {
        name: (architecture, attention, options)
        for family, attention, options in families
        for name, architecture in family.items()
    }


def from_timm(
    name: str,
    weights: Checkpoint | None = None,
    include_top: bool = True,
    classes: int | None = None,
    data_format: str | None = None,
    dtype: Any = None,
    **options: Any,
) -> keras.Model:
    """A network by its name in timm, with a published checkpoint if wanted.

    The deepest networks, such as `seresnet269d`, build with Python's default
    recursion limit, and attention can be inserted into them. But
    `keras.models.load_model`, `keras.models.clone_model` and
    `keras.Model(network.input, ...)` then raise `RecursionError: maximum
    recursion depth exceeded`. Call `sys.setrecursionlimit(20_000)` before them.

    Args:
        name: String, such as `"seresnet50"`, or with the tag of a checkpoint,
            `"seresnet50.ra2_in1k"`.
        weights: `None`, random initialization; `"pretrained"`, the checkpoint
            of this tag, or timm's default checkpoint for a name without a tag,
            from the Hugging Face Hub or its cache (needs
            `keras-channel-attn[pretrained]`); or a torch checkpoint, as
            `load_torch_weights` takes it. Defaults to `None`.
        include_top: Boolean, whether to end with global average pooling and a
            dense layer. If `False`, the dense layer of the checkpoint is
            ignored. Defaults to `True`.
        classes: Integer, units of the dense layer. Defaults to `None`: as
            many as the checkpoint of this tag has, `1000` without a tag.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        **options: Other arguments of `ResNet` except `attention`, such as
            `input_shape` and `pooling`. `classifier_activation=None` returns
            logits, as networks of timm do. Its default, `"softmax"`, returns
            probabilities.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the name is unknown (the message has similar names), if
            no such checkpoint is published, or if the checkpoint has another
            number of classes.
        ConnectionError: If a `"pretrained"` checkpoint could not be downloaded
            or found in the cache.
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet` and
            `load_torch_weights`.

    Examples:

    >>> network = from_timm("seresnet18", input_shape=(64, 64, 3))
    >>> network.count_params()
    11789224
    """
    # Repositories on the Hub are named `timm/seresnet50.ra2_in1k`.
    name = str(name).removeprefix("timm/")
    network, _, tag = name.partition(".")
    architecture, attention, arguments = _find_network(network, name)
    is_pretrained = isinstance(weights, str) and weights == "pretrained"
    if is_pretrained or tag:
        checkpoint = find_checkpoint(name)
        if classes is None:
            classes = int(checkpoint["classes"])
        if is_pretrained:
            if include_top:
                _check_classes(checkpoint, classes)
            weights = download(checkpoint)
    if attention is not None:
        attention = attention(**arguments, data_format=data_format, dtype=dtype)
    return ResNet(
        attention=attention,
        weights=weights,
        include_top=include_top,
        classes=1000 if classes is None else classes,
        data_format=data_format,
        dtype=dtype,
        **{"name": network, **architecture, **options},
    )


def _find_network(network: str, name: str) -> _Network:
    networks = timm_networks()
    if network not in networks:
        near = difflib.get_close_matches(network, networks, n=5, cutoff=0.5)
        raise ValueError(
            f"This package has no network of timm with the name {name!r}. "
            f"Similar names: {near or sorted(networks)}. docs/models.md lists "
            "all of them."
        )
    return networks[network]


def _check_classes(checkpoint: dict[str, str], classes: int) -> None:
    published = int(checkpoint["classes"])
    if classes != published:
        raise ValueError(
            f"The checkpoint '{checkpoint['checkpoint']}' has {published} "
            f"classes. Received: classes={classes}. For another number of "
            "classes pass `include_top=False` and add a dense layer of your "
            "own."
        )
