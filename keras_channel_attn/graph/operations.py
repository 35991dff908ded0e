"""Questions about one layer or operation of a model."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_channel_attn.graph.keras_internals import functional_model


def is_model(operation: Any) -> bool:
    """Whether Keras knows its graph: a functional or sequential model.

    A model with a `call` method of its own may compute anything. A sequential
    model has no graph if a layer does not tell the shape of its output.
    """
    if isinstance(operation, keras.Sequential) and operation.built:
        has_graph = functional_model(operation) is not None
    else:
        has_graph = isinstance(operation, (keras.Function, keras.Sequential))
    return (
        has_graph
        and is_from_keras(type(operation).call)
        and "call" not in vars(operation)
    )


def is_from_keras(thing: Any) -> bool:
    """Whether a class or function is Keras' own."""
    return thing.__module__.partition(".")[0] == "keras"


def snake_name(operation: Any) -> str:
    """The class of a layer or operation in snake case: `"squeeze_excite"`.

    For an operation this is the name of the function in `keras.ops`. Its class
    is not public.
    """
    name = type(operation).__name__
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def is_operation(operation: Any, name: str) -> bool:
    """Whether it is the function of `keras.ops`, or operator, of this name."""
    return (
        not isinstance(operation, keras.layers.Layer)
        and is_from_keras(type(operation))
        and snake_name(operation) == name
    )


def matrix_count(operation: Any) -> int:
    """How many weights of two or more axes an operation has."""
    weights = getattr(operation, "weights", ())
    return sum(len(weight.shape) >= 2 for weight in weights)


def convolves(operation: Any) -> bool:
    """Whether it is a convolution, or holds one."""
    if is_model(operation):
        return any(map(convolves, operations_of(operation)))
    if not isinstance(operation, keras.layers.Layer):
        return "Conv" in type(operation).__name__
    for _, layer in inner_layers(operation):
        if is_from_keras(type(layer)):
            if "Conv" in type(layer).__name__:
                return True
        elif any(len(weight.shape) > 3 for weight in layer.weights):
            # A convolution that a user wrote: its kernel has spatial axes.
            return True
    return False


def parameters_of_call(layer: Any) -> list[str]:
    """The names of the arguments of a layer's `call`, in order."""
    return list(inspect.signature(layer.call).parameters)


def arguments_by_name(operation: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of a call of a layer, empty for other operations."""
    if not isinstance(operation, keras.layers.Layer):
        return {}
    signature = inspect.signature(operation.call)
    return dict(signature.bind(*args, **kwargs).arguments)


def operations_of(model: Any) -> list[Any]:
    """The layers and operations of a model, without those of nested ones."""
    if isinstance(model, keras.Function):
        return model.operations
    return model.layers


def inner_layers(layer: Any) -> Iterator[tuple[str, Any]]:
    """Pairs of the place and the layer, for all that a layer holds.

    The layer itself comes first, with the place `""`, and each layer before
    those inside it. Places are the same in a copy: `".cells[1]"`.
    """
    seen, waiting = set(), [("", layer)]
    while waiting:
        place, current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        yield place, current
        for name, value in vars(current).items():
            waiting += _layers_in(value, f"{place}.{name}")


def layers_in_function(function: Any) -> list[Any]:
    """The layers that a function refers to, which its symbolic call calls."""
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    cells = [
        cell.cell_contents
        for cell in function.__closure__ or ()
        if cell != type(cell)()
    ]
    names = [function.__globals__.get(name) for name in code.co_names]
    held = keras.tree.flatten([cells, names, function.__defaults__])
    return [x for x in held if isinstance(x, keras.layers.Layer)]


def inner_pairs(layer: Any, copy: Any) -> list[tuple[Any, Any]]:
    """A layer and all that it holds, each with what its copy has there."""
    places = dict(inner_layers(copy))
    return [
        (inner, places[place])
        for place, inner in inner_layers(layer)
        if place in places
    ]


def _layers_in(value: Any, place: str) -> list[tuple[str, Any]]:
    if isinstance(value, keras.layers.Layer):
        return [(place, value)]
    entries: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    else:
        return []
    return [
        found
        for key, entry in entries
        for found in _layers_in(entry, f"{place}[{key}]")
    ]
