"""Channels as numbers: which ones go together, and which ones must stay."""

from typing import Any

import numpy as np

# A position that holds no channel of any layer, such as one of an input.
FIXED = -1


class Ties:
    """Pairs of channels that can only be removed together.

    Each channel that a layer makes is a number, from 0. Arrays of them stand
    for the channel axes of tensors and weights, with `FIXED` for positions that
    cannot be removed.

    Attributes:
        count: Integer, how many channels there are.
        locks: List of pairs: an array of channels, and a string that says why
            these must stay.
    """

    def __init__(self) -> None:
        self.count = 0
        self.locks: list[tuple[Any, str]] = []
        self._pairs: list[Any] = []

    def new(self, size: int) -> Any:
        """Array of channels that did not exist before."""
        channels = np.arange(self.count, self.count + size)
        self.count += size
        return channels

    def tie(self, first: Any, second: Any, reason: str) -> None:
        """Tie the channels at the same position of two arrays.

        Those that meet `FIXED` are locked for this reason.
        """
        pairs = np.stack([first, second])
        self._pairs.append(pairs[:, (pairs != FIXED).all(axis=0)])
        self.lock(pairs[:, (pairs == FIXED).any(axis=0)].ravel(), reason)

    def lock(self, channels: Any, reason: str) -> None:
        channels = channels[channels != FIXED]
        if channels.size:
            self.locks.append((channels, reason))

    def representatives(self) -> Any:
        """The first of all channels that go with each channel."""
        pairs = np.concatenate([np.zeros((2, 0), int), *self._pairs], axis=1)
        return connected(self.count, pairs)


def connected(count: int, pairs: Any) -> Any:
    """The lowest number that each of the numbers below `count` is tied to.

    Args:
        count: Integer.
        pairs: Array of shape `(2, number of pairs)`.
    """
    lowest = np.arange(count)
    while True:
        first, second = lowest[pairs]
        if (first == second).all():
            return lowest
        lower = np.minimum(first, second)
        np.minimum.at(lowest, first, lower)
        np.minimum.at(lowest, second, lower)
        while (lowest[lowest] != lowest).any():
            lowest = lowest[lowest]
