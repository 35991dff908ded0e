"""How much the outputs of a model change, as one number for any outputs."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_channel_attn.analysis.running_statistics import RunningStatistics


class OutputChange(NamedTuple):
    """The relative change of the outputs, with bounds for other samples.

        change = rms(outputs with the change - outputs) / spread of the outputs

    The spread is the root of the mean squared difference of the outputs to
    their mean over the samples. With several outputs it is the root of the mean
    of their squared changes. The bounds are two standard errors of the mean
    over the samples away.
    """

    change: float
    lower: float
    upper: float


class OutputSpread:
    """How far the outputs of a model spread over the samples."""

    def __init__(self) -> None:
        self._statistics: list[RunningStatistics] = []
        self._shapes: list[tuple[int, ...]] = []
        self.has_one_size = True

    def update(self, outputs: Sequence[Any]) -> None:
        """Add the outputs for a batch, a list of arrays `(samples, ...)`."""
        shapes = [array.shape[1:] for array in outputs]
        if not self._statistics:
            self._statistics = [RunningStatistics() for _ in outputs]
            self._shapes = shapes
        self.has_one_size = self.has_one_size and shapes == self._shapes
        if self.has_one_size:
            for statistics, array in zip(
                self._statistics, outputs, strict=True
            ):
                statistics.update(array)

    def of_outputs(self) -> Any:
        """For each output the mean squared difference of a sample to the mean.

        `None` where the samples have different sizes and no mean.
        """
        if not self.has_one_size:
            return None
        return np.array([x.squares.sum() / x.count for x in self._statistics])


class DifferencesOfOutputs:
    """The squared differences of the outputs of two networks."""

    def __init__(self) -> None:
        self._squares: list[Any] = []

    def update(self, outputs: Sequence[Any], others: Sequence[Any]) -> None:
        """Add the outputs for a batch, two lists of arrays."""
        columns = [
            ((other - array) ** 2).reshape(len(array), -1).sum(1)
            for array, other in zip(outputs, others, strict=True)
        ]
        self._squares.append(np.stack(columns, axis=1))

    def relative_to(self, spread: OutputSpread) -> OutputChange | None:
        """The change, `None` if the outputs do not spread or are not finite."""
        of_outputs = spread.of_outputs()
        squares = np.concatenate(self._squares)
        if of_outputs is None or not (of_outputs > 0).all():
            return None
        shares = (squares / of_outputs).mean(1)
        if len(shares) < 2 or not np.isfinite(shares).all():
            return None
        mean = shares.mean()
        error = 2 * shares.std(ddof=1) / math.sqrt(len(shares))
        bounds = mean, max(mean - error, 0.0), mean + error
        return OutputChange(*(math.sqrt(x) for x in bounds))
