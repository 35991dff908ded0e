"""Attention scores, seen while any code calls the layers."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

# From an attention layer and its scores.
Observer = Callable[[Any, Any], None]

# Other threads may use the same layers at the same time.
_THREAD = threading.local()


@contextlib.contextmanager
def observe_scores(observer: Observer | None) -> Iterator[None]:
    """Give the scores of each call of an attention layer to a function.

    It holds for the calls of this thread inside the context, in a `call` method
    of a user too. `None` ends the observation.
    """
    before = score_observer()
    _THREAD.observer = observer
    try:
        yield
    finally:
        _THREAD.observer = before


def score_observer() -> Observer | None:
    """The function that is given the scores, or `None`."""
    return getattr(_THREAD, "observer", None)
