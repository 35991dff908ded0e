"""The least important channels of a network, chosen and removed."""

import collections
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_channel_attn.analysis.costs import model_costs
from keras_channel_attn.analysis.counting import multiply_adds
from keras_channel_attn.analysis.shapes import shaped_calls
from keras_channel_attn.arguments import finite_number, positive_integer
from keras_channel_attn.graph import graph_of
from keras_channel_attn.layers import EfficientChannelAttention
from keras_channel_attn.surgery.pruning.groups import ChannelGroup, Grouping
from keras_channel_attn.surgery.pruning.progress import VERBOSE, Progress
from keras_channel_attn.surgery.pruning.removal import (
    group_named,
    is_kept,
    without_channels,
)

_NORMALIZATIONS = ("mean", None)


def prune_channels(
    model: Any,
    importance: Any,
    macs: float = 0.5,
    minimum: float = 0.1,
    multiple_of: int = 1,
    normalize: str | None = "mean",
    input_shape: Any = None,
    verbose: Any = "auto",
) -> Any:
    """A narrower copy of a model, without its least important channels.

    The channels of all groups are sorted by their importance, and as many of
    the least important ones are removed as are needed for the multiply-adds
    (MACs, see `model_costs`). The result is deterministic: of equal channels,
    those of the first groups are removed first. Fine-tune it.

    Args:
        model: Functional or sequential model of Keras, built.
        importance: Dictionary from names of groups, see `channel_groups`, to
            arrays with a number for each channel; channels with higher numbers
            are kept. Groups that are not in it stay. Or a callable from a
            `ChannelGroup` to such an array, or to `None` for a group that is
            to stay: `magnitude`, `batch_norm_scale`, or one of yours.
        macs: Number above 0 and at most 1, the share of the multiply-adds that
            may be left. Defaults to `0.5`.
        minimum: Number from 0 to 1, the share of the channels of each group
            that stay at least. One channel always stays. Defaults to `0.1`.
        multiple_of: Positive integer. The number of channels that stay in a
            group is a multiple of it, or all. Defaults to `1`.
        normalize: `"mean"`, or `None`. With `"mean"`, the numbers of each group
            are divided by the mean of their absolute values, so that groups can
            be compared whose weights have other sizes. With `None`, they are
            compared as they are. Defaults to `"mean"`.
        input_shape: Shape for which MACs are counted, as in `model_costs`.
            Defaults to `None`: the shape that the model has.
        verbose: `"auto"`, 0, 1 or 2. With 1 a progress bar is shown, with 2 a
            line at the end, with 0 nothing. `"auto"` shows the bar if it takes
            longer than two seconds. Defaults to `"auto"`.

    Returns:
        A model: see `remove_channels`.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If the model has no graph, is not built, or needs an
            `input_shape`; if a number is out of its range; if an array of
            importance is for no group or a locked one, has another length, or
            is not finite; if so few MACs cannot be reached; if the model
            cannot be copied: see `insert_attention`.

    Warns:
        UserWarning: As `remove_channels` and `model_costs`.

    Examples:

    >>> x = keras.Input((32, 32, 3))
    >>> y = keras.layers.Conv2D(16, 3, name="first")(x)
    >>> y = keras.layers.Conv2D(16, 3, name="second")(y)
    >>> y = keras.layers.GlobalAveragePooling2D()(y)
    >>> model = keras.Model(x, keras.layers.Dense(10)(y))
    >>> pruned = prune_channels(model, magnitude, macs=0.5)
    >>> model_costs(pruned).macs <= 0.5 * model_costs(model).macs
    True
    """
    _check_arguments(macs, minimum, multiple_of, normalize, verbose)
    graph = graph_of(model)
    shapes = model_costs(model, input_shape).input_shapes
    grouping = Grouping(graph)
    progress = Progress(_work(grouping, importance), verbose)
    scores = _scores(grouping, importance, normalize, progress.step)
    steps = _steps(scores, minimum, multiple_of)
    count = _fewest_steps(
        _Costs(grouping, shapes), scores, steps, macs, minimum
    )
    removed = _removed(scores, steps[:count])
    pruned = without_channels(grouping, removed, progress.step)
    progress.finish()
    return pruned


def _check_arguments(
    macs: Any, minimum: Any, multiple_of: Any, normalize: Any, verbose: Any
) -> None:
    finite_number("macs", macs)
    finite_number("minimum", minimum)
    if not 0 < macs <= 1:
        raise ValueError(
            "`macs` must be a share above 0 and at most 1, such as 0.5 for "
            f"half of the multiply-adds. Received: macs={macs}."
        )
    if not 0 <= minimum <= 1:
        raise ValueError(
            "`minimum` must be a share from 0 to 1, such as 0.1. "
            f"Received: minimum={minimum}."
        )
    positive_integer("multiple_of", multiple_of)
    if normalize not in _NORMALIZATIONS:
        raise ValueError(
            "`normalize` must be 'mean' or None. "
            f"Received: normalize={normalize!r}."
        )
    if verbose not in VERBOSE:
        raise ValueError(
            "`verbose` must be 'auto', 0, 1 or 2. "
            f"Received: verbose={verbose!r}."
        )


def _work(grouping: Grouping, importance: Any) -> int:
    """How many groups have to be asked for, and calls to be copied."""
    calls = sum(1 for _ in grouping.graph.all_calls())
    if not callable(importance):
        return calls
    groups = grouping.groups.values()
    return calls + sum(1 for group in groups if not group.locked)


def _scores(
    grouping: Grouping,
    importance: Any,
    normalize: str | None,
    on_group: Callable[[], None],
) -> dict[str, Any]:
    """The importance of the channels of each group that may lose some."""
    groups = grouping.groups
    free = [group for group in groups.values() if not group.locked]
    if isinstance(importance, Mapping):
        given = {
            name: (group_named(groups, name, "importance"), values)
            for name, values in importance.items()
        }
    elif callable(importance):
        given = {}
        for group in free:
            given[group.name] = group, importance(group)
            on_group()
    else:
        raise TypeError(
            "`importance` must be a dictionary from names of groups to arrays, "
            "or a callable from a group to an array, such as `magnitude`. "
            f"Received: importance={importance!r}."
        )
    # In the order of computation, whatever the order of the argument.
    return {
        name: _checked(*given[name], normalize)
        for name in groups
        if name in given and given[name][1] is not None
    }


def _checked(group: ChannelGroup, values: Any, normalize: str | None) -> Any:
    array = np.asarray(values, dtype="float64")
    if array.shape != (group.channels,) or not np.isfinite(array).all():
        raise ValueError(
            f"The importance of the group '{group.name}' must be "
            f"{group.channels} finite numbers. Received: {values!r}."
        )
    mean = np.abs(array).mean()
    return array / mean if normalize == "mean" and mean > 0 else array


def _steps(
    scores: dict[str, Any], minimum: float, multiple_of: int
) -> list[tuple[str, int]]:
    """What can be removed step by step, the least important first.

    Returns:
        List of pairs: the name of a group, and how many of its least important
        channels are removed after this step.
    """
    steps = []
    for name, values in scores.items():
        ordered, size = np.sort(values), len(values)
        least = max(1, math.ceil(minimum * size))
        for left in range(size - 1, least - 1, -1):
            if left % multiple_of == 0:
                # A step is as important as the best channel that it removes.
                steps.append((ordered[size - left - 1], name, size - left))
    steps.sort(key=lambda step: step[0])
    return [(name, count) for _, name, count in steps]


def _removed(
    scores: dict[str, Any], steps: list[tuple[str, int]]
) -> dict[str, Any]:
    """Boolean arrays: the channels that are removed after some steps."""
    # Of the steps of one group the last one counts.
    return {
        name: np.argsort(np.argsort(scores[name], kind="stable")) < count
        for name, count in dict(steps).items()
    }


def _fewest_steps(
    costs: "_Costs",
    scores: dict[str, Any],
    steps: list[tuple[str, int]],
    macs: float,
    minimum: float,
) -> int:
    """How many steps are enough: more steps never cost more."""
    whole, least = costs.total({}), costs.total(_removed(scores, steps))
    budget = macs * whole
    if least > budget:
        raise ValueError(
            f"`macs` cannot be reached: with at least {minimum:.0%} of the "
            f"channels of each group, {least / whole:.1%} of the MACs are "
            f"left. Received: macs={macs}. Lower `minimum`, or pass the "
            f"importance of more groups than these {len(scores)}."
        )
    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        if costs.total(_removed(scores, steps[:middle])) <= budget:
            high = middle
        else:
            low = middle + 1
    return low


class _Costs:
    """The multiply-adds of a model without some channels, not built.

    Those of a layer are proportional to the numbers in its kernels.
    """

    def __init__(self, grouping: Grouping, input_shapes: Any) -> None:
        self._grouping = grouping
        batch = input_shapes[0][0]
        macs: collections.Counter[Any] = collections.Counter()
        for call in shaped_calls(grouping.graph, input_shapes):
            macs[call.operation] += (multiply_adds(call) or 0) // batch
        kernels = _kernels(grouping)
        self._constant = sum(
            count for layer, count in macs.items() if layer not in kernels
        )
        self._terms = [
            (count, kernels[layer])
            for layer, count in macs.items()
            if layer in kernels
        ]

    def total(self, removed: dict[str, Any]) -> int:
        """Multiply-adds without some channels of each group."""
        kept = self._grouping.kept(removed)
        total = self._constant
        for count, kernels in self._terms:
            sizes = [math.prod(shape) for shape, _ in kernels]
            new = [_size(shape, axes, kept) for shape, axes in kernels]
            total += count * sum(new) // sum(sizes)
        return total


_Kernel = tuple[list[int], dict[int, Any]]


def _kernels(grouping: Grouping) -> dict[Any, list[_Kernel]]:
    """From each layer to the shapes and channels of its kernels."""
    axes: dict[tuple[Any, str], dict[int, Any]] = collections.defaultdict(dict)
    for cut in grouping.reading.cuts.values():
        axes[cut.layer, cut.weight][cut.axis] = cut.ids
    kernels = collections.defaultdict(list)
    for (layer, weight), ids in axes.items():
        shape = list(getattr(layer, weight).shape)
        if len(shape) > 1:
            kernels[layer].append((shape, ids))
    for operation, (ids, _) in grouping.reading.sizes.items():
        if isinstance(operation, EfficientChannelAttention):
            # One kernel for all channels.
            kernels[operation] = [([len(ids)], {0: ids})]
    return kernels


def _size(shape: list[int], axes: dict[int, Any], kept: Any) -> int:
    sizes = list(shape)
    for axis, ids in axes.items():
        sizes[axis] = int(is_kept(ids, kept).sum())
    return math.prod(sizes)
