"""Warnings that show the line of the user's code."""

import inspect
import warnings

_PACKAGE = __name__.partition(".")[0]


def warn(message: str) -> None:
    """Give a `UserWarning` at the first caller outside this package.

    From Python 3.12 on, `skip_file_prefixes` does the same.
    """
    level, frame = 1, inspect.currentframe()
    while frame is not None and _is_of_package(frame.f_globals):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _is_of_package(names: dict[str, object]) -> bool:
    return str(names.get("__name__")).partition(".")[0] == _PACKAGE
