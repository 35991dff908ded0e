"""Channels removed from a model: a narrower copy with sliced weights."""

import collections
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Changes, graph_of, rebuild, warn
from keras_channel_attn.layers import EfficientChannelAttention
from keras_channel_attn.pruning.groups import ChannelGroup, Grouping


def remove_channels(model: Any, removed: Any) -> Any:
    """A narrower copy of a model, without some of its channels.

    The copy consists of the same layers with fewer filters, units or groups,
    and with the weights of the channels that stay. It keeps everything else as
    `insert_attention` keeps it. The result is not compiled.

    Where the removed channels are zero, the copy computes what the original
    does: where the weights and biases of their producers are zero, and those
    of the normalizations and depthwise convolutions behind them, and where the
    activations map zero to zero. `EfficientChannelAttention` is an exception:
    the gate of a channel depends on its neighbors, and the channels next to a
    removed one get new neighbors. Its kernel and the order of the channels
    are kept. A class of your own is another one if its gates depend on channels
    that are zero, or on the number of channels. `SqueezeExcite` keeps its
    bottleneck: its configuration names the number of `bottleneck_units`. A
    subclass of `ChannelAttention` with weights describes them by its method
    `channel_axes`, and so does one that replaces `excite` or `squeeze` of a
    class with this method.

    Args:
        model: Functional or sequential model of Keras, built.
        removed: Dictionary from names of groups, see `channel_groups`, to the
            channels that are removed: a list of indices, or a boolean array
            with an entry for each channel of the group.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If the model has no graph or is not built; if there is no
            group of a name, or it is locked; if an index is out of range, a
            boolean array has another length, or no channel of a group or of
            the output of a layer would be left; if the model cannot be copied:
            see `insert_attention`.

    Warns:
        UserWarning: If channels are removed before an
            `EfficientChannelAttention`, or an attribute of the model is not
            carried over.

    Examples:

    >>> x = keras.Input((32, 32, 3))
    >>> y = keras.layers.Conv2D(8, 3, name="conv")(x)
    >>> y = keras.layers.GlobalAveragePooling2D()(y)
    >>> model = keras.Model(x, keras.layers.Dense(10, name="head")(y))
    >>> narrower = remove_channels(model, {"conv": [0, 5]})
    >>> narrower.get_layer("conv").filters
    6
    """
    grouping = Grouping(graph_of(model))
    masks = _masks(grouping, removed)
    _check_tensors(grouping, masks)
    return without_channels(grouping, masks)


def without_channels(
    grouping: Grouping,
    masks: dict[str, Any],
    on_call: Callable[[], None] | None = None,
) -> Any:
    """The narrower copy of a model.

    `masks` has boolean arrays by the names of groups, true for channels that
    are removed. `on_call` is that of `rebuild`.
    """
    kept = grouping.kept(masks)
    changes = Changes()
    narrower = _narrow_layers(grouping, changes, kept)
    _narrow_inputs(grouping, changes, kept)
    attention = [
        call.path
        for call in narrower
        if isinstance(call.operation, EfficientChannelAttention)
    ]
    if attention:
        warn(
            "`EfficientChannelAttention` computes each gate from neighboring "
            "channels, and some channels have new neighbors now. Fine-tune "
            f"the model. Such layers: {', '.join(attention[:3])}"
            f"{' and others' if len(attention) > 3 else ''}."
        )
    return rebuild(grouping.graph, changes, on_call)


def _narrow_layers(
    grouping: Grouping, changes: Changes, kept: Any
) -> list[Any]:
    """Set the new configurations and weights.

    Returns:
        List of `Call`: the first one of each layer that is changed.
    """
    calls = collections.defaultdict(list)
    for call in grouping.graph.all_calls():
        calls[call.operation].append(call)
    entries: dict[Any, dict[str, Any]] = collections.defaultdict(dict)
    for use in grouping.coupling.uses:
        mask = kept[use.ids]
        if mask.all():
            continue
        configuration = {} if use.config is None else use.config(mask)
        if configuration or use.axes:
            entries[use.operation].update(configuration)
        for weight, axis in use.axes:
            variable = getattr(use.operation, weight)
            value = changes.values.setdefault(
                variable, keras.ops.convert_to_numpy(variable)
            )
            changes.values[variable] = value.compress(mask, axis)
    for layer, configuration in entries.items():
        changes.resize(calls[layer], configuration)
    return [calls[layer][0] for layer in entries]


def _narrow_inputs(grouping: Grouping, changes: Changes, kept: Any) -> None:
    """Set the new shapes of the inputs of nested models."""
    for tensor in grouping.coupling.inputs:
        channels = grouping.coupling.inputs[tensor]
        if channels is not None:
            shape = list(tensor.shape)
            shape[channels.axis] = int(kept[channels.ids].sum())
            changes.input_shapes[tensor] = tuple(shape)


def _masks(grouping: Grouping, removed: Any) -> dict[str, Any]:
    """The argument `removed` as boolean arrays."""
    if not isinstance(removed, Mapping):
        raise TypeError(
            "`removed` must be a dictionary from names of groups to indices or "
            "boolean arrays, such as `{'conv1': [0, 5]}`. "
            f"Received: removed={removed!r}."
        )
    return {
        name: _mask(grouping.free_group(name, "removed"), channels)
        for name, channels in removed.items()
    }


def _mask(group: ChannelGroup, channels: Any) -> Any:
    expected = (
        f"`removed['{group.name}']` must be a list of indices from 0 to "
        f"{group.channels - 1}, or a boolean array of length {group.channels}. "
        f"Received: {channels!r}."
    )
    try:
        array = np.asarray(channels)
    except ValueError as error:
        raise TypeError(expected) from error
    if not array.size:
        array = array.astype(int)
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise TypeError(expected)
    mask = np.zeros(group.channels, bool)
    is_index = np.isin(array, np.arange(len(mask))).all()
    if len(array) != len(mask) if array.dtype == bool else not is_index:
        raise ValueError(expected)
    mask[array] = True
    if mask.all():
        raise ValueError(
            f"`removed['{group.name}']` contains all {group.channels} channels "
            "of the group. At least one must stay."
        )
    return mask


def _check_tensors(grouping: Grouping, masks: dict[str, Any]) -> None:
    """Check that each tensor of the model keeps a channel.

    The channels of a group may be those of several tensors: a split makes
    parts of them, and before a concatenation each input has its own.
    """
    kept = grouping.kept(masks)
    for use in grouping.coupling.uses:
        if not kept[use.ids].any():
            needed = {
                name: np.unique(channels).tolist()
                for name, (_, channels) in grouping.parts(use.ids).items()
            }
            raise ValueError(
                f"`removed` leaves no channel of an output of '{use.path}': it "
                f"needs at least one of these: {needed}."
            )
