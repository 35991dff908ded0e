"""Checks of constructor arguments.

Each function returns the value that the layer stores, or raises a `TypeError`
or `ValueError`. The message names the argument, the value that was received and
the values that are allowed.
"""

import numbers
import operator
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np


def positive_integer(name: str, value: Any, or_all: bool = False) -> int:
    """`value` as a positive `int`: not a boolean, but one of NumPy's integers.

    Arrays without axes are allowed, as in shapes of Keras. With `or_all`, -1 is
    allowed as well: as many as there are.
    """
    allowed = "a positive integer" + (" or -1" if or_all else "")
    try:
        integer = operator.index(value)
    except TypeError:
        integer = None
    if integer is None or isinstance(value, bool):
        raise _error(TypeError, name, value, f"must be {allowed}.")
    if integer < 1 and not (or_all and integer == -1):
        raise _error(ValueError, name, value, f"must be {allowed}.")
    return integer


def positive_integer_or_none(name: str, value: Any) -> int | None:
    """`value` as a positive `int`, or `None`."""
    return None if value is None else positive_integer(name, value)


def odd_integer(name: str, value: Any) -> int:
    """`value` as a positive odd `int`."""
    value = positive_integer(name, value)
    if value % 2 == 0:
        rule = (
            "must be odd: an even kernel has no center and would change the "
            "number of channels."
        )
        advice = f" Use {value - 1} or {value + 1}."
        raise _error(ValueError, name, value, rule, advice)
    return value


def four_integers(
    name: str, values: Any, check: Callable[[str, Any], int] = positive_integer
) -> tuple[int, ...]:
    """`values` as a tuple of four integers, one for each stage."""
    rule = "must be a tuple of four positive integers, one for each stage."
    _check_length(name, values, 4, rule)
    return tuple(
        check(f"{name}[{index}]", value) for index, value in enumerate(values)
    )


def image_shape(name: str, value: Any) -> tuple[int | None, ...]:
    """`value` as a tuple of three positive integers or `None`."""
    rule = (
        "must be a tuple of three sizes without the batch, such as "
        "(224, 224, 3). The height and the width may be None."
    )
    _check_length(name, value, 3, rule)
    return tuple(
        positive_integer_or_none(f"{name}[{index}]", size)
        for index, size in enumerate(value)
    )


def finite_number(name: str, value: Any, positive: bool = False) -> int | float:
    """`value` as a finite `int` or `float`, above zero if `positive`."""
    allowed = "a finite number" + (" above zero" if positive else "")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise _error(TypeError, name, value, f"must be {allowed}.")
    if isinstance(value, numbers.Integral):
        value = operator.index(value)
    else:
        value = float(value)
    # Not `isfinite`, which raises an error for integers beyond `float`.
    if not abs(value) <= sys.float_info.max or (positive and value <= 0):
        raise _error(ValueError, name, value, f"must be {allowed}.")
    return value


def number_or_auto(name: str, value: Any) -> int | float | str:
    """`value` as a number above zero, or the string `"auto"`."""
    if isinstance(value, str):
        if value == "auto":
            return value
        requirement = 'must be "auto" or a finite number above zero.'
        raise _error(ValueError, name, value, requirement)
    return finite_number(name, value, positive=True)


def boolean(name: str, value: Any) -> bool:
    """`value` as a `bool`. NumPy booleans are allowed, not numbers."""
    if not isinstance(value, (bool, np.bool_)):
        raise _error(TypeError, name, value, "must be True or False.")
    return bool(value)


def one_of(name: str, value: Any, allowed: Sequence[str]) -> str:
    """`value`, which must be one of the strings in `allowed`."""
    is_text = isinstance(value, str)
    if not is_text or value not in allowed:
        kind = ValueError if is_text else TypeError
        raise _error(kind, name, value, f"must be one of {allowed}.")
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
        rule = f"is not known to Keras: {error}"
        advice = " Pass the name of a built-in, an object, or a callable."
        raise _error(type(error), name, value, rule, advice) from error


def is_sequence(value: Any) -> bool:
    """Whether a value has entries: no text, and no array without axes."""
    # Such an array has the attribute, and no length.
    has_length = hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0
    return has_length and not isinstance(value, (str, bytes))


def _check_length(name: str, value: Any, length: int, rule: str) -> None:
    if not is_sequence(value):
        raise _error(TypeError, name, value, rule)
    if len(value) != length:
        raise _error(ValueError, name, value, rule)


def _error(
    kind: type[Exception], name: str, value: Any, rule: str, advice: str = ""
) -> Exception:
    received = f"Received: {name}={value!r} (of type {type(value).__name__})."
    return kind(f"`{name}` {rule} {received}{advice}")
