"""Warnings that show the line of the user's code."""

import inspect
import warnings

# Keras calls `build` of a layer: its lines are not the user's either.
_SKIPPED = {__name__.partition(".")[0], "keras"}


def warn(message: str) -> None:
    """Give a `UserWarning` at the first caller outside this package and Keras.

    From Python 3.12 on, `skip_file_prefixes` does the same.
    """
    level, frame = 1, inspect.currentframe()
    while frame is not None and _package_of(frame.f_globals) in _SKIPPED:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _package_of(names: dict[str, object]) -> str:
    return str(names.get("__name__")).partition(".")[0]
