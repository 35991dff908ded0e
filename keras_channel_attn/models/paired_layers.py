"""Which layer of a network is in the place of which layer of another one."""

from typing import Any

import keras

from keras_channel_attn.graph import Call, IdentityMap, graph_of

# Arguments that change no output of a trained layer.
_OF_TRAINING = {
    *("name", "dtype", "trainable", "momentum", "synchronized"),
    "learning_rate_multiplier",
}
_OF_TRAINING_ENDINGS = ("initializer", "regularizer", "constraint")
# Arguments that say the sizes of weights, whose shapes are compared.
_SIZES = {"reduction", "bottleneck_units", "divisor"}


def pair_layers(
    network: keras.Model, reference: keras.Model
) -> tuple[dict[Any, Any], list[str]]:
    """Compare a network with another one that has the same computation.

    Both are followed from the output to the input, so that the names of layers
    do not matter.

    Returns:
        Dictionary from each layer of `reference` to that of `network`, and a
        list of what differs, in words.
    """
    graph, expected_graph = graph_of(network), graph_of(reference)
    layers: dict[Any, Any] = {}
    problems: dict[Call | None, str] = {}
    visited = IdentityMap()
    waiting = [(graph.outputs[0], expected_graph.outputs[0])]
    while waiting:
        tensor, expected_tensor = waiting.pop()
        if visited.get(expected_tensor) is tensor:
            continue
        call = graph.source(tensor)
        expected = expected_graph.source(expected_tensor)
        if expected_tensor in visited or not _has_kind(call, expected):
            problems[call] = f"{_label(call)} in place of {_label(expected)}"
            continue
        visited[expected_tensor] = tensor
        if call is not None and expected is not None:
            difference = _difference(call, expected)
            if difference:
                problems[call] = f"{_label(call)} with {difference}"
            layers[expected.operation] = call.operation
            # A missing input is a difference of this call.
            waiting += zip(call.inputs, expected.inputs, strict=False)
    # From the input to the output.
    in_order = [problems[x] for x in (None, *graph.calls) if x in problems]
    return layers, in_order + _of_outputs(network, reference)


def _of_outputs(network: keras.Model, reference: keras.Model) -> list[str]:
    counts = [len(model.outputs) for model in (network, reference)]
    if counts[0] == counts[1]:
        return []
    return [f"{counts[0]} outputs in place of {counts[1]}"]


def _has_kind(call: Call | None, expected: Call | None) -> bool:
    """Whether both are calls of layers of one class, or both are the input."""
    if call is None or expected is None:
        return call is expected
    return type(call.operation) is type(expected.operation)


def _label(call: Call | None) -> str:
    if call is None:
        return "the input"
    return f"'{call.path}' ({type(call.operation).__name__})"


def _difference(call: Call, expected: Call) -> str:
    """What differs between the calls of two layers of one class, or `""`."""
    ours, theirs = _properties(call), _properties(expected)
    names = [
        name
        for name in {**theirs, **ours}
        if ours.get(name) != theirs.get(name)
    ]
    return " in place of ".join(
        ", ".join(f"{name}={properties.get(name)!r}" for name in names)
        for properties in (ours, theirs)
        if names
    )


def _properties(call: Call) -> dict[str, Any]:
    """What the outputs of a trained layer depend on, but for its weights."""
    layer = call.operation
    arguments = {
        name: value
        for name, value in layer.get_config().items()
        if name not in _OF_TRAINING | _SIZES
        and not name.endswith(_OF_TRAINING_ENDINGS)
    }
    shapes = [tuple(weight.shape) for weight in layer.weights]
    return {**arguments, "shapes": shapes, "inputs": len(call.inputs)}
