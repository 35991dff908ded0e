"""Attention layers, observed or replaced while any code calls them."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

# From an attention layer and its scores. Steps in time that are wholly masked
# may come as a third argument, a boolean tensor of the first axes.
Observer = Callable[..., None]
# From an attention layer to what is called in its place, or to `None`.
Substitution = Callable[[Any], Callable[..., Any] | None]

# Other threads may use the same layers at the same time.
_THREAD = threading.local()


def observe_scores(
    observer: Observer | None,
) -> contextlib.AbstractContextManager[None]:
    """Give the scores of each call of an attention layer to a function.

    It holds for the calls of this thread inside the context, in a `call` method
    of a user too. `None` ends the observation.
    """
    return _set("observer", observer)


def score_observer() -> Observer | None:
    """The function that is given the scores, or `None`."""
    return getattr(_THREAD, "observer", None)


def substitute_calls(
    substitution: Substitution | None,
) -> contextlib.AbstractContextManager[None]:
    """Call something else in the place of attention layers.

    It holds where `observe_scores` holds. `None` ends the substitution.
    """
    return _set("substitution", substitution)


@contextlib.contextmanager
def _set(name: str, value: Any) -> Iterator[None]:
    before = getattr(_THREAD, name, None)
    setattr(_THREAD, name, value)
    try:
        yield
    finally:
        setattr(_THREAD, name, before)


def substitute_of(layer: Any) -> Callable[..., Any] | None:
    """What is called in the place of an attention layer, or `None`."""
    substitution = getattr(_THREAD, "substitution", None)
    return None if substitution is None else substitution(layer)
