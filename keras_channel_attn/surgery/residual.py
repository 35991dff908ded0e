"""Where the residual branches of a convolutional network end."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    Probe,
    convolves,
    is_boolean,
    is_from_keras,
    is_operation,
    matrix_count,
    snake_name,
)

_ATTENTION_OPERATIONS = ("matmul", "einsum", "dot_product_attention")
_ENLARGING = ("up_sampling", "resiz", "depth_to_space")
_TRANSPOSED = ("conv_transpose", *(f"conv{n}_d_transpose" for n in (1, 2, 3)))
# Random numbers per input that a layer is tried with; large images repeat them.
_NUMBERS = 2**16


class ResidualBranches:
    """Finds the branches that the calls of a model add to a shortcut.

    A call adds if it is an addition of Keras, or another layer that is found
    to add its inputs. The shortcut is the input that all others are computed
    from. If there is no such input, the shortcut is a projection: an input
    that is computed by at most one layer with a weight matrix from a tensor
    that another input is computed from, too. Of several projections the
    shortcut is the one with the fewest such layers; if two have equally few,
    there is no shortcut.

    A branch has a convolution in it. The additions of transformers, around
    attention and around dense layers, are not residual branches here. Neither
    are the additions between parts of one tensor, as in Res2Net, nor those of
    scales, as in HRNet and feature pyramids.
    """

    def __init__(self) -> None:
        # Layers of one configuration are tried out once.
        self._known_layers: dict[Any, bool] = {}

    def ends(self, call: Call) -> list[Any]:
        """The inputs of a call that are residual branches, perhaps none."""
        inputs = list(IdentityMap(call.inputs, call.inputs))
        if len(inputs) < 2 or len({tensor.shape for tensor in inputs}) > 1:
            return []
        upstream = IdentityMap(inputs, map(call.graph.upstream, inputs))
        shortcut = root = _identity(upstream)
        if shortcut is None:
            shortcut, root = self._projection(call.graph, upstream)
        if shortcut is None or not self._adds(call):
            return []
        before = call.graph.upstream(root)
        before[root] = True
        shortcut_calls = _calls_between(call.graph, shortcut, upstream, before)
        return [
            tensor
            for tensor in inputs
            if tensor is not shortcut
            and root in upstream[tensor]
            and len(tensor.shape) > 2
            and _is_convolutional(
                calls := _calls_between(call.graph, tensor, upstream, before)
            )
            and not (
                _see_parts(shortcut_calls, root) and _see_parts(calls, root)
            )
            and not (_enlarge(calls) and not _enlarge(shortcut_calls))
        ]

    def _projection(
        self, graph: Graph, upstream: IdentityMap
    ) -> tuple[Any, Any]:
        """The input that is a projection, and the tensor that it projects."""
        found = []
        for tensor in upstream:
            others = [upstream[x] for x in upstream if x is not tensor]
            count, root = self._matrices_until(graph, tensor, others)
            if root is not None:
                found.append((count, tensor, root))
        counts = sorted(count for count, _, _ in found)
        if not found or (len(counts) > 1 and counts[0] == counts[1]):
            return None, None
        _, shortcut, root = min(found, key=lambda row: row[0])
        return shortcut, root

    def _matrices_until(
        self, graph: Graph, tensor: Any, upstream: list[IdentityMap]
    ) -> tuple[int, Any]:
        """How many layers with matrices lie between a tensor and one upstream.

        Returns their number and the tensor upstream; if there is none with one
        matrix at most on the way, 0 and `None`.
        """
        count, start = 0, tensor
        while not any(tensor in ancestors for ancestors in upstream):
            call = graph.source(tensor)
            if call is None:
                return 0, None
            inputs = [x for x in call.inputs if not _is_mask(graph, x)]
            if len(inputs) != 1:
                if tensor is start:
                    return self._shortcut_in_sum(graph, call, upstream)
                return 0, None
            # A separable convolution has two matrices and is one layer.
            count += min(1, matrix_count(call.operation))
            if count > 1:
                return 0, None
            tensor = inputs[0]
        return count, tensor

    def _shortcut_in_sum(
        self, graph: Graph, call: Call, upstream: list[IdentityMap]
    ) -> tuple[int, Any]:
        """Of a sum of several additions: the shortcut and other branches."""
        if call.inputs and self._adds(call):
            for tensor in call.inputs:
                matrices, root = self._matrices_until(graph, tensor, upstream)
                if matrices == 0 and root is not None:
                    return 0, root
        return 0, None

    def _adds(self, call: Call) -> bool:
        operation = call.operation
        if isinstance(operation, keras.layers.Add) or is_operation(
            operation, "add"
        ):
            return True
        if not isinstance(operation, keras.layers.Layer):
            return False
        is_lambda = isinstance(operation, keras.layers.Lambda)
        kind = type(operation)
        # Keras' own layers are known. Its applications have others.
        known = kind is getattr(keras.layers, kind.__name__, None)
        if len(call.inputs) != 2 or (known and not is_lambda):
            return False
        key = operation if is_lambda else _configuration(operation)
        if key not in self._known_layers:
            self._known_layers[key] = _behaves_like_addition(call)
        return self._known_layers[key]


def _is_mask(graph: Graph, tensor: Any) -> bool:
    """Whether a tensor is boolean, or the numbers of one that is."""
    while not is_boolean(tensor):
        call = graph.source(tensor)
        if call is None or len(call.inputs) != 1 or call.inner is not None:
            return False
        if isinstance(call.operation, keras.layers.Layer):
            return False
        (tensor,) = call.inputs
    return True


def _identity(upstream: IdentityMap) -> Any:
    """The input that all others are computed from, or `None`."""
    for tensor in upstream:
        if all(
            other is tensor or tensor in upstream[other] for other in upstream
        ):
            return tensor
    return None


def _calls_between(
    graph: Graph, end: Any, upstream: IdentityMap, before: IdentityMap
) -> list[Call]:
    """The calls that compute a tensor, without those of the tensors before."""
    tensors = [end, *upstream[end]]
    return [
        call
        for tensor in tensors
        if tensor not in before and (call := graph.source(tensor))
    ]


def _is_convolutional(calls: list[Call]) -> bool:
    """Whether there are convolutions and no attention in a branch."""
    return any(convolves(call.operation) for call in calls) and not any(
        map(_attends_to_positions, calls)
    )


def _see_parts(calls: list[Call], root: Any) -> bool:
    """Whether the calls receive nothing but some channels of a tensor."""
    first = [call for call in calls if any(x is root for x in call.inputs)]
    return bool(first) and all(map(_takes_part, first))


def _takes_part(call: Call) -> bool:
    """Whether a call returns some channels of its input as they are."""
    (whole, *others), part = call.inputs, call.outputs[0]
    if others or matrix_count(call.operation) or call.inner is not None:
        return False
    if len(call.outputs) > 1:
        return True
    axis = _channel_axis(call)
    return len(part.shape) == len(whole.shape) and (
        (part.shape[axis] or 0) < (whole.shape[axis] or 0)
    )


def _enlarge(calls: Iterable[Call]) -> bool:
    """Whether one of the calls returns a larger image than it receives."""
    for call in calls:
        name = snake_name(call.operation)
        if name.startswith(_ENLARGING) or name.endswith(_TRANSPOSED):
            return True
        if call.inner is not None and _enlarge(call.inner.all_calls()):
            return True
    return False


def _attends_to_positions(call: Call) -> bool:
    operation = call.operation
    if call.inner is not None:
        return any(map(_attends_to_positions, call.inner.all_calls()))
    if isinstance(operation, keras.layers.Layer):
        return "Attention" in type(operation).__name__ and is_from_keras(
            type(operation)
        )
    # A product with a weight is a linear map, one of two tensors is attention.
    return (
        snake_name(operation) in _ATTENTION_OPERATIONS
        and len(IdentityMap(call.inputs, call.inputs)) > 1
    )


def _configuration(layer: Any) -> Any:
    """What layers that compute the same share; else the layer itself."""
    try:
        config = layer.get_config()
    except Exception:
        return layer
    text = repr({**config, "name": None})
    # An address stands for an object that no text describes.
    return layer if " at 0x" in text else (type(layer), text)


def _behaves_like_addition(call: Call) -> bool:
    """Whether one of two inputs goes through unchanged and the other counts.

    Networks wrap their addition in layers of their own, which scale the branch
    or drop it: they are recognized by what they compute. Weights are random,
    since the scale of a branch often starts at zero, and so are the inputs,
    which are small: a layer for large images costs nothing.
    """
    batch_size, *sizes = call.inputs[0].shape
    shape = [batch_size or 1, *(size or 2 for size in sizes)]
    small = [min(size, 2) for size in shape]
    small[-1] = shape[-1]
    if len(shape) > 2:
        small[1] = shape[1] if _channel_axis(call) == 1 else small[1]
    for candidate in (small, shape):
        responses = _responses(call, candidate)
        if responses is not None:
            return responses
    return False


def _channel_axis(call: Call) -> int:
    axis = call.graph.channel_axis(call.inputs[0])
    if axis is None:
        first = keras.config.image_data_format() == "channels_first"
        return 1 if first else -1
    return axis


def _responses(call: Call, shape: list[int]) -> bool | None:
    """Whether a layer adds, or `None` if it does not take such inputs."""
    rng = np.random.default_rng(0)
    values = [
        np.resize(rng.normal(size=_NUMBERS + number), shape).astype("float32")
        for number in range(3)
    ]
    probe = Probe(call, weights="random")

    def result(first: int, second: int) -> Any:
        output = probe([values[first], values[second]])
        if output.shape != tuple(shape):
            raise ValueError("The layer changes the shape.")
        return output.astype("float32")

    # In 16 bits numbers of this size are a few hundredths apart.
    tolerance = 1e-3 if call.operation.compute_dtype == "float32" else 0.1
    step = values[0] - values[1]

    def adds(result: Callable[[int, int], Any]) -> bool:
        """Whether the first input passes and the second one counts."""
        difference = result(0, 2) - result(1, 2)
        # The branch may be scaled by any number but zero.
        return np.allclose(difference, step, atol=tolerance) and bool(
            np.any(result(0, 1) != result(0, 2))
        )

    try:
        return adds(result) or adds(lambda first, second: result(second, first))
    except Exception:
        return None
