"""Tensors as the results of normal operations, and the axes they have.

The axes of tensors have identities, which reshaping and transposing only move.
So two axes are the same because of what was computed, not because of their
sizes.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable
from typing import Any

from keras_channel_attn.graph import Call


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """The identity of an axis; of a concatenation, with its parts.

    Attributes:
        parts: Tuple of pairs: the size of each part and its dimension.
    """

    parts: tuple[Any, ...] = ()


# A dimension of a tensor: the axes in it and their sizes. It is empty where an
# operation has added an axis of size 1, and has several where axes are merged.
Dimension = tuple[tuple[Axis, int | None], ...]
Layout = tuple[Dimension, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A tensor as the result of a normal operation, whatever its layout.

    Attributes:
        kind: String: `"mean"`, `"max"`, `"total"` (over axes), `"linear"` (a
            dense map or convolution), `"softmax"`, `"batch_normalization"`,
            `"layer_normalization"`, `"padding"`, `"concatenation"`, `"part"`
            of one, `"sum"`, `"product"`, `"maximum"`, `"average"` (of tensors),
            `"elementwise"` (the activation of a layer, or a call that keeps the
            shape and may be a function of each number) or `"other"`.
        inputs: Tuple of nodes.
        call: `Call` that computes it, `None` for an input of the network.
        layout: Dimensions of its tensor.
        axes: Set of axes that are reduced, mapped or normalized.
        windows: Dictionary from the axes along which a convolution has more
            than one tap to the sizes of its windows.
        units: Integer, how many numbers a linear map makes.
        position: Integer, which part it is.
    """

    kind: str
    inputs: "tuple[Node, ...]"
    call: Any
    layout: Layout
    axes: frozenset[Axis] = frozenset()
    windows: dict[Axis, int] = dataclasses.field(default_factory=dict)
    units: int | None = None
    position: int = 0

    @functools.cached_property
    def base(self) -> "Node":
        """The node before all elementwise functions."""
        return self.inputs[0].base if self.kind == "elementwise" else self

    @property
    def layer(self) -> Any:
        """The layer or operation that computes it."""
        return self.call and self.call.operation


@dataclasses.dataclass(frozen=True)
class Value:
    """A node, and the layout that a tensor has it in."""

    node: Node
    layout: Layout


def axes_of(layout: Layout) -> frozenset[Axis]:
    """All axes of a layout."""
    return frozenset(axis for axis, _ in sum(layout, ()))


def shape_of(layout: Layout) -> tuple[int | None, ...]:
    """The shape of a tensor with a layout."""
    return tuple(map(size_of, layout))


def size_of(dimension: Dimension) -> int | None:
    """The size of a dimension, `None` if it is unknown."""
    sizes = [size for _, size in dimension]
    return None if None in sizes else math.prod(sizes)  # type: ignore[arg-type]


def new_layout(shape: Any) -> Layout:
    """The layout of a tensor whose axes no other tensor has."""
    return tuple(((Axis(), size),) for size in shape)


def made(
    kind: str,
    call: Call | None,
    inputs: Iterable[Value],
    layout: Layout,
    **rest: Any,
) -> Value:
    """A new node, whose inputs are the nodes of some values."""
    nodes = tuple(value.node for value in inputs)
    return Value(Node(kind, nodes, call, layout, **rest), layout)
