"""The shapes for which a model is counted, from what a user passes."""

import numbers
from typing import Any

from keras_channel_attn.analysis.shapes import Shape
from keras_channel_attn.arguments import positive_integer_or_none


def input_shapes(model: Any, input_shape: Any) -> list[Shape]:
    """The shape of each input, with a batch axis and without `None`.

    Args:
        model: Functional or sequential model of Keras, built.
        input_shape: As in `model_costs`.
    """
    symbolic = [tuple(tensor.shape) for tensor in model.inputs]
    given: list[Any] = [shape[1:] for shape in symbolic]
    if input_shape is not None:
        given = _flat_shapes(model, input_shape)
    batch = next((shape[0] for shape in symbolic if shape[0]), 1)
    ranks = [len(shape) + 1 for shape in given]
    fits = ranks == list(map(len, symbolic)) and all(
        None in sizes or sizes[0] == sizes[1]
        for own, new in zip(symbolic, given, strict=True)
        for sizes in zip(own[1:], new, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`input_shape` does not fit the inputs of the model "
            f"'{model.name}', which have the shapes {symbolic} with the batch "
            f"axis. Received: input_shape={input_shape!r}, which is to be "
            "without it."
        )
    shapes = [(batch, *shape) for shape in given]
    if any(None in shape for shape in shapes):
        raise ValueError(
            f"The inputs of the model '{model.name}' have the shapes "
            f"{symbolic}. Pass `input_shape` without the batch axis, such as "
            "`input_shape=(224, 224, 3)`: the number of multiply-adds depends "
            f"on it. Received: input_shape={input_shape!r}."
        )
    return shapes


def _flat_shapes(model: Any, input_shape: Any) -> list[Any]:
    """The argument as a list with a shape for each input."""
    shapes = [input_shape]
    if isinstance(input_shape, dict):
        keys = [tensor.name for tensor in model.inputs]
        if isinstance(getattr(model, "input", None), dict):
            # In the order in which Keras flattens a dictionary.
            keys = sorted(model.input)
        if set(input_shape) != set(keys):
            raise ValueError(
                "A dictionary `input_shape` must have a shape for each input "
                f"of the model '{model.name}', by its name: {keys}. Received: "
                f"input_shape={input_shape!r}."
            )
        shapes = [input_shape[key] for key in keys]
    elif _has_shapes(model, input_shape):
        shapes = input_shape
    try:
        return [_shape(shape) for shape in shapes]
    except (TypeError, ValueError) as error:
        raise type(error)(
            "`input_shape` must be a tuple of positive integers without the "
            "batch axis, such as (224, 224, 3), an integer for an input with "
            "one axis, or a list or dictionary of these. "
            f"Received: input_shape={input_shape!r} (of type "
            f"{type(input_shape).__name__})."
        ) from error


def _has_shapes(model: Any, input_shape: Any) -> bool:
    # Integers for several inputs are a shape each.
    return isinstance(input_shape, (list, tuple)) and (
        len(model.inputs) > 1
        or any(hasattr(shape, "__len__") for shape in input_shape)
    )


def _shape(sizes: Any) -> tuple[int | None, ...]:
    if isinstance(sizes, numbers.Integral):
        sizes = (sizes,)
    return tuple(positive_integer_or_none("input_shape", x) for x in sizes)
