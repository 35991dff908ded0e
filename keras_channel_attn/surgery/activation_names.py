"""Which activation some nodes compute: by its name, or by its values."""

import inspect
import math
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    Probe,
    is_from_keras,
    is_operation,
    snake_name,
)
from keras_channel_attn.surgery.normal_nodes import Node, shape_of

_NAMES = (
    "linear",
    "relu",
    "relu6",
    "silu",
    "hard_silu",
    "gelu",
    "elu",
    "leaky_relu",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
)
# Those that are 0.5 at zero: an identity start doubles them.
_DOUBLED_NAMES = ("sigmoid", "hard_sigmoid")
# Operations of these names are functions without arguments.
_NAMED_OPERATIONS = ("relu", "relu6", "silu", "tanh", "sigmoid", "hard_sigmoid")
# Of all numbers that a function is tried on.
_LARGEST_SIZE = 50_000


def activation_and_factor(node: Node) -> tuple[str, int] | None:
    """Name and factor of an activation that is written in any way.

    It is all that follows the last node that is not elementwise. Returns the
    name in `keras.activations` and 1; 2 for a sigmoid that is doubled; `None`
    for everything else, and where training could differ.
    """
    function = keras.activations.linear
    calls = [step.call for step in _steps(node)]
    if any(map(_is_inside_layer, _steps(node))):
        function = calls.pop(0).operation.activation
    if not _keeps_gradients(function, shape_of(node.base.layout)) or not all(
        map(_computes_alike_in_training, calls)
    ):
        return None
    name = _name_in_layers(function, calls)
    return (name, 1) if name else _match_values(function, node)


def _is_inside_layer(step: Node) -> bool:
    """Whether it is the activation of the layer with a linear map."""
    return step.call is step.base.call


def _steps(node: Node) -> list[Node]:
    """The elementwise nodes up to a node, each after its inputs."""
    found: dict[Node, None] = {}
    for given in node.inputs if node.kind == "elementwise" else ():
        found.update(dict.fromkeys(_steps(given)))
    if node.kind == "elementwise":
        found[node] = None
    return list(found)


def _name_in_layers(function: Any, calls: list[Any]) -> str | None:
    """The name of the only function, if a layer has it under its name."""
    functions = [function]
    for call in calls:
        if type(call.operation) is keras.layers.Activation:
            functions.append(call.operation.activation)
        elif any(is_operation(call.operation, n) for n in _NAMED_OPERATIONS):
            functions.append(keras.activations.get(snake_name(call.operation)))
        else:
            return None
    linear = keras.activations.linear
    functions = [f for f in functions if f is not linear] or [linear]
    if len(functions) > 1:
        return None
    named = (n for n in _NAMES if keras.activations.get(n) is functions[0])
    return next(named, None)


def _computes_alike_in_training(call: Call) -> bool:
    """Whether the values of a call in inference tell all that it does.

    A user's layer may do something else in training. One that drops at random
    has variables.
    """
    operation, shape = call.operation, tuple(call.inputs[0].shape)
    functions = [
        value
        for name, value in vars(operation).items()
        if inspect.isfunction(value) and not hasattr(type(operation), name)
    ]
    return (
        is_from_keras(type(operation))
        and not getattr(operation, "variables", ())
        and not is_operation(operation, "stop_gradient")
        and all(_keeps_gradients(function, shape) for function in functions)
    )


def _keeps_gradients(function: Any, shape: Any) -> bool:
    """Whether no gradient is stopped inside it, as far as Keras sees."""
    if is_from_keras(function):
        return True
    try:
        inputs = keras.Input(batch_shape=shape)
        graph = keras.Function(inputs, function(inputs))
    except Exception:
        # It is written with something else than `keras.ops`.
        return False
    return not any(
        is_operation(operation, "stop_gradient")
        for operation in graph.operations
    )


# NumPy warns of what is infinite far from zero.
@np.errstate(over="ignore", invalid="ignore")
def _match_values(function: Any, node: Node) -> tuple[str, int] | None:
    shape = shape_of(node.base.layout)
    points = _points(shape)
    parts = np.split(points, len(points) // shape[0] if shape[0] else 1)
    try:
        values = np.concatenate([_values(function, node, x) for x in parts])
    except Exception:
        # It is no function of any such tensor.
        return None
    tolerance = 1e-5 if values.dtype == "float32" else 2e-3
    values = values.astype("float32")
    candidates = [(name, 1) for name in _NAMES]
    candidates += [(name, 2) for name in _DOUBLED_NAMES]
    for name, factor in candidates:
        expected = _outputs(keras.activations.get(name), points)
        if np.allclose(
            values, factor * expected, rtol=tolerance, atol=tolerance**2
        ):
            return name, factor
    return None


def _outputs(function: Any, array: Any) -> Any:
    outputs = function(keras.ops.convert_to_tensor(array))
    return keras.ops.convert_to_numpy(outputs)


def _values(function: Any, node: Node, points: Any) -> Any:
    """The outputs of elementwise nodes, in the shape of the points."""
    arrays = {node.base: points}
    for step in _steps(node):
        if _is_inside_layer(step):
            arrays[step] = _outputs(function, points)
            continue
        # Between two of them the numbers may be in another shape.
        shape = tuple(step.call.inputs[0].shape[1:])
        shape = points.shape[1:] if None in shape else shape
        given = [arrays[x].reshape(-1, *shape) for x in step.inputs]
        arrays[step] = Probe(step.call)(given)
    return arrays[node].reshape(points.shape)


def _points(shape: Any) -> Any:
    """Numbers to try a function on, different ones for each channel.

    Two functions that differ near zero, or far from it, are not the same.
    """
    sizes = np.geomspace(1e-4, 1e4, 151)
    points = np.concatenate([-sizes[::-1], [0], sizes]).astype("float32")
    inner = [size or 2 for size in shape[1:]]
    count = math.prod(inner)
    samples = min(len(points), max(8, _LARGEST_SIZE // count))
    if shape[0]:
        samples = -(-samples // shape[0]) * shape[0]
    steps = np.arange(samples)[:, None] + np.arange(count)[None]
    return points[steps % len(points)].reshape(-1, *inner)
