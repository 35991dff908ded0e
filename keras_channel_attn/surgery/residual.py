"""Where the residual branches of a network end."""

import itertools
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    Graph,
    Probe,
    TensorMap,
    is_operation,
    matrix_count,
)


def branches(call: Call) -> list[Any]:
    """The ends of the residual branches that a call adds to a shortcut.

    A call adds if it is an addition of Keras, or any other layer that is found
    to add its inputs. Its shortcut is the input that all others are computed
    from. Where there is none, it is the input that comes with the fewest
    weight matrices, one at most, from a tensor that another input is computed
    from as well: a projection. Two inputs with equally many have no shortcut.

    Args:
        call: `Call`.

    Returns:
        List of those inputs of the call that are not the shortcut, empty if
        the call is no addition of residual branches.
    """
    inputs = list(_distinct(call.inputs))
    if len(inputs) < 2 or len({tensor.shape for tensor in inputs}) > 1:
        return []
    upstream = TensorMap()
    for tensor in inputs:
        upstream[tensor] = call.graph.upstream(tensor)
    shortcut = root = _identity(upstream)
    if shortcut is None:
        shortcut, root = _projection(call.graph, upstream)
    if shortcut is None or not _adds(call):
        return []
    return [
        tensor
        for tensor in inputs
        if tensor is not shortcut and root in upstream[tensor]
    ]


def can_be_attended(call: Call, tensor: Any) -> bool:
    """Whether a branch has spatial axes and a layer of its own at its end."""
    source = call.graph.source(tensor)
    return (
        len(tensor.shape) > 2
        and source is not None
        and len(source.outputs) == 1
    )


def _distinct(tensors: list[Any]) -> TensorMap:
    found = TensorMap()
    for tensor in tensors:
        found[tensor] = True
    return found


def _identity(upstream: TensorMap) -> Any:
    """The input that all others are computed from, or `None`."""
    for tensor in upstream:
        if all(
            other is tensor or tensor in upstream[other] for other in upstream
        ):
            return tensor
    return None


def _projection(graph: Graph, upstream: TensorMap) -> tuple[Any, Any]:
    """The input that is a projection, and the tensor that it projects."""
    found = []
    for tensor in upstream:
        others = TensorMap()
        for other in upstream:
            if other is not tensor:
                for ancestor in upstream[other]:
                    others[ancestor] = True
        count, root = _matrices_until(graph, tensor, others)
        if root is not None:
            found.append((count, tensor, root))
    counts = sorted(count for count, _, _ in found)
    if not found or (len(counts) > 1 and counts[0] == counts[1]):
        return None, None
    return min(found, key=lambda row: row[0])[1:]


def _matrices_until(
    graph: Graph, tensor: Any, upstream: TensorMap
) -> tuple[int, Any]:
    """How many layers with matrices lie between a tensor and one upstream.

    Returns:
        Their number and the tensor upstream; if there is none with one matrix
        at most on the way, 0 and `None`.
    """
    count = 0
    while tensor not in upstream:
        call = graph.source(tensor)
        if call is None:
            return 0, None
        if len(call.inputs) != 1:
            return _shortcut_in_sum(graph, call, count, upstream)
        # A separable convolution has two matrices and is one layer.
        count += min(1, matrix_count(call.operation))
        if count > 1:
            return 0, None
        tensor = call.inputs[0]
    return count, tensor


def _shortcut_in_sum(
    graph: Graph, call: Call, count: int, upstream: TensorMap
) -> tuple[int, Any]:
    """Of a sum of several additions: the shortcut and other branches."""
    if count == 0 and call.inputs and _adds(call):
        for tensor in call.inputs:
            matrices, root = _matrices_until(graph, tensor, upstream)
            if matrices == 0 and root is not None:
                return 0, root
    return 0, None


def _adds(call: Call) -> bool:
    operation = call.operation
    if isinstance(operation, keras.layers.Add) or is_operation(
        operation, "Add"
    ):
        return True
    if not isinstance(operation, keras.layers.Layer):
        return False
    known = getattr(keras.layers, type(operation).__name__, None)
    is_other = known is not type(operation) or known is keras.layers.Lambda
    return is_other and _behaves_like_addition(call)


def _behaves_like_addition(call: Call) -> bool:
    """Whether one of two inputs goes through unchanged and the other counts.

    Networks wrap their addition in layers of their own, that scale the branch
    or drop it: they are recognized by what they compute.
    """
    if len(call.inputs) != 2:
        return False
    rng = np.random.default_rng(0)
    shape = [size or 2 for size in call.inputs[0].shape]
    values = [rng.normal(size=shape).astype("float32") for _ in range(3)]
    probe = Probe(call)
    try:
        results = {
            pair: probe([values[number] for number in pair])
            for pair in itertools.permutations(range(3), 2)
        }
    except Exception:
        # The layer takes something else than two tensors of one shape.
        return False
    if any(result.shape != tuple(shape) for result in results.values()):
        return False
    # In 16 bits numbers of this size are a few hundredths apart.
    tolerance = 1e-3 if call.operation.compute_dtype == "float32" else 0.1

    def moves(result: Any, other: Any, by: Any) -> bool:
        difference = result.astype("float32") - other.astype("float32")
        return np.allclose(difference, by, atol=tolerance)

    step = values[0] - values[1]
    passes_first = moves(results[0, 2], results[1, 2], step)
    passes_second = moves(results[2, 0], results[2, 1], step)
    uses_second = not moves(results[0, 1], results[0, 2], 0)
    uses_first = not moves(results[1, 0], results[2, 0], 0)
    return (passes_first and uses_second) or (passes_second and uses_first)
