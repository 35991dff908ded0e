"""Criteria for the importance of channels."""

import collections
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_channel_attn.analysis.scores import attention_scores
from keras_channel_attn.graph import graph_of
from keras_channel_attn.pruning.groups import (
    ChannelGroup,
    Grouping,
    path_of_key,
)


def magnitude(group: Any) -> Any:
    """The sum of the absolute weights that produce each channel of a group.

    It is the criterion of
    [Pruning Filters for Efficient ConvNets](https://arxiv.org/abs/1608.08710)
    (Li et al., 2017). Biases are not added.

    Where several layers produce the channels of a group, such as those that an
    addition couples, each counts the same: the sums of each layer are divided
    by their mean, these quotients are averaged over the layers, and the result
    is multiplied by the average of the means. So a layer with larger weights
    than the others has no more influence than they have. A layer whose weights
    are all zero is left out.

    Args:
        group: `ChannelGroup`, see `channel_groups`.

    Returns:
        NumPy array of shape `(channels,)`.

    Raises:
        TypeError: If `group` is no `ChannelGroup`.

    Examples:

    >>> x = keras.Input((32, 32, 3))
    >>> y = keras.layers.Conv2D(8, 3, kernel_initializer="ones", name="conv")(x)
    >>> model = keras.Model(x, keras.layers.Conv2D(2, 3)(y))
    >>> float(magnitude(channel_groups(model)["conv"])[0])
    27.0
    """
    _check_group(group)
    total, count = np.zeros(group.channels), np.zeros(group.channels)
    means = []
    for part in group.slices:
        variable = getattr(part.layer, part.weight)
        if part.role == "producers" and len(variable.shape) > 1:
            others = [x for x in range(len(variable.shape)) if x != part.axis]
            sums = np.abs(_array(variable)).sum(axis=tuple(others))
            of_channels = np.bincount(
                part.channels, sums[part.positions], group.channels
            )
            produced = np.unique(part.channels)
            mean = of_channels[produced].mean()
            if mean > 0:  # Zeros say nothing.
                total[produced] += of_channels[produced] / mean
                count[produced] += 1
                means.append(mean)
    return np.mean(means or [0]) * total / np.maximum(count, 1)


def batch_norm_scale(group: Any) -> Any:
    """The absolute scale of the batch normalizations behind each channel.

    It is the criterion of
    [Network Slimming](https://arxiv.org/abs/1708.06519) (Liu et al., 2017),
    where networks are trained with an L1 penalty on these scales before. Where
    several normalizations follow, it is the mean of theirs.

    Args:
        group: `ChannelGroup`, see `channel_groups`.

    Returns:
        NumPy array of shape `(channels,)`, or `None` for a group in which a
        channel has no batch normalization with a scale.

    Raises:
        TypeError: If `group` is no `ChannelGroup`.

    Examples:

    >>> x = keras.Input((32, 32, 3))
    >>> y = keras.layers.Conv2D(8, 3, name="conv")(x)
    >>> y = keras.layers.BatchNormalization()(y)
    >>> model = keras.Model(x, keras.layers.Conv2D(2, 3)(y))
    >>> float(batch_norm_scale(channel_groups(model)["conv"])[0])
    1.0
    """
    _check_group(group)
    scales = [
        (part.channels, np.abs(_array(part.layer.gamma))[part.positions])
        for part in group.slices
        if part.weight == "gamma"
        and isinstance(part.layer, keras.layers.BatchNormalization)
    ]
    return _means_by_channel(scales, group.channels)


def attention_importance(
    model: Any,
    x: Any,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: Any = "auto",
) -> dict[str, Any]:
    """The mean attention scores of the channels of a model over data.

    A channel that attention closes for most samples is not important: the
    criterion of [PCAS](https://arxiv.org/abs/1806.05382) (Yamamoto & Maeno,
    2018). A network without attention gets some as a probe:
    `insert_attention(model, SqueezeExcite(identity_start=True), where)`, which
    is trained for a short time. The names of the groups stay the same, so that
    the importance can be used for the network without the probe.

    Args:
        model: Functional or sequential model of Keras, built, with layers of
            `keras_channel_attn`.
        x: Data, as in `attention_scores`.
        batch_size: Integer, samples in a batch. Defaults to `None`: 32.
        steps: Integer, how many batches to take. Defaults to `None`: all.
        verbose: `"auto"`, 0, 1 or 2: the progress bar. Defaults to `"auto"`.

    Returns:
        Dictionary from the names of groups, see `channel_groups`, to NumPy
        arrays of shape `(channels,)`. Groups with a channel without attention,
        and locked groups, are not in it. Where a group has several attention
        layers, it is the mean of theirs.

    Raises:
        TypeError, ValueError: As `attention_scores`: if the model has no
            attention, among others. ValueError also if the model has no graph.

    Examples:

    >>> inputs = keras.Input((8, 8, 3))
    >>> y = keras.layers.Conv2D(16, 3, name="conv")(inputs)
    >>> y = keras.layers.Conv2D(2, 3)(SqueezeExcite(reduction=4)(y))
    >>> model = keras.Model(inputs, y)
    >>> images = np.random.normal(size=(5, 8, 8, 3))
    >>> attention_importance(model, images, verbose=0)["conv"].shape
    (16,)
    """
    grouping = Grouping(graph_of(model))
    scores = attention_scores(
        model, x, batch_size=batch_size, steps=steps, verbose=verbose
    )
    ids_of = {use.path: use.ids for use in grouping.coupling.uses}
    found = collections.defaultdict(list)
    for key, values in scores.items():
        path = path_of_key(key, ids_of)
        if path not in ids_of:
            continue
        means = values.mean(axis=0, dtype="float64")
        parts = grouping.parts(ids_of[path])
        for name, (positions, channels) in parts.items():
            found[name].append((channels, means[positions]))
    importance = {
        group.name: _means_by_channel(found[group.name], group.channels)
        for group in grouping.free_groups()
    }
    return {name: x for name, x in importance.items() if x is not None}


def _means_by_channel(parts: list[tuple[Any, Any]], count: int) -> Any:
    """The means of numbers by their channels, `None` if a channel has none."""
    channels = np.concatenate([np.zeros(0, int), *(x for x, _ in parts)])
    values = np.concatenate([np.zeros(0), *(x for _, x in parts)])
    counts = np.bincount(channels, minlength=count)
    if not counts.all():
        return None
    return np.bincount(channels, values, count) / counts


def importance_of_groups(
    grouping: Grouping,
    importance: Any,
    normalize: str | None,
    on_group: Callable[[], None],
) -> dict[str, Any]:
    """The argument `importance` of `prune_channels` as arrays.

    They are in the order of computation, without groups that are to stay.
    `on_group` is called after each group.
    """
    is_mapping = isinstance(importance, Mapping)
    if not is_mapping and not callable(importance):
        raise TypeError(
            "`importance` must be a dictionary from names of groups to arrays, "
            "or a callable from a group to an array, such as `magnitude`. "
            f"Received: importance={importance!r}."
        )
    for name in importance if is_mapping else ():
        grouping.free_group(name, "importance")
    scores = {}
    for group in grouping.free_groups():
        values = importance.get(group.name) if is_mapping else importance(group)
        if values is not None:
            scores[group.name] = _numbers_of_group(group, values, normalize)
        on_group()
    return scores


def _numbers_of_group(
    group: ChannelGroup, values: Any, normalize: str | None
) -> Any:
    array = _numbers(values)
    if (
        array is None
        or array.shape != (group.channels,)
        or not np.isfinite(array).all()
    ):
        raise ValueError(
            f"The importance of the group '{group.name}' must be "
            f"{group.channels} finite numbers. Received: {values!r}."
        )
    mean = np.abs(array).mean()
    return array / mean if normalize == "mean" and mean > 0 else array


def _numbers(values: Any) -> Any:
    """An array of real numbers, `None` if it is something else."""

    def plain(leaf: Any) -> Any:
        # A tensor of torch may require a gradient.
        is_tensor = keras.ops.is_tensor(leaf)
        return keras.ops.convert_to_numpy(leaf) if is_tensor else leaf

    try:
        array = np.asarray(keras.tree.map_structure(plain, values))
        # bfloat16 is of the kind "V".
        known = array.dtype.kind in "biufV"
        return array.astype("float64") if known else None
    except (TypeError, ValueError):
        return None


def _check_group(group: Any) -> None:
    if not isinstance(group, ChannelGroup):
        raise TypeError(
            "`group` must be a `ChannelGroup`, an entry of "
            f"`channel_groups(model)`. Received: group={group!r} (of type "
            f"{type(group).__name__})."
        )


def _array(variable: Any) -> Any:
    # Half precision would round the sums.
    array = keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
    return array.astype("float64")
