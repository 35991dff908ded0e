"""Names for the calls of a model."""

import collections
from collections.abc import Iterable


def unique_keys(
    paths: Iterable[str], reserved: Iterable[str] = ()
) -> list[str]:
    """Paths with `":1"`, `":2"` after the second and third of the same.

    A path that ends in such a number itself is the key of no other, and neither
    is a reserved one.
    """
    given = list(paths)
    taken = {*given, *reserved}
    counts: dict[str, int] = collections.Counter()
    seen: set[str] = set()
    keys = []
    for path in given:
        key = path
        while key in seen or (key in taken and key != path):
            counts[path] += 1
            key = f"{path}:{counts[path]}"
        seen.add(key)
        keys.append(key)
    return keys
