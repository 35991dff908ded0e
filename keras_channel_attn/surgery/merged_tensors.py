"""Operations of several tensors, as normal operations."""

import collections
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_channel_attn.graph import Call, is_operation
from keras_channel_attn.graph.keras_internals import argument
from keras_channel_attn.surgery.normal_nodes import (
    Axis,
    Dimension,
    Layout,
    Value,
    axes_of,
    made,
    new_layout,
    size_of,
)


def elementwise(call: Call, operands: Sequence[Value]) -> Value | None:
    """A call that keeps the shape of its only input, in one layout."""
    first = operands[0]
    shapes = {tuple(x.shape) for x in (*call.inputs, *call.outputs)}
    if (
        len(shapes) > 1
        or len(call.outputs) > 1
        or bool(getattr(call.operation, "variables", None))
        or any(
            x.node.base is not first.node.base or x.layout != first.layout
            for x in operands
        )
    ):
        return None
    return made("elementwise", call, operands, first.layout)


def merged(kind: str) -> Callable[..., Value | None]:
    def read(call: Call, *operands: Value) -> Value | None:
        if same := elementwise(call, operands):
            return same
        merges = isinstance(call.operation, keras.layers.Layer)
        layout = _aligned([x.layout for x in operands], merges)
        if layout is None:
            layout = new_layout(call.outputs[0].shape)
        return made(kind, call, operands, layout)

    return read


def _aligned(layouts: Sequence[Layout], merges: bool = False) -> Layout | None:
    """The layout after broadcasting, `None` where other axes would meet."""
    rank = max(map(len, layouts))
    full = [
        # The layers, unlike the operators, insert missing axes after the batch.
        (*x[:1], *((),) * (rank - len(x)), *x[1:])
        if merges
        else (*((),) * (rank - len(x)), *x)
        for x in layouts
    ]
    found = [_broadcast(dimensions) for dimensions in zip(*full, strict=True)]
    return None if None in found else tuple(found)  # type: ignore[arg-type]


def _broadcast(dimensions: Sequence[Dimension]) -> Dimension | None:
    """What dimensions that meet become, `None` if they are of other axes."""
    wide = {x for x in dimensions if size_of(x) != 1}
    if len(wide) > 1:
        return None
    # Without a size above 1, an axis is kept before none.
    return max(wide or dimensions, key=len)


def concatenated(call: Call, *operands: Value) -> Value | None:
    axis = call.operation.axis % len(call.outputs[0].shape)
    layouts = [x.layout for x in operands]
    if is_operation(call.operation, "stack"):
        layouts = [(*x[:axis], (), *x[axis:]) for x in layouts]
    parts = [(size_of(x[axis]), x[axis]) for x in layouts]
    others = [(*x[:axis], (), *x[axis + 1 :]) for x in layouts]
    layout = _aligned(others)
    if layout is None or None in [size for size, _ in parts]:
        return None
    joined = Axis(tuple(parts))
    size = call.outputs[0].shape[axis]
    layout = (*layout[:axis], ((joined, size),), *layout[axis + 1 :])
    axes = frozenset([joined])
    return made("concatenation", call, operands, layout, axes=axes)


def contracted(call: Call, *operands: Value) -> Value | None:
    """A product of tensors, and its total over the axes that are gone."""
    subscripts = _subscripts(call, [len(x.layout) for x in operands])
    if subscripts is None or len(operands) != 2:
        return None
    given, result = subscripts
    dimensions: dict[str, list[Dimension]] = collections.defaultdict(list)
    for letters, operand in zip(given, operands, strict=True):
        for letter, dimension in zip(letters, operand.layout, strict=True):
            dimensions[letter].append(dimension)
    found: dict[str, Any] = {x: _broadcast(dimensions[x]) for x in dimensions}
    if None in found.values():
        return None
    inside = tuple(found.values())
    product = made("product", call, operands, inside)
    layout = tuple(found[letter] for letter in result)
    gone = tuple(found[letter] for letter in found if letter not in result)
    return made("total", call, [product], layout, axes=axes_of(gone))


def _subscripts(call: Call, ranks: list[int]) -> Any:
    """The letters of both inputs and of the output, as `einsum` has them."""
    operation = call.operation
    if is_operation(operation, "einsum"):
        subscripts = argument(operation, "subscripts").replace(" ", "")
        given, _, result = subscripts.partition("->")
        return None if "." in subscripts else (given.split(","), result)
    if len(ranks) != 2 or min(ranks) < 2:
        return None
    letters = "abcdefgh"[: max(ranks)]
    if isinstance(operation, keras.layers.Dot):
        if operation.normalize:
            return None
        axes = operation.axes
        axes = (axes, axes) if isinstance(axes, int) else axes
        one = list("abcdefgh"[: ranks[0]])
        two = list("aijklmno"[: ranks[1]])
        two[axes[1]] = one[axes[0]]
        rest = [x for x in one + two[1:] if x != one[axes[0]]]
        return ["".join(one), "".join(two)], "".join(rest)
    shared = letters[:-2]
    outer = [shared[len(shared) - rank + 2 :] for rank in ranks]
    return [f"{outer[0]}yz", f"{outer[1]}zx"], f"{shared}yx"
