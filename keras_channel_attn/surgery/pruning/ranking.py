"""The order in which the channels of all groups are removed."""

import math
from typing import Any

import numpy as np


class Ranking:
    """Steps that remove channels, the least important ones first.

    Args:
        scores: Dictionary from the names of groups to the importance of their
            channels.
        parts: Dictionary from the names of groups to arrays of channels, of
            each of which a share must stay: see `Grouping.parts_of_groups`.
        minimum: Number, this share, also that of the whole group.
        multiple_of: Integer. The number of channels that stay in a group is a
            multiple of it.

    Attributes:
        scores: As above.
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
    size = len(values)
    order = np.argsort(values, kind="stable")
    if not parts:
        return order[: size - _least(minimum, size)]
    in_part = np.zeros((len(parts) + 1, size), bool)
    in_part[0] = True
    for row, part in enumerate(parts, start=1):
        in_part[row, part] = True
    left = in_part.sum(axis=1)
    least = np.array([_least(minimum, count) for count in left])
    chosen = []
    for channel in order:
        if (left > least)[in_part[:, channel]].all():
            left -= in_part[:, channel]
            chosen.append(channel)
    return np.array(chosen, int)


def _least(minimum: float, size: int) -> int:
    # 0.28 * 25 is a little more than 7.
    return max(1, math.ceil(round(minimum * size, 9)))
