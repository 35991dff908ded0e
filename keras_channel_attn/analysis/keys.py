"""Names for the calls of a model."""

import collections
from collections.abc import Iterable


def unique_keys(paths: Iterable[str]) -> list[str]:
    """Paths with `":1"`, `":2"` after the second and third of the same."""
    counts: dict[str, int] = collections.Counter()
    keys = []
    for path in paths:
        count = counts[path]
        keys.append(f"{path}:{count}" if count else path)
        counts[path] += 1
    return keys
