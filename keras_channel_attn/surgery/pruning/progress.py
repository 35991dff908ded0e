"""A progress bar for what may take long."""

import time
from typing import Any

import keras

VERBOSE = ("auto", 0, 1, 2)
# Seconds after which "auto" shows the bar. ResNet50 takes about one.
PATIENCE = 2.0


class Progress:
    """Steps on the progress bar of Keras.

    Args:
        target: Integer, the number of steps.
        verbose: One of `VERBOSE`: see `prune_channels`.
    """

    def __init__(self, target: int, verbose: Any) -> None:
        patience = PATIENCE if verbose == "auto" else 0.0
        self._shown_from = time.monotonic() + patience
        self._bar = keras.utils.Progbar(
            target, verbose=1 if verbose == "auto" else verbose
        )
        self._target, self._done = target, 0

    def step(self) -> None:
        """Say that another step is done."""
        self._done += 1
        # The last step is shown by `finish`, which ends the line.
        if self._done < self._target:
            self._show(self._done)

    def finish(self) -> None:
        """Say that all steps are done, or were not needed."""
        self._show(self._target)

    def _show(self, done: int) -> None:
        if time.monotonic() >= self._shown_from:
            self._bar.update(done)
