"""What the calls of a model compute, in a few normal operations.

A mean over the positions is written as a pooling layer, as `keras.ops.mean`, in
a `Lambda` or as a window over the whole map. Here all of these are one node.
The axes of tensors have identities, which reshaping and transposing only move.
So two axes are the same because of what was computed, not because of their
sizes.
"""

import collections
import dataclasses
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    inner_layers,
    inputs_of_nested,
    interpret,
    is_from_keras,
    is_operation,
    layers_in_function,
    snake_name,
)
from keras_channel_attn.graph.interpreter import values_of_tensors
from keras_channel_attn.graph.keras_internals import argument, keep_names
from keras_channel_attn.graph.random_state import keep_random_state


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


def normal_values(graph: Graph) -> IdentityMap:
    """From each tensor of a graph to its `Value`."""
    inputs = [_new_value(None, (), x.shape) for x in graph.model.inputs]
    with keep_names(), keep_random_state():
        return values_of_tensors(graph, inputs, _values_of_call)


def axes_of(layout: Layout) -> frozenset[Axis]:
    """All axes of a layout."""
    return frozenset(axis for axis, _ in sum(layout, ()))


def shape_of(layout: Layout) -> tuple[int | None, ...]:
    """The shape of a tensor with a layout."""
    return tuple(map(_size, layout))


def _values_of_call(call: Call, values: IdentityMap) -> list[Value]:
    if call.inner is not None:
        inputs = [
            value if isinstance(value, Value) else _new_value(None, (), ())
            for value in inputs_of_nested(call, values)
        ]
        return interpret(call.inner, inputs, _values_of_call)
    operands = [values[tensor] for tensor in call.inputs]
    try:
        found = _normal_form(call, operands)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # It was called in a way that its reader does not know.
        found = None
    made = found if isinstance(found, list) else [found]
    ranks = [x and len(x.layout) for x in made]
    if ranks != [len(tensor.shape) for tensor in call.outputs]:
        return _unknown(call, operands)
    return made  # type: ignore[return-value]


def _normal_form(
    call: Call, operands: Sequence[Value]
) -> Value | list[Value] | None:
    """The values of the outputs, `None` for what is not a normal operation."""
    operation = call.operation
    if not operands or not all(isinstance(x, Value) for x in operands):
        return None
    if _has_constants(call):
        return None
    if (graph := _traced(call)) is not None:
        return interpret(graph, operands, _values_of_call)
    if not is_from_keras(type(operation)):
        return None
    readers = _READERS if len(operands) == 1 else _READERS_OF_SEVERAL
    read = readers.get(snake_name(operation))
    found = None if read is None else read(call, *operands)
    return found or _elementwise(call, operands)


def _has_constants(call: Call) -> bool:
    """Whether no node stands for a part of what a call computes with.

    It is in the list of its inputs, or a further argument of a layer, such as
    an array that is a mask.
    """
    given = [x for x in call.args[:1] if isinstance(x, (list, tuple))]
    if isinstance(call.operation, keras.layers.Layer):
        given += [call.args[1:], call.kwargs]
    return not all(
        x is None or isinstance(x, keras.KerasTensor)
        for x in keras.tree.flatten(given)
    )


def _elementwise(call: Call, operands: Sequence[Value]) -> Value | None:
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
    inputs = tuple(x.node for x in operands)
    return _made("elementwise", call, inputs, first.layout)


def _unknown(call: Call, operands: Sequence[Any]) -> list[Value]:
    """New axes, but those of the input if the shape is the same."""
    known = [x for x in operands if isinstance(x, Value)]
    inputs = tuple(x.node for x in known)
    found = []
    for tensor in call.outputs:
        alike = [x for x in known if shape_of(x.layout) == tuple(tensor.shape)]
        layout = alike[0].layout if alike else _new_layout(tensor.shape)
        found.append(_made("other", call, inputs, layout))
    return found


def _made(
    kind: str, call: Call | None, inputs: Any, layout: Layout, **rest: Any
) -> Value:
    return Value(Node(kind, tuple(inputs), call, layout, **rest), layout)


def _new_value(call: Call | None, inputs: Any, shape: Any) -> Value:
    return _made("other", call, inputs, _new_layout(shape))


def _new_layout(shape: Any) -> Layout:
    return tuple(((Axis(), size),) for size in shape)


def _size(dimension: Dimension) -> int | None:
    sizes = [size for _, size in dimension]
    return None if None in sizes else math.prod(sizes)  # type: ignore[arg-type]


# Functions of a user


def _traced(call: Call) -> Graph | None:
    """The graph of a function that a user wrote, if it has no weights."""
    held = layers_in_function(_function_of(call))
    # Tracing would call these layers once more.
    graph = None if held else _trace(call)
    # What is made anew with each call, as random numbers are, is no function.
    if graph is None or any(
        getattr(x.operation, "variables", ()) for x in graph.all_calls()
    ):
        return None
    return graph


def _function_of(call: Call) -> Any:
    """What a user wrote in a layer without weights, or `None`."""
    layer = call.operation
    if not isinstance(layer, keras.layers.Layer) or layer.variables:
        return None
    if type(layer) is keras.layers.Lambda:
        return layer.function
    if is_from_keras(type(layer)) or len([*inner_layers(layer)]) > 1:
        return None
    return layer.call


def _trace(call: Call) -> Graph | None:
    function = _function_of(call)
    if (
        function is None
        or len(call.args) != 1
        or any(x is not None for x in keras.tree.flatten(call.kwargs))
        or {"training", "mask"} & {*inspect.signature(function).parameters}
    ):
        return None
    state = vars(call.operation)
    before = dict(state)
    try:
        inputs = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype),
            call.args[0],
        )
        arguments = getattr(call.operation, "arguments", {})
        graph = Graph(keras.Function(inputs, function(inputs, **arguments)))
    except Exception:
        # It is written with functions of a backend.
        graph = None
    if any(state.get(x) is not before.get(x) for x in {**state, **before}):
        # It keeps what it computes, which others may read.
        state.clear()
        state.update(before)
        return None
    return graph


def weights_in_function(call: Call) -> bool:
    """Whether a function of a user has weights that its layer has not."""
    function = _function_of(call)
    if function is None:
        return False
    if held := layers_in_function(function):
        return any(layer.variables for layer in held)
    with keep_names(), keep_random_state():
        graph = _trace(call)
    return graph is not None and any(
        getattr(x.operation, "weights", ()) for x in graph.all_calls()
    )


# Layout: what only moves axes


def _regrouped(call: Call, x: Value) -> Value | None:
    """The numbers in the same order, in another shape."""
    layout = x.layout
    if getattr(call.operation, "data_format", None) == "channels_first":
        # `Flatten` moves the channels to the end.
        layout = (x.layout[0], *x.layout[2:], *x.layout[1:2])
    new = _regroup(layout, tuple(call.outputs[0].shape))
    return None if new is None else Value(x.node, new)


def _regroup(layout: Layout, shape: tuple[int | None, ...]) -> Layout | None:
    if not shape or _size(layout[0]) != shape[0]:
        return None
    pairs = [pair for pair in sum(layout[1:], ()) if pair[1] != 1]
    sizes = list(shape[1:])
    last = _stripped(pairs, sizes)
    pairs.reverse()
    sizes.reverse()
    first = [dimension[::-1] for dimension in _stripped(pairs, sizes)]
    pairs.reverse()
    sizes.reverse()
    # Unknown sizes are left: one of all that is left, or each of one axis.
    wide = [size for size in sizes if size != 1]
    groups = [tuple(pairs)]
    if [size for _, size in pairs] == wide:
        groups = [(pair,) for pair in pairs]
    if len(groups) != len(wide):
        return None
    between = [() if size == 1 else groups.pop(0) for size in sizes]
    return (layout[0], *first, *between, *last[::-1])


def _stripped(pairs: list[Any], sizes: list[int | None]) -> list[Dimension]:
    """Take dimensions of known sizes from the ends of two lists."""
    found: list[Dimension] = []
    while sizes and sizes[-1] is not None:
        count, product = 0, 1
        while product < sizes[-1] and count < len(pairs):
            count += 1
            product *= pairs[-count][1] or sizes[-1] + 1
        if product != sizes[-1]:
            break
        found.append(tuple(pairs[len(pairs) - count :]))
        del pairs[len(pairs) - count :], sizes[-1]
    return found


def _permuted(call: Call, x: Value) -> Value:
    operation, name = call.operation, snake_name(call.operation)
    # No numbers, and sizes that tell where an axis went.
    sized = np.broadcast_to(0, range(2, len(x.layout) + 2))
    if name == "permute":
        moved = np.transpose(sized, (0, *operation.dims))
    else:
        given = {
            "transpose": ("axes",),
            "swapaxes": ("axis1", "axis2"),
            "moveaxis": ("source", "destination"),
        }[name]
        arguments = [argument(operation, entry) for entry in given]
        moved = getattr(np, name)(sized, *arguments)
    return Value(x.node, tuple(x.layout[size - 2] for size in moved.shape))


def _indexed(call: Call, x: Value) -> Value | None:
    """New axes, or one part of a concatenation."""
    key = call.kwargs.get("key", call.args[-1] if len(call.args) > 1 else None)
    keys = list(key) if isinstance(key, (tuple, list)) else [key]
    whole = slice(None)
    known = (slice, int, type(None), type(Ellipsis))
    if not all(isinstance(entry, known) for entry in keys):
        return None
    if all(entry in (None, Ellipsis, whole) for entry in keys):
        return _regrouped(call, x)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [whole] * (len(x.layout) - len(keys) + 1)
    cuts = [i for i, entry in enumerate(keys) if entry != whole]
    if len(cuts) != 1 or not isinstance(keys[cuts[0]], slice):
        return None
    size = _size(x.layout[cuts[0]])
    if size is None or keys[cuts[0]].step not in (None, 1):
        return None
    start, stop, _ = keys[cuts[0]].indices(size)
    return _part(call, x, cuts[0], start, stop)


def _split(call: Call, x: Value) -> list[Value] | None:
    operation = call.operation
    axis = argument(operation, "axis") % len(x.layout)
    size = _size(x.layout[axis])
    cuts = argument(operation, "indices_or_sections")
    if size is None:
        return None
    if isinstance(cuts, int):
        cuts = range(size // cuts, size, size // cuts)
    bounds = [0, *cuts, size]
    parts = [
        _part(call, x, axis, start, stop)
        for start, stop in itertools.pairwise(bounds)
    ]
    return None if None in parts else parts  # type: ignore[return-value]


def _part(
    call: Call, x: Value, axis: int, start: int, stop: int
) -> Value | None:
    if len(x.layout[axis]) != 1:
        return None
    offset = 0
    for position, (size, dimension) in enumerate(x.layout[axis][0][0].parts):
        if (start, stop) == (offset, offset + size):
            layout = (*x.layout[:axis], dimension, *x.layout[axis + 1 :])
            return _made("part", call, [x.node], layout, position=position)
        offset += size
    return None


# Over axes


def _reduced(kind: str) -> Callable[[Call, Value], Value | None]:
    def read(call: Call, x: Value) -> Value | None:
        operation, rank = call.operation, len(x.layout)
        if getattr(operation, "initial", None) is not None:
            return None
        if isinstance(operation, keras.layers.Layer):
            axes = [*_spatial(operation.data_format, rank)]
        else:
            axis = argument(operation, "axis")
            axes = [*range(rank)] if axis is None else keras.tree.flatten(axis)
        axes = [i % rank for i in axes]
        keepdims = bool(getattr(operation, "keepdims", False))
        return _over(kind, call, x, axes, keepdims)

    return read


def _windowed(kind: str) -> Callable[[Call, Value], Value | None]:
    """A pooling whose windows are one position or the whole axis."""

    def read(call: Call, x: Value) -> Value | None:
        operation, shape = call.operation, call.outputs[0].shape
        data_format = operation.data_format or keras.config.image_data_format()
        spatial = _spatial(data_format, len(x.layout))
        sizes = operation.pool_size
        sizes = [sizes] * len(spatial) if isinstance(sizes, int) else sizes
        axes = []
        for axis, window in zip(spatial, sizes, strict=True):
            size = _size(x.layout[axis])
            if shape[axis] == 1 and window == size:
                axes.append(axis)
            elif window != 1 or shape[axis] != size:
                return None
        return _over(kind, call, x, axes, True)

    return read


def _over(
    kind: str, call: Call, x: Value, positions: Any, keepdims: bool
) -> Value | None:
    layout = tuple(
        () if i in positions else dimension
        for i, dimension in enumerate(x.layout)
        if keepdims or i not in positions
    )
    axes = axes_of(tuple(x.layout[i] for i in positions))
    if not axes:
        # Over axes of size 1.
        return Value(x.node, layout)
    node = x.node
    if node.kind == kind:
        # A mean of means over axes of their own.
        axes, node = axes | node.axes, node.inputs[0]
    return _made(kind, call, [node], layout, axes=axes)


def _spatial(data_format: str | None, rank: int) -> range:
    first = data_format == "channels_first"
    return range(2, rank) if first else range(1, rank - 1)


def _softmax(call: Call, x: Value) -> Value | None:
    operation = call.operation
    if isinstance(operation, keras.layers.Activation):
        if operation.activation is not keras.activations.softmax:
            return None
        axis: Any = -1
    else:
        axis = operation.axis
    dimensions = tuple(x.layout[i] for i in keras.tree.flatten(axis))
    return _made("softmax", call, [x.node], x.layout, axes=axes_of(dimensions))


def _normalized(call: Call, x: Value) -> Value | None:
    layer, kind = call.operation, "layer_normalization"
    if isinstance(layer, keras.layers.GroupNormalization):
        if layer.groups != 1:
            return None
        axes = axes_of(x.layout[1:])
    else:
        dimensions = [x.layout[i] for i in keras.tree.flatten(layer.axis)]
        axes = axes_of(tuple(dimensions))
    if isinstance(layer, keras.layers.BatchNormalization):
        kind = "batch_normalization"
    others = ("rms_scaling", "renorm", "synchronized")
    if not layer.epsilon or any(getattr(layer, x, False) for x in others):
        # No layer of this library has such a normalization.
        kind = "other"
    return _made(kind, call, [x.node], x.layout, axes=axes)


def _padded(call: Call, x: Value) -> Value | None:
    """Zeros on both sides of one axis."""
    operation = call.operation
    fill = (*call.args[1:], call.kwargs.get("constant_values"))[0]
    if fill not in (None, 0) or operation.mode != "constant":
        return None
    widths = argument(operation, "pad_width")
    wide = [i for i, width in enumerate(widths) if tuple(width) != (0, 0)]
    if len(widths) != len(x.layout) or len(wide) != 1:
        return None
    (position,), dimension = wide, x.layout[wide[0]]
    before, after = widths[position]
    if len(dimension) != 1 or before != after:
        return None
    axis, layout = dimension[0][0], list(x.layout)
    layout[position] = ((axis, call.outputs[0].shape[position]),)
    windows = {axis: 2 * before + 1}
    return _made("padding", call, [x.node], tuple(layout), windows=windows)


# Linear maps


def _dense(call: Call, x: Value) -> Value | None:
    layer = call.operation
    if isinstance(layer, keras.layers.EinsumDense):
        given, _, result = layer.equation.replace("...", "").partition("->")
        given, _, kernel = given.partition(",")
        # The last axis is mapped, all others are kept.
        if layer.bias is not None and len(layer.bias.shape) > 1:
            return None
        if len(kernel) != 2 or (given[-1:], given[:-1] + kernel[1]) != (
            kernel[0],
            result,
        ):
            return None
    return _linear(call, x, len(x.layout) - 1, {})


def _convolution(call: Call, x: Value) -> Value | None:
    layer, rank = call.operation, len(x.layout)
    if layer.groups != 1 or any(step != 1 for step in layer.strides):
        return None
    windows, node = {}, x.node
    for axis, taps, rate in zip(
        _spatial(layer.data_format, rank),
        layer.kernel_size,
        layer.dilation_rate,
        strict=True,
    ):
        if taps == 1:
            continue
        if len(x.layout[axis]) != 1:
            return None
        windows[x.layout[axis][0][0]] = (taps - 1) * rate + 1
    if windows and layer.padding != "same":
        if node.kind != "padding" or node.windows != windows:
            return None
        node = node.inputs[0]
    channels = 1 if layer.data_format == "channels_first" else rank - 1
    return _linear(call, Value(node, x.layout), channels, windows)


def _linear(
    call: Call, x: Value, position: int, windows: dict[Axis, int]
) -> Value:
    dimension, shape = x.layout[position], call.outputs[0].shape
    axis = dimension[0][0] if len(dimension) == 1 else Axis()
    layout = list(x.layout)
    layout[position] = ((axis, shape[position]),)
    for i, other in enumerate(x.layout):
        # A window over a padded axis gives back its size.
        if i != position and len(other) == 1 and other[0][0] in windows:
            layout[i] = ((other[0][0], shape[i]),)
    axes = axes_of((dimension,)) or frozenset([axis])
    found = _made(
        "linear",
        call,
        [x.node],
        tuple(layout),
        axes=axes,
        windows=windows,
        units=shape[position],
    )
    function = getattr(call.operation, "activation", keras.activations.linear)
    if function is keras.activations.linear:
        return found
    # The layer applies its activation after the map.
    is_softmax = function is keras.activations.softmax
    return _made(
        "softmax" if is_softmax else "elementwise",
        call,
        [found.node],
        found.layout,
        axes=axes_of(found.layout[-1:]) if is_softmax else frozenset(),
    )


# Of several tensors


def _merged(kind: str) -> Callable[..., Value | None]:
    def read(call: Call, *operands: Value) -> Value | None:
        if same := _elementwise(call, operands):
            return same
        merges = isinstance(call.operation, keras.layers.Layer)
        layout = _aligned([x.layout for x in operands], merges)
        if layout is None:
            layout = _new_layout(call.outputs[0].shape)
        return _made(kind, call, [x.node for x in operands], layout)

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
    found = []
    for dimensions in zip(*full, strict=True):
        wide = {x for x in dimensions if _size(x) != 1}
        if len(wide) > 1:
            return None
        # Without a size above 1, an axis is kept before none.
        found.append(
            max((*wide, *dimensions), key=lambda x: (x in wide, len(x)))
        )
    return tuple(found)


def _concatenated(call: Call, *operands: Value) -> Value | None:
    axis = call.operation.axis % len(call.outputs[0].shape)
    layouts = [x.layout for x in operands]
    if is_operation(call.operation, "stack"):
        layouts = [(*x[:axis], (), *x[axis:]) for x in layouts]
    parts = [(_size(x[axis]), x[axis]) for x in layouts]
    others = [(*x[:axis], (), *x[axis + 1 :]) for x in layouts]
    layout = _aligned(others)
    if layout is None or None in [size for size, _ in parts]:
        return None
    joined = Axis(tuple(parts))
    size = call.outputs[0].shape[axis]
    layout = (*layout[:axis], ((joined, size),), *layout[axis + 1 :])
    return _made(
        "concatenation",
        call,
        [x.node for x in operands],
        layout,
        axes=frozenset([joined]),
    )


def _contracted(call: Call, *operands: Value) -> Value | None:
    """A product of tensors, and its total over the axes that are gone."""
    subscripts = _subscripts(call, [len(x.layout) for x in operands])
    if subscripts is None or len(operands) != 2:
        return None
    given, result = subscripts
    dimensions: dict[str, set[Dimension]] = collections.defaultdict(set)
    for letters, operand in zip(given, operands, strict=True):
        for letter, dimension in zip(letters, operand.layout, strict=True):
            dimensions[letter].add(dimension)
    found = {}
    for letter, entries in dimensions.items():
        wide = [x for x in entries if _size(x) != 1]
        if len(wide) > 1:
            return None
        found[letter] = wide[0] if wide else max(entries, key=len)
    inside = tuple(found.values())
    product = Node("product", tuple(x.node for x in operands), call, inside)
    layout = tuple(found[letter] for letter in result)
    gone = tuple(found[letter] for letter in found if letter not in result)
    return _made("total", call, [product], layout, axes=axes_of(gone))


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


def _named(names: str, reader: Any) -> dict[str, Any]:
    """A reader for several operations; `#` stands for the number of axes."""
    ranks = range(1, 4)
    return {
        name.replace("#", f"{rank}_d"): reader
        for name in names.split()
        for rank in ranks
    }


_READERS: dict[str, Callable[..., Any]] = {
    **_named("reshape flatten expand_dims squeeze", _regrouped),
    **_named("permute transpose swapaxes moveaxis", _permuted),
    **_named("mean global_average_pooling#", _reduced("mean")),
    **_named("max amax global_max_pooling#", _reduced("max")),
    **_named("average_pool average_pooling#", _windowed("mean")),
    **_named("max_pool max_pooling#", _windowed("max")),
    **_named("batch_normalization layer_normalization", _normalized),
    **_named("dense einsum_dense", _dense),
    **_named("softmax activation", _softmax),
    **_named("conv#", _convolution),
    "sum": _reduced("total"),
    "group_normalization": _normalized,
    "get_item": _indexed,
    "split": _split,
    "pad": _padded,
}
_READERS_OF_SEVERAL: dict[str, Callable[..., Any]] = {
    "multiply": _merged("product"),
    "add": _merged("sum"),
    "maximum": _merged("maximum"),
    "average": _merged("average"),
    **_named("concatenate stack", _concatenated),
    **_named("dot matmul einsum", _contracted),
}
