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
import functools
import re
from typing import Any

import keras

from keras_channel_attn.models.architecture import RESNETS, SENET
from keras_channel_attn.models.attention import (
    efficient_channel_attention,
    squeeze_excite,
)
from keras_channel_attn.models.checkpoints import download, find_checkpoint
from keras_channel_attn.models.resnet import ResNet
from keras_channel_attn.models.torch_weights import Checkpoint

# timm rounds the width of the excitation to a multiple of eight.
_TIMM = {"use_bias": True, "divisor": 8}
# The function that makes the attention, its arguments, and names of networks.
_FAMILIES: tuple[tuple[Any, dict[str, Any], str], ...] = (
    (
        squeeze_excite,
        _TIMM,
        "seresnet18 seresnet34 seresnet50 seresnet50t seresnet101 seresnet152 "
        "seresnet152d seresnet200d seresnet269d seresnetaa50d "
        "seresnext26d_32x4d seresnext26t_32x4d seresnext50_32x4d "
        "seresnext101_32x4d seresnext101_32x8d seresnext101d_32x8d "
        "seresnext101_64x4d seresnextaa101d_32x8d seresnextaa201d_32x8d "
        "senet154",
    ),
    (
        squeeze_excite,
        {**_TIMM, "reduction": 4},
        "resnetrs50 resnetrs101 resnetrs152 resnetrs200 resnetrs270 "
        "resnetrs350 resnetrs420",
    ),
    (
        squeeze_excite,
        {"use_bias": True},
        "legacy_seresnet18 legacy_seresnet34 legacy_seresnet50 "
        "legacy_seresnet101 legacy_seresnet152 legacy_seresnext26_32x4d "
        "legacy_seresnext50_32x4d legacy_seresnext101_32x4d legacy_senet154",
    ),
    (
        # timm's rule differs from the paper's only below 8 channels.
        efficient_channel_attention,
        {},
        "ecaresnet26t ecaresnet50d ecaresnet50t ecaresnet101d ecaresnet200d "
        "ecaresnet269d ecaresnetlight ecaresnext26t_32x4d ecaresnext50t_32x4d",
    ),
    (
        # For comparison and for `insert_attention`.
        None,
        {},
        "resnet18 resnet18d resnet34 resnet34d resnet26 resnet26d resnet26t "
        "resnet50 resnet50d resnet50t resnet101 resnet101d resnet152 "
        "resnet152d resnet200d resnext50_32x4d resnext50d_32x4d "
        "resnext101_32x4d resnext101_32x8d resnext101_64x4d wide_resnet50_2 "
        "wide_resnet101_2 resnetaa50 resnetaa50d resnetaa101d",
    ),
)
# Start, letters, number of layers, a letter, and groups and their width.
_NAME = re.compile(r"^(\D*?)(aa|rs|)(\d+|light)([dt]?)(?:_(\d+)x(\d+)d|_2|)$")
_D = {"stem": "deep", "stem_width": 32, "average_shortcut": True}
_LETTERS: dict[str, dict[str, Any]] = {
    "": {},
    "d": _D,
    "t": {**_D, "stem": "tiered"},
    "aa": {"antialias": True},
    "rs": {**_D, "stem_pool": "convolution"},
}
_CAFFE = {"stem_pool": "max_ceil"}
_CAFFE_BASIC = {"stride_first": False, "activation_before_attention": True}
# What the start of a name stands for, and what else a whole name does.
_OTHERS: dict[str, dict[str, Any]] = {
    "senet": SENET,
    "wide_resnet": {"base_width": 128},
    "legacy_senet": SENET | _CAFFE,
    "legacy_seresnext": _CAFFE,
    "legacy_seresnet": {**_CAFFE, "stride_first": True},
    "legacy_seresnet18": _CAFFE_BASIC,
    "legacy_seresnet34": _CAFFE_BASIC,
    "seresnextaa201d_32x8d": {"stem_width": 64},
}


# Arguments of `ResNet`; the function that makes its `attention`, or `None`; and
# arguments of that function.
_Network = tuple[dict[str, Any], Any, dict[str, Any]]


@functools.cache
def timm_networks() -> dict[str, _Network]:
    """Dictionary from each name to (architecture, attention, arguments)."""
    return {
        name: (_architecture(name), attention, options)
        for attention, options, names in _FAMILIES
        for name in names.split()
    }


def _architecture(name: str) -> dict[str, Any]:
    """The arguments of `ResNet` that a name of timm stands for."""
    [(start, letters, layers, letter, groups, width)] = _NAME.findall(name)
    architecture = {**RESNETS[layers], **_OTHERS.get(start, {})}
    for part in (letters, letter):
        architecture |= _LETTERS[part]
    if groups:
        architecture |= {"cardinality": int(groups), "base_width": int(width)}
    return architecture | _OTHERS.get(name, {})


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
            no such checkpoint is published, if the checkpoint has another
            number of classes, or if `classes` is given without a top.
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
    if "num_classes" in options:
        raise TypeError(
            "`from_timm` has no argument `num_classes`. Pass `classes`, as in "
            "`keras.applications`."
        )
    if classes is not None and not include_top:
        raise ValueError(
            "`classes` has no effect with `include_top=False`. Received: "
            f"classes={classes!r}. Leave it out, and add a dense layer of your "
            "own. To load a checkpoint without its dense layer into a network "
            "that has one, use `load_torch_weights(network, weights, "
            "include_top=False)`."
        )
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
