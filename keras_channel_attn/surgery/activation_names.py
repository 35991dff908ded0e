"""Which activation a chain of calls computes: by its name, or by its values."""

import inspect
import math
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call, Probe, is_from_keras, is_operation

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
_RESHAPING = (keras.layers.Flatten, keras.layers.Reshape)


def activation_and_factor(
    function: Any, tensor: Any, calls: list[Call]
) -> tuple[str, int] | None:
    """Name and factor of an activation that is written in any way.

    It is `function`, the activation of the layer that made the vector of
    channels `tensor`, and the chain of calls that follow. Returns the name in
    `keras.activations` and 1; 2 for a sigmoid that is doubled; `None` for
    everything else, and where training could differ.
    """
    if not _keeps_gradients(function, tensor) or not all(
        map(_computes_alike_in_training, calls)
    ):
        return None
    name = _name_in_layers(function, calls)
    return (name, 1) if name else _match_values(function, tensor, calls)


def _name_in_layers(function: Any, calls: list[Call]) -> str | None:
    """The name of the only function, if a layer has it under its name."""
    functions = [function]
    for call in calls:
        if type(call.operation) is keras.layers.Activation:
            functions.append(call.operation.activation)
        elif type(call.operation) not in _RESHAPING:
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
    operation, tensor = call.operation, call.inputs[0]
    functions = [
        value
        for name, value in vars(operation).items()
        if inspect.isfunction(value) and not hasattr(type(operation), name)
    ]
    return (
        is_from_keras(type(operation))
        and not getattr(operation, "variables", ())
        and not is_operation(operation, "stop_gradient")
        and all(_keeps_gradients(function, tensor) for function in functions)
    )


def _keeps_gradients(function: Any, tensor: Any) -> bool:
    """Whether no gradient is stopped inside it, as far as Keras sees."""
    if is_from_keras(function):
        return True
    try:
        inputs = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype)
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
def _match_values(
    function: Any, tensor: Any, calls: list[Call]
) -> tuple[str, int] | None:
    points = _points(tensor.shape)
    try:
        values = _values(function, calls, points, tensor.shape[0])
    except Exception:
        # It is no function of any such tensor.
        return None
    if values.shape[0] != len(points) or values.size != points.size:
        return None
    tolerance = 1e-5 if values.dtype == "float32" else 2e-3
    values = values.astype("float32").reshape(points.shape)
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


def _values(
    function: Any, calls: list[Call], points: Any, batch_size: int | None
) -> Any:
    """The outputs of a chain of calls, batch by batch if its size is fixed."""
    probes = [Probe(call) for call in calls]
    parts = np.split(points, len(points) // batch_size if batch_size else 1)
    results = []
    for part in parts:
        values = _outputs(function, part)
        for probe in probes:
            values = probe([values])
        results.append(values)
    return np.concatenate(results)


def _points(shape: Any) -> Any:
    """Numbers to try a function on, different ones for each channel.

    Two functions that differ near zero, or far from it, are not the same.
    """
    sizes = np.geomspace(1e-4, 1e4, 151)
    points = np.concatenate([-sizes[::-1], [0], sizes]).astype("float32")
    if shape[0]:
        points = np.resize(points, -(-len(points) // shape[0]) * shape[0])
    channels = np.arange(math.prod(shape[1:]))[None]
    steps = np.arange(len(points))[:, None] + channels
    return points[steps % len(points)].reshape(-1, *shape[1:])
