"""Warnings that show the line of the user's code, and lists in messages."""

import inspect
import warnings
from collections.abc import Sequence

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


def first_lines(lines: Sequence[str], most: int, more: str = "") -> str:
    """The first of some lines, and how many others there are.

    Args:
        lines: List of strings.
        most: Integer, how many are shown.
        more: String after the number of the others. Defaults to `""`.
    """
    rest = len(lines) - most
    others = [f"and {rest} others{more}"] if rest > 0 else []
    return "\n  ".join([*lines[:most], *others])


def _package_of(names: dict[str, object]) -> str:
    return str(names.get("__name__")).partition(".")[0]
