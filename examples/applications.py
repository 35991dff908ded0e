"""The networks of keras.applications by name; imported by the examples."""

from inspect import isfunction

import keras


def builder(name):
    """The function of `keras.applications` with a name from a command line."""
    found = getattr(keras.applications, name, None)
    if not isfunction(found):
        known = [
            one
            for one, value in vars(keras.applications).items()
            if isfunction(value)
        ]
        raise ValueError(
            f"keras.applications has no network {name!r}, but {sorted(known)}"
        )
    return found
