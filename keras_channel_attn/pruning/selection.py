"""The least important channels of a network, chosen and removed."""

import bisect
import collections
import math
import numbers
import time
from typing import Any

import keras
import numpy as np

from keras_channel_attn.analysis.costs import ModelCosts, model_costs
from keras_channel_attn.arguments import finite_number, positive_integer
from keras_channel_attn.graph import graph_of
from keras_channel_attn.pruning.coupling import ChannelUse
from keras_channel_attn.pruning.criteria import importance_of_groups
from keras_channel_attn.pruning.groups import Grouping, path_of_key
from keras_channel_attn.pruning.removal import without_channels

# Seconds after which `verbose="auto"` shows the bar. ResNet50 takes about one.
PATIENCE = 2.0


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
            that must stay. Where the output of a layer has only some channels
            of a group, this share of them must stay as well. One channel
            always stays. Defaults to `0.1`.
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
            `input_shape`; if a number is out of its range, or `normalize` or
            `verbose` is another string or integer; if an array of importance
            is for no group or a locked one, has another length, or is not
            finite; if so few MACs cannot be reached; if the model cannot be
            copied: see `insert_attention`.

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
    macs = _share("macs", macs)
    minimum = _share("minimum", minimum, or_zero=True)
    multiple_of = positive_integer("multiple_of", multiple_of)
    _check_choice("normalize", normalize, "mean", None)
    _check_choice("verbose", verbose, "auto", 0, 1, 2)
    grouping = Grouping(graph_of(model))
    parts = grouping.parts_of_groups()
    estimate = Estimate(grouping, model_costs(model, input_shape))
    # The groups have to be asked for, and the calls to be copied.
    work = len(grouping.free_groups()) + len(list(grouping.graph.all_calls()))
    progress = Progress(work, verbose)
    scores = importance_of_groups(
        grouping, importance, normalize, progress.step
    )
    ranking = Ranking(scores, parts, minimum, multiple_of)
    removed = ranking.removed(_fewest_steps(ranking, estimate, macs))
    pruned = without_channels(grouping, removed, progress.step)
    progress.finish()
    return pruned


def _share(name: str, value: Any, or_zero: bool = False) -> int | float:
    value = finite_number(name, value)
    if not 0 <= value <= 1 or not (value or or_zero):
        allowed = "from 0 to 1" if or_zero else "above 0 and at most 1"
        raise ValueError(
            f"`{name}` must be a share {allowed}. Received: {name}={value}."
        )
    return value


def _check_choice(name: str, value: Any, *allowed: Any) -> None:
    # An array has no truth value when it is compared.
    kinds = tuple(
        numbers.Integral if isinstance(x, int) else type(x) for x in allowed
    )
    is_kind = isinstance(value, kinds)
    if not is_kind or value not in allowed:
        *others, last = map(repr, allowed)
        error = ValueError if is_kind else TypeError
        raise error(
            f"`{name}` must be {', '.join(others)} or {last}. "
            f"Received: {name}={value!r}."
        )


def _fewest_steps(ranking: "Ranking", estimate: "Estimate", macs: float) -> int:
    """How many steps are enough: more steps never cost more."""
    # 0.69 * 100 is a little less than 69.
    budget = math.floor(round(macs * estimate.total({}), 6))
    least = estimate.total(ranking.removed(len(ranking.steps)))
    if least > budget:
        what = _what_is_left(ranking, least / estimate.total({}))
        raise ValueError(
            f"`macs` cannot be reached: {what}"
            f"{estimate.grouping.about_layers_inside()} Received: macs={macs}."
        )
    return bisect.bisect_left(
        range(len(ranking.steps)),
        True,
        key=lambda count: estimate.total(ranking.removed(count)) <= budget,
    )


def _what_is_left(ranking: "Ranking", least: float) -> str:
    if not ranking.scores:
        return (
            "`importance` has numbers for no group of channels that can be "
            "removed. `channel_groups(model)` returns the groups; their "
            "`locked` says why some must stay."
        )
    return (
        f"{least:.1%} of the MACs are left when all channels that `minimum` "
        "and `multiple_of` allow are removed from the "
        f"{len(ranking.scores)} groups that have an importance. Lower "
        "`minimum` or `multiple_of`, or pass the importance of more groups."
    )


class Estimate:
    """The multiply-adds of a model without some channels, not built.

    Those of a layer are proportional to the numbers in its kernels, and those
    of a layer whose kernels all channels share to the channels.
    """

    def __init__(self, grouping: Grouping, costs: ModelCosts) -> None:
        self.grouping = grouping
        operations = {
            call.path: call.operation for call in grouping.graph.all_calls()
        }
        self._macs: collections.Counter[Any] = collections.Counter()
        for row in costs.layers:
            path = path_of_key(row.path, operations)
            # Layers inside others keep all of their channels.
            self._macs[operations.get(path)] += row.macs or 0
        uses = collections.defaultdict(list)
        for use in grouping.coupling.uses:
            uses[use.operation].append(use)
        self._kernels = {
            layer: _kernels(uses[layer])
            for layer, macs in self._macs.items()
            if macs
        }

    def total(self, removed: dict[str, Any]) -> int:
        """Multiply-adds without some channels of each group."""
        kept = self.grouping.kept(removed)
        total = 0
        for layer, kernels in self._kernels.items():
            whole = sum(math.prod(shape) for shape, _ in kernels)
            left = sum(_size(shape, axes, kept) for shape, axes in kernels)
            total += self._macs[layer] * left // whole
        return total


_Kernel = tuple[tuple[int, ...], dict[int, Any]]


def _kernels(uses: list[ChannelUse]) -> list[_Kernel]:
    """The shapes of the kernels of a layer, and the channels of their axes."""
    kernels: dict[str, _Kernel] = {}
    for use in uses:
        for weight, axis in use.axes:
            shape = tuple(getattr(use.operation, weight).shape)
            if len(shape) > 1:
                _, axes = kernels.setdefault(weight, (shape, {}))
                axes[axis] = use.ids
    if not kernels:
        # All channels share one kernel. Without uses, all of them stay.
        return [((len(use.ids),), {0: use.ids}) for use in uses] or [((1,), {})]
    return list(kernels.values())


def _size(shape: tuple[int, ...], axes: dict[int, Any], kept: Any) -> int:
    sizes = list(shape)
    for axis, ids in axes.items():
        sizes[axis] = int(kept[ids].sum())
    return math.prod(sizes)


class Ranking:
    """Steps that remove channels, the least important ones first.

    `minimum` is the share that must stay of each group, and of each of its
    `parts`: see `Grouping.parts_of_groups`.

    Attributes:
        scores: Dictionary from the names of groups to the importance of their
            channels.
        steps: List of pairs: the name of a group, and how many of its channels
            are removed after this step.
    """

    def __init__(
        self,
        scores: dict[str, Any],
        parts: dict[str, list[Any]],
        minimum: float,
        multiple_of: int,
    ) -> None:
        self.scores = scores
        self._orders = {
            name: _order(values, parts.get(name, []), minimum)
            for name, values in scores.items()
        }
        steps = []
        for name, order in self._orders.items():
            for count, channel in enumerate(order, start=1):
                if (len(scores[name]) - count) % multiple_of == 0:
                    # As important as the best channel that it removes.
                    steps.append((scores[name][channel], name, count))
        # Of equally important ones, those of the first groups come first.
        steps.sort(key=lambda step: step[0])
        self.steps = [(name, count) for _, name, count in steps]

    def removed(self, count: int) -> dict[str, Any]:
        """Boolean arrays: the channels that are removed after some steps."""
        masks = {}
        # Of the steps of one group the last one counts.
        for name, channels in dict(self.steps[:count]).items():
            masks[name] = np.zeros(len(self.scores[name]), bool)
            masks[name][self._orders[name][:channels]] = True
        return masks


def _order(values: Any, parts: list[Any], minimum: float) -> Any:
    """The channels of a group that may be removed, in this order."""
    in_part = np.zeros((len(parts) + 1, len(values)), bool)
    for row, part in zip(in_part, [slice(None), *parts], strict=True):
        row[part] = True
    left = in_part.sum(axis=1)
    least = np.array([_least(minimum, count) for count in left])
    removable = []
    for channel in np.argsort(values, kind="stable"):
        if (left > least)[in_part[:, channel]].all():
            left -= in_part[:, channel]
            removable.append(channel)
    return np.array(removable, int)


def _least(minimum: float, size: int) -> int:
    # 0.28 * 25 is a little more than 7.
    return max(1, math.ceil(round(minimum * size, 9)))


class Progress:
    """Steps on the progress bar of Keras."""

    def __init__(self, target: int, verbose: Any) -> None:
        patience = PATIENCE if verbose == "auto" else 0.0
        self._shown_from = time.monotonic() + patience
        self._bar = keras.utils.Progbar(
            target, verbose=1 if verbose == "auto" else verbose
        )
        self._target, self._finished = target, 0

    def step(self) -> None:
        """Say that another step is done."""
        self._finished += 1
        # The last step is shown by `finish`, which ends the line.
        if self._finished < self._target:
            self._show(self._finished)

    def finish(self) -> None:
        """Say that all steps are done, or were not needed."""
        self._show(self._target)

    def _show(self, steps: int) -> None:
        if time.monotonic() >= self._shown_from:
            self._bar.update(steps)
