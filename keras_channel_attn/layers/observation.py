"""Attention layers, observed or replaced while any code calls them."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

# From an attention layer and its scores.
Observer = Callable[[Any, Any], None]
# From an attention layer to what is called in its place, or to `None`.
Substitution = Callable[[Any], Callable[..., Any] | None]

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


@contextlib.contextmanager
def substitute_calls(substitution: Substitution | None) -> Iterator[None]:
    """Call something else in the place of attention layers.

    It holds where `observe_scores` holds. `None` ends the substitution.
    """
    before = getattr(_THREAD, "substitution", None)
    _THREAD.substitution = substitution
    try:
        yield
    finally:
        _THREAD.substitution = before


def substitute_of(layer: Any) -> Callable[..., Any] | None:
    """What is called in the place of an attention layer, or `None`."""
    substitution = getattr(_THREAD, "substitution", None)
    return None if substitution is None else substitution(layer)
