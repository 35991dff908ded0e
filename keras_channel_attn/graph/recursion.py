"""Python's recursion limit, raised while Keras visits a deep network."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def raise_recursion_limit(layer_count: int) -> Iterator[None]:
    """Let `keras.Model` build a network with this many layers in a row.

    It visits the layers of a graph by recursion, one Python frame for each,
    and Python's default limit is 1000. The limit is put back afterwards.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + layer_count)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
