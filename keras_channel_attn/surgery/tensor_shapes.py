"""The shapes of all tensors of a model, for concrete sizes of its inputs.

Whether two tensors of unknown length have the same length is not recorded in a
model. Their shapes for several lengths of the inputs tell.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_channel_attn.analysis.shapes import ShapedCall
from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    inputs_of_nested,
    interpret,
)
from keras_channel_attn.graph.keras_internals import keep_names

# Odd sizes: half of one is rounded up in some layers and down in others. Two
# of them: different resolutions do not agree by chance.
_ODD = (331, 457)
# For networks that need multiples, such as a U-Net.
_MULTIPLES = (320, 448)


def possible_shapes(graph: Graph) -> Iterator[IdentityMap]:
    """The shapes of all tensors, for several ways to choose sizes of inputs.

    First each input has a size of its own, then all have one size, at last a
    multiple of 64. A way that does not fit the network is left out.

    Yields:
        `IdentityMap` from each tensor of the model and of those nested in it
        to a list of shapes, one for each of two sizes.
    """
    count = len(graph.model.inputs)
    ways = [
        [[size + 64 * index for index in range(count)] for size in _ODD],
        [[size] * count for size in _ODD],
        [[size] * count for size in _MULTIPLES],
    ]
    for sizes in ways[count == 1 :]:
        found = IdentityMap()
        try:
            with keep_names():
                for own_sizes in sizes:
                    _add_shapes(found, graph, own_sizes)
        except Exception:
            # Inputs that must have one size, or a layer that cannot tell.
            continue
        yield found


def _add_shapes(found: IdentityMap, graph: Graph, sizes: Sequence[int]) -> None:
    """Add the shape of each tensor, with sizes for the unknown axes."""

    def add(tensors: Any, values: Any) -> None:
        for tensor, value in zip(tensors, values, strict=True):
            found.setdefault(tensor, []).append(tuple(value.shape))

    def apply(call: Call, values: IdentityMap) -> Any:
        args, kwargs = call.arguments(values)
        shaped = ShapedCall(call.operation, args, kwargs, call.path)
        add(call.outputs, keras.tree.flatten(shaped.specification))
        return shaped.specification

    def enter(call: Call, values: IdentityMap) -> list[Any]:
        inputs = inputs_of_nested(call, values)
        add(call.operation.inputs, inputs)
        return inputs

    inputs = []
    for tensor, size in zip(graph.model.inputs, sizes, strict=True):
        batch_size, *axes = tensor.shape
        shape = (batch_size or 1, *(axis or size for axis in axes))
        inputs.append(
            keras.KerasTensor(shape, dtype=tensor.dtype, sparse=tensor.sparse)
        )
    add(graph.model.inputs, inputs)
    interpret(graph, inputs, apply, enter)
