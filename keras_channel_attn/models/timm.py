"""timm's networks by their names in timm."""

import difflib
import functools
from typing import Any

import keras

from keras_channel_attn.arguments import positive_integer
from keras_channel_attn.models.checkpoints import (
    download,
    find_checkpoint,
    without_owner,
)
from keras_channel_attn.models.network import NamedNetwork
from keras_channel_attn.models.nfnet import timm_nfnets
from keras_channel_attn.models.regnet import timm_regnets
from keras_channel_attn.models.tiered_resnet import timm_tiered_resnets
from keras_channel_attn.models.timm_resnets import timm_resnets
from keras_channel_attn.models.torch_weights import Checkpoint
from keras_channel_attn.models.vovnet import timm_vovnets

# Networks of timm that have self-attention in some of their blocks, and a
# network with channel attention in all of them.
_WITH_SELF_ATTENTION = {
    "eca_botnext26ts_256": "eca_resnext26ts",
    "eca_halonext26ts": "eca_resnext26ts",
    "sebotnet33ts_256": "seresnet33ts",
    "sehalonet33ts": "seresnet33ts",
}


@functools.cache
def timm_networks() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network, one family after the other."""
    return {
        **timm_resnets(),
        **timm_tiered_resnets(),
        **timm_regnets(),
        **timm_vovnets(),
        **timm_nfnets(),
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
            `keras-channel-attn[pretrained]`); the path of a `.weights.h5`
            file; or a torch checkpoint, as `load_torch_weights` takes it.
            Defaults to `None`.
        include_top: Boolean, whether to end with global average pooling and a
            dense layer. If `False`, the dense layer of the checkpoint is
            ignored. Defaults to `True`.
        classes: Integer, units of the dense layer. Defaults to `None`: as
            many as the checkpoint of this tag has, `1000` without a tag.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        **options: `input_tensor`, `input_shape`, `pooling`,
            `classifier_activation`, `name` and `depths`, as in `ResNet`; for
            networks that `ResNet` builds, its other arguments too, except
            `attention`. `classifier_activation=None` returns logits, as
            networks of timm do. Its default, `"softmax"`, returns
            probabilities.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the name is unknown (the message has similar names) or
            that of a network with self-attention, if no such checkpoint is
            published, if the checkpoint has another number of classes, or if
            `classes` is given without a top.
        ConnectionError: If a `"pretrained"` checkpoint could not be downloaded
            or found in the cache.
        TypeError, ValueError, FileNotFoundError, ImportError: As `ResNet` and
            `load_torch_weights`.

    Examples:

    >>> network = from_timm("seresnet18", input_shape=(64, 64, 3))
    >>> network.count_params()
    11789224
    """
    name = without_owner(name)
    network_name, _, tag = name.partition(".")
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
    network = _find_network(network_name, name)
    is_pretrained = isinstance(weights, str) and weights == "pretrained"
    if is_pretrained or tag:
        checkpoint = find_checkpoint(name)
        if classes is None:
            classes = int(checkpoint["classes"])
        if is_pretrained:
            if include_top:
                _check_classes(checkpoint, classes)
            weights = download(checkpoint)
    attention = network.attention
    return network.builder(
        attention=attention and attention(data_format=data_format, dtype=dtype),
        weights=weights,
        include_top=include_top,
        classes=1000 if classes is None else classes,
        data_format=data_format,
        dtype=dtype,
        **{"name": network_name, **network.architecture, **options},
    )


def _find_network(network: str, name: str) -> NamedNetwork:
    networks = timm_networks()
    if network in _WITH_SELF_ATTENTION:
        raise ValueError(
            "Some blocks of this network have self-attention over positions, "
            f"which this package does not have. Received: name={name!r}. With "
            "channel attention in all of its blocks: "
            f"'{_WITH_SELF_ATTENTION[network]}'."
        )
    if network not in networks:
        near = difflib.get_close_matches(network, networks, n=5, cutoff=0.5)
        raise ValueError(
            f"This package has no network of timm with the name {name!r}. "
            f"Similar names: {near or sorted(networks)}. "
            "`models.list_models()` returns all of them."
        )
    return networks[network]


def _check_classes(checkpoint: dict[str, str], classes: int) -> None:
    published = int(checkpoint["classes"])
    if positive_integer("classes", classes) != published:
        raise ValueError(
            f"The checkpoint '{checkpoint['checkpoint']}' has {published} "
            f"classes. Received: classes={classes}. For another number of "
            "classes pass `include_top=False` and add a dense layer of your "
            "own."
        )
