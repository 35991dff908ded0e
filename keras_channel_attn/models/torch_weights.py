"""Loading torch checkpoints into the networks and the layers of this package.

torch is not needed: a checkpoint is a mapping from names to arrays. Here the
arrays are matched with the weights, and their axes are put in Keras' order.
"""

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_channel_attn.arguments import boolean
from keras_channel_attn.graph import first_lines
from keras_channel_attn.models.checkpoint_files import read_checkpoint
from keras_channel_attn.models.checkpoint_names import (
    are_of_caffe,
    originals_by_timm_name,
)
from keras_channel_attn.models.layer_names import (
    CLASSIFIER,
    HEAD_CLASSIFIER,
    pools_as_caffe,
    torch_module_name,
)
from keras_channel_attn.models.torch_targets import (
    Targets,
    targets_of_layer,
    targets_of_network,
)

# The path of a file, or a mapping from names to arrays.
Checkpoint = str | os.PathLike[str] | Mapping[str, Any]

# The beginning of the names of the dense layer, by family.
_TOPS = tuple(
    f"{torch_module_name(name)}." for name in (CLASSIFIER, HEAD_CLASSIFIER)
)
# How many problems an error lists. A file of another network has hundreds.
_LISTED = 10
_ALL_BUT_TOP = (
    "\nTo load all but the dense layer, build the network without `weights` "
    "and call `load_torch_weights(network, weights, include_top=False)`."
)


def load_torch_weights(
    model: keras.layers.Layer,
    weights: Checkpoint,
    include_top: bool = True,
) -> None:
    """Load a torch checkpoint into a network, or into a single layer.

    Loading is strict: every array must have a weight to go to, every weight
    must get an array, and all shapes must match. Otherwise an error is raised
    and no weight is changed.

    Names are those of timm. The names of timm's older SENets and of
    Cadene, of ECANet (with or without `module.`) and of moskomule are
    translated.

    Args:
        model: A network of `keras_channel_attn.models`; or a built attention
            layer of this package, or of a class of your own that implements
            `torch_weights`, for the weights of one torch module.
        weights: Mapping from names to arrays or tensors, or the path of a file:
            `.safetensors`, which needs the package safetensors, or `.pth`,
            `.pt`, `.bin` or `.tar`, which need torch. No code in a file is
            executed.
        include_top: Boolean, whether to load the dense layer of a network. If
            `False`, that of the network keeps its weights, and one in the
            checkpoint is ignored. Defaults to `True`.

    Raises:
        TypeError: If an argument has a wrong type.
        ValueError: If an array is missing, left over, there twice or of another
            shape (the error lists the first ten); if a layer is not built; if
            the names are those of SENet's Caffe networks, and the network has
            another pooling; or if a file has another ending or cannot be read.
        FileNotFoundError: If the file does not exist.
        ImportError: If a package is missing that the file format needs.

    Examples:

    >>> layer = EfficientChannelAttention(kernel_size=3)
    >>> layer.build((None, 7, 7, 64))
    >>> load_torch_weights(layer, {"conv.weight": np.ones((1, 1, 3))})
    """
    boolean("include_top", include_top)
    targets = _targets(model)
    arrays = read_checkpoint(weights)
    originals = originals_by_timm_name(arrays)
    if isinstance(model, keras.Model):
        _check_pooling(model, arrays)
        if not include_top:
            # In a single layer, `fc` is the linear map of timm's eSE.
            targets = _without_top(targets)
            originals = _without_top(originals)
    values, problems = _match(targets, arrays, originals)
    if problems:
        message = (
            f"The checkpoint does not fit '{model.name}', which was not "
            f"changed. {listing([*problems.values()])}"
        )
        if isinstance(model, keras.Model) and all(
            name.startswith(_TOPS) for name in problems
        ):
            message += _advice_on_top(targets, arrays, originals)
        raise ValueError(message + _advice_on_biases(problems))
    for weight, value in values:
        weight.assign(value)


def listing(problems: list[str]) -> str:
    """The number of problems and the first of them, a line for each."""
    lines = first_lines(problems, _LISTED)
    return f"{len(problems)} problems:\n  {lines}"


def _advice_on_top(
    targets: Targets, arrays: dict[str, np.ndarray], originals: dict[str, str]
) -> str:
    """What to do if only the dense layer does not fit."""
    for name in (f"{top}weight" for top in _TOPS):
        if name not in targets or name not in originals:
            continue
        kernel = arrays[originals[name]]
        if kernel.ndim == 2 and len(kernel) != targets[name][0].shape[-1]:
            return (
                f"\nThe checkpoint has {len(kernel)} classes: build the "
                f"network with `classes={len(kernel)}`.{_ALL_BUT_TOP}"
            )
    return _ALL_BUT_TOP


def _advice_on_biases(problems: dict[str, str]) -> str:
    """What to do if only the biases of the attention do not fit."""
    kinds = {text.partition(":")[0] for text in problems.values()}
    if len(kinds) > 1 or not all(name.endswith(".bias") for name in problems):
        return ""
    has_biases, wanted = kinds == {"left over"}, kinds == {"missing"}
    if not (has_biases or wanted):
        return ""
    number = "biases" if has_biases else "no biases"
    return (
        f"\nThe checkpoint has {number} in its attention: build it with "
        f"`use_bias={has_biases}`."
    )


def _match(
    targets: Targets,
    arrays: dict[str, np.ndarray],
    originals: dict[str, str],
) -> tuple[list[tuple[Any, np.ndarray]], dict[str, str]]:
    """Pairs of a weight and its value, and by name what does not fit."""
    problems = {
        name: f"missing: {name}" for name in targets if name not in originals
    }
    values = []
    for name, original in originals.items():
        array = arrays[original]
        label = original if original == name else f"{original} (as {name})"
        if name not in targets:
            problems[name] = f"left over: {label}"
            continue
        if array.dtype.kind not in "fiu":
            problems[name] = f"dtype: {label} is {array.dtype}, not numbers"
            continue
        weight, arrange, multiplier = targets[name]
        value, shape = arrange(array), tuple(weight.shape)
        if value is None or value.shape != shape:
            problems[name] = (
                f"shape: {label} is {array.shape}, which does not fit the "
                f"weight {weight.path} of shape {shape}"
            )
            continue
        # A new array: JAX would share the memory of the checkpoint.
        values.append((weight, np.asarray(value, "float32") / multiplier))
    return values, problems


def _without_top(by_name: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in by_name.items()
        if not name.startswith(_TOPS)
    }


def _check_pooling(network: keras.Model, names: Mapping[str, Any]) -> None:
    """Refuse a Caffe network's weights where all shapes match by accident."""
    if are_of_caffe(names) and not pools_as_caffe(network):
        raise ValueError(
            "The checkpoint has the names of SENet's own Caffe networks, whose "
            f"pooling and strides differ from those of '{network.name}': with "
            "these weights it would silently compute different outputs. "
            'Build the network with `from_timm("legacy_...")`, or with '
            '`ResNet` and `stem_pool="max_ceil"`, and `stride_first=True` for '
            "SE-ResNet-50, 101 and 152."
        )


def _targets(model: Any) -> Targets:
    if isinstance(model, keras.Model):
        return targets_of_network((layer.name, layer) for layer in model.layers)
    return targets_of_layer(model)
