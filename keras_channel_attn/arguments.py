"""Checks of constructor arguments.

Each function returns the value that the layer stores, or raises a `TypeError`
or `ValueError`. The message names the argument, the value that was received and
the values that are allowed.
"""

import math
import numbers
import operator
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np


def positive_integer(name: str, value: Any, or_all: bool = False) -> int:
    """`value` as a positive `int`. NumPy integers are allowed, not booleans.

    With `or_all`, -1 is allowed as well: as many as there are.
    """
    allowed = "a positive integer" + (" or -1" if or_all else "")
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be {allowed}. {_received(name, value)}")
    value = operator.index(value)
    if value < 1 and not (or_all and value == -1):
        raise ValueError(
            f"`{name}` must be {allowed}. {_received(name, value)}"
        )
    return value


def odd_integer(name: str, value: Any) -> int:
    """`value` as a positive odd `int`."""
    value = positive_integer(name, value)
    if value % 2 == 0:
        raise ValueError(
            f"`{name}` must be odd: an even kernel has no center and would "
            f"change the number of channels. {_received(name, value)} "
            f"Use {value - 1} or {value + 1}."
        )
    return value


def four_integers(name: str, values: Any) -> tuple[int, ...]:
    """`values` as a tuple of four positive integers, one for each stage."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise TypeError(
            f"`{name}` must be a tuple of four positive integers, one for each "
            f"stage. {_received(name, values)}"
        )
    if len(values) != 4:
        raise ValueError(
            f"`{name}` must have four integers, one for each stage. "
            f"{_received(name, values)}"
        )
    return tuple(positive_integer(name, value) for value in values)


def image_shape(name: str, value: Any) -> tuple[int | None, ...]:
    """`value` as a tuple of three positive integers or `None`."""
    is_text = isinstance(value, (str, bytes))
    is_sequence = hasattr(value, "__len__") and not is_text
    if not is_sequence or len(value) != 3:
        error = ValueError if is_sequence else TypeError
        raise error(
            f"`{name}` must be a tuple of three sizes without the batch, such "
            "as (224, 224, 3). The height and the width may be None. "
            f"{_received(name, value)}"
        )
    return tuple(
        None if size is None else positive_integer(name, size) for size in value
    )


def finite_number(name: str, value: Any, positive: bool = False) -> int | float:
    """`value` as a finite `int` or `float`, above zero if `positive`."""
    allowed = "a finite number" + (" above zero" if positive else "")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be {allowed}. {_received(name, value)}")
    if isinstance(value, numbers.Integral):
        value = operator.index(value)
    else:
        value = float(value)
    if not math.isfinite(value) or (positive and value <= 0):
        raise ValueError(
            f"`{name}` must be {allowed}. {_received(name, value)}"
        )
    return value


def boolean(name: str, value: Any) -> bool:
    """`value` as a `bool`. NumPy booleans are allowed, not numbers."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"`{name}` must be True or False. {_received(name, value)}"
        )
    return bool(value)


def one_of(name: str, value: Any, allowed: Sequence[str]) -> str:
    """`value`, which must be one of the strings in `allowed`."""
    if not isinstance(value, str):
        raise TypeError(
            f"`{name}` must be one of {allowed}. {_received(name, value)}"
        )
    if value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {allowed}. {_received(name, value)}"
        )
    return value


def data_format_or_global(value: Any) -> str:
    """`value`, or the global data format of Keras if it is `None`."""
    if value is None:
        value = keras.config.image_data_format()
    return one_of("data_format", value, ("channels_last", "channels_first"))


def keras_object(name: str, value: Any, get: Callable[[Any], Any]) -> Any:
    """`get(value)`, for a function of Keras such as `keras.activations.get`.

    The errors of Keras do not name the argument; the errors raised here do.
    """
    if value is None and get is keras.initializers.get:
        # Keras would use its default for kernels, also for a bias.
        raise ValueError(f"`{name}` must be an initializer. Received: None.")
    try:
        return get(value)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"`{name}` is not known to Keras: {error} "
            f"{_received(name, value)} Pass the name of a built-in, an "
            "object, or a callable."
        ) from error


def _received(name: str, value: Any) -> str:
    return f"Received: {name}={value!r} (of type {type(value).__name__})."
