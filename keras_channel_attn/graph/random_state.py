"""Random numbers that a user draws later stay the same."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def keep_random_state() -> Iterator[None]:
    """Restore the global random generators of Python and NumPy at the end.

    Keras draws the seed of each new initializer and dropout from Python's
    generator. Initializers that a user wrote often draw from NumPy's.
    """
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
