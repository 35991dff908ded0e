"""The shapes in a model for one sample, computed without calling a layer."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    arguments_by_name,
    interpret,
)
from keras_channel_attn.graph.keras_internals import keep_names

Shape = tuple[int, ...]


class ShapedCall:
    """A layer or operation with the shapes that one call of it has.

    Attributes:
        operation: The layer or operation.
        path: String, as in `Call`.
        args, kwargs: What it is called with, symbolic tensors for tensors.
        inputs: List of shapes: of the tensors, arrays and variables among the
            arguments.
        outputs: List of shapes.
        problem: String, why the calls inside it cannot be found out; empty if
            they can, or if nothing is inside.
    """

    def __init__(
        self, operation: Any, args: Any, kwargs: Any, path: str = ""
    ) -> None:
        self.operation = operation
        self.path = path
        self.problem = ""
        self.args, self.kwargs = args, kwargs
        self.inputs = _shapes((args, kwargs))
        self.specification = _output_specification(operation, args, kwargs)
        self.outputs = _shapes(self.specification)
        if any(None in shape for shape in self.outputs):
            raise ValueError(f"The shapes {self.outputs} depend on values.")

    def argument(self, name: str) -> Shape | None:
        """The shape of an argument of the layer's `call`, if it is passed."""
        arguments = arguments_by_name(self.operation, self.args, self.kwargs)
        shapes = _shapes(arguments.get(name))
        return shapes[0] if shapes else None


def shaped_calls(
    graph: Graph, input_shapes: Sequence[Shape]
) -> list[ShapedCall]:
    """All calls in the order of computation, with the shapes they have.

    Those in a nested model come once for each call of that model. The model is
    not changed: no layer is called.
    """
    calls: list[ShapedCall] = []

    def apply(call: Call, specifications: IdentityMap) -> Any:
        shaped = _shaped_call(call, *call.arguments(specifications))
        calls.append(shaped)
        return shaped.specification

    with keep_names():
        inputs = [
            keras.KerasTensor(shape, dtype=tensor.dtype, sparse=tensor.sparse)
            for shape, tensor in zip(
                input_shapes, graph.model.inputs, strict=True
            )
        ]
        interpret(graph, inputs, apply)
    return calls


def _shaped_call(call: Call, args: Any, kwargs: Any) -> ShapedCall:
    try:
        return ShapedCall(call.operation, args, kwargs, call.path)
    except Exception as error:
        raise ValueError(
            f"The output shape of '{call.path}' (of type "
            f"{type(call.operation).__name__}) cannot be computed for inputs "
            f"of the shapes {_shapes((args, kwargs))}: {error}"
        ) from error


def _output_specification(operation: Any, args: Any, kwargs: Any) -> Any:
    if not isinstance(operation, keras.layers.Layer):
        return operation.compute_output_spec(*args, **kwargs)
    kwargs = {k: v for k, v in kwargs.items() if k != "training"}
    specification = operation.compute_output_spec(*args, **kwargs)
    if any(None in shape for shape in _shapes(specification)):
        # `EinsumDense` returns the shape that it was built with. The
        # computation itself is traced instead.
        specification = keras.Operation.compute_output_spec(
            operation, *args, **kwargs
        )
    return specification


def _shapes(structure: Any) -> list[Shape]:
    return [
        tuple(leaf.shape)
        for leaf in keras.tree.flatten(structure)
        if hasattr(leaf, "shape")
    ]
