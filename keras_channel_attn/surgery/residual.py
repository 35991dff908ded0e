"""Where the residual branches of a network end."""

import itertools

import keras
import numpy as np

from keras_channel_attn.graph import is_operation, kernels


def branches(call):
    """The ends of the residual branches that a call adds to a shortcut.

    A call adds if it is an addition of Keras, or any other layer that turns out
    to add its inputs. Its shortcut is the input that all others are made from.
    Where there is none, it is the one that comes with the fewest kernels, one
    at most, from a tensor that another input is made from as well: a
    projection. Two inputs that are alike in this have no shortcut.

    Args:
        call: `Call`.

    Returns:
        List of those inputs of the call that are not the shortcut, empty if
        it is no addition of residual branches.
    """
    inputs = list({id(one): one for one in call.inputs}.values())
    if len(inputs) < 2 or len({one.shape for one in inputs}) > 1:
        return []
    upstream = [call.graph.upstream(one) for one in inputs]
    shortcut, root = _identity(inputs, upstream)
    if shortcut is None:
        shortcut, root = _projection(call.graph, inputs, upstream)
    if shortcut is None or not _adds(call):
        return []
    return [
        one
        for one, above in zip(inputs, upstream, strict=True)
        if one is not shortcut and root in above
    ]


def can_be_attended(call, tensor):
    """Whether a branch has spatial axes and a layer of its own at its end."""
    return len(tensor.shape) > 2 and len(call.graph.source(tensor).outputs) == 1


def _identity(inputs, upstream):
    """The input that all others are made from, and its `id`."""
    for one, own in zip(inputs, upstream, strict=True):
        if all(above is own or id(one) in above for above in upstream):
            return one, id(one)
    return None, None


def _projection(graph, inputs, upstream):
    """The input that is a projection, and the `id` of what it projects."""
    found = []
    for one, own in zip(inputs, upstream, strict=True):
        others = set().union(*(above for above in upstream if above is not own))
        count, root = _kernels_until(graph, one, others)
        if root is not None:
            found.append((count, len(found), one, root))
    found.sort()
    if not found or (len(found) > 1 and found[0][0] == found[1][0]):
        return None, None
    return found[0][2:]


def _kernels_until(graph, tensor, upstream):
    """How many layers with kernels lie between a tensor and one upstream.

    Returns:
        Their number and the `id` of the latter; if there is none with one
        kernel at most on the way, 0 and `None`.
    """
    count = 0
    while id(tensor) not in upstream:
        call = graph.source(tensor)
        if call is None:
            return 0, None
        if len(call.inputs) != 1:
            return _shortcut_in_sum(graph, call, count, upstream)
        # A separable convolution has two kernels and is one layer.
        count += min(1, kernels(call.operation))
        if count > 1:
            return 0, None
        tensor = call.inputs[0]
    return count, id(tensor)


def _shortcut_in_sum(graph, call, count, upstream):
    """As above, through the sum so far of a shortcut and other branches."""
    if count == 0 and call.inputs and _adds(call):
        for one in call.inputs:
            kernels_before, root = _kernels_until(graph, one, upstream)
            if kernels_before == 0 and root is not None:
                return 0, root
    return 0, None


def _adds(call):
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


def _behaves_like_addition(call):
    """Whether one of two inputs goes through unchanged and the other counts.

    Networks wrap their addition in layers of their own, that scale the branch
    or drop it: they are known by what they do.
    """
    if len(call.inputs) != 2:
        return False
    rng = np.random.default_rng(0)
    shape = [size or 2 for size in call.inputs[0].shape]
    values = [rng.normal(size=shape).astype("float32") for _ in range(3)]
    try:
        results = {
            pair: call.evaluate([values[one] for one in pair])
            for pair in itertools.permutations(range(3), 2)
        }
    except Exception:
        # Whatever it is, it wants more than two tensors of one shape.
        return False
    if any(result.shape != tuple(shape) for result in results.values()):
        return False
    # In 16 bits numbers of this size are a few hundredths apart.
    tolerance = 1e-3 if call.operation.compute_dtype == "float32" else 0.1

    def moves(result, other, by):
        difference = result.astype("float32") - other.astype("float32")
        return np.allclose(difference, by, atol=tolerance)

    step = values[0] - values[1]
    passes_first = moves(results[0, 2], results[1, 2], step)
    passes_second = moves(results[2, 0], results[2, 1], step)
    uses_second = not moves(results[0, 1], results[0, 2], 0)
    uses_first = not moves(results[1, 0], results[2, 0], 0)
    return (passes_first and uses_second) or (passes_second and uses_first)
