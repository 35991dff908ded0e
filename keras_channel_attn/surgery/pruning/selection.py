"""The least important channels of a network, chosen and removed."""

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_channel_attn.analysis.costs import model_costs
from keras_channel_attn.arguments import finite_number, positive_integer
from keras_channel_attn.graph import graph_of
from keras_channel_attn.surgery.pruning.estimate import Estimate
from keras_channel_attn.surgery.pruning.groups import ChannelGroup, Grouping
from keras_channel_attn.surgery.pruning.progress import VERBOSE, Progress
from keras_channel_attn.surgery.pruning.ranking import Ranking
from keras_channel_attn.surgery.pruning.removal import (
    group_named,
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
        minimum: Number from 0 to 1, the share of the channels that stay at
            least: of each group, and of those of a group that the output of a
            layer has. One channel always stays. Defaults to `0.1`.
        multiple_of: Positive integer. The number of channels that stay in a
            group is a multiple of it, or all. With a grouped convolution, the
            channels of a group are counted as in `channel_groups`. Defaults to
            `1`.
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
    ranking = Ranking(scores, grouping.parts_of_groups(), minimum, multiple_of)
    count = _fewest_steps(ranking, Estimate(grouping, shapes), macs)
    removed = ranking.removed(count)
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
    known = isinstance(verbose, (str, numbers.Integral))
    if not known or verbose not in VERBOSE:
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


def _fewest_steps(ranking: Ranking, estimate: Estimate, macs: float) -> int:
    """How many steps are enough: more steps never cost more."""
    low, high = 0, len(ranking.steps)
    whole = estimate.total({})
    # 0.69 * 100 is a little less than 69.
    budget = math.floor(round(macs * whole, 6))
    least = estimate.total(ranking.removed(high))
    if least > budget:
        raise ValueError(_unreachable(ranking, least / whole, macs))
    while low < high:
        middle = (low + high) // 2
        if estimate.total(ranking.removed(middle)) <= budget:
            high = middle
        else:
            low = middle + 1
    return low


def _unreachable(ranking: Ranking, least: float, macs: float) -> str:
    if not ranking.scores:
        return (
            "`macs` cannot be reached: `importance` has numbers for no group "
            "of channels that can be removed. `channel_groups(model)` returns "
            "the groups; their `locked` says why some must stay. "
            f"Received: macs={macs}."
        )
    return (
        f"`macs` cannot be reached: {least:.1%} of the MACs are left when all "
        "channels that `minimum` and `multiple_of` allow are removed from the "
        f"{len(ranking.scores)} groups that have an importance. Lower "
        "`minimum` or `multiple_of`, or pass the importance of more groups. "
        f"Received: macs={macs}."
    )
