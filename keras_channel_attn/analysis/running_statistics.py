"""Means and spreads of numbers that come in batches."""

from typing import Any

import numpy as np


class RunningStatistics:
    """The mean and the spread of arrays along their first axis.

    Batches are merged by the formula of Chan et al. in double precision: sums
    of squares would lose the small spread of numbers around a large mean.

    Attributes:
        count: Integer, how many arrays there were.
        mean: Array, the mean of each number.
        squares: Array, the sum of the squared differences to the mean.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def update(self, values: Any) -> None:
        """Add a batch `(samples, ...)`."""
        values = np.asarray(values, "float64")
        count = len(values)
        if not count:
            return
        mean = values.mean(0)
        difference = mean - self.mean
        total = self.count + count
        self.squares = (
            self.squares
            + ((values - mean) ** 2).sum(0)
            + difference**2 * self.count * count / total
        )
        self.mean = self.mean + difference * count / total
        self.count = total

    @property
    def spread(self) -> Any:
        """The standard deviation of each number over the samples."""
        return np.sqrt(self.squares / self.count)
