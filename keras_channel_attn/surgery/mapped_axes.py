"""Operations of one tensor over some of its axes, as normal operations."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_channel_attn.graph import Call
from keras_channel_attn.graph.keras_internals import argument
from keras_channel_attn.surgery.normal_nodes import (
    Axis,
    Value,
    axes_of,
    made,
    size_of,
)


def reduced(kind: str) -> Callable[[Call, Value], Value | None]:
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


def windowed(kind: str) -> Callable[[Call, Value], Value | None]:
    """A pooling whose windows are one position or the whole axis."""

    def read(call: Call, x: Value) -> Value | None:
        operation, shape = call.operation, call.outputs[0].shape
        data_format = operation.data_format or keras.config.image_data_format()
        spatial = _spatial(data_format, len(x.layout))
        sizes = operation.pool_size
        sizes = [sizes] * len(spatial) if isinstance(sizes, int) else sizes
        axes = []
        for axis, window in zip(spatial, sizes, strict=True):
            size = size_of(x.layout[axis])
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
    axes = _axes_at(positions, x)
    if not axes:
        # Over axes of size 1.
        return Value(x.node, layout)
    if x.node.kind == kind:
        # A mean of means over axes of their own.
        axes, x = axes | x.node.axes, Value(x.node.inputs[0], x.layout)
    return made(kind, call, [x], layout, axes=axes)


def _axes_at(positions: Iterable[int], x: Value) -> frozenset[Axis]:
    return axes_of(tuple(x.layout[i] for i in positions))


def _spatial(data_format: str | None, rank: int) -> range:
    first = data_format == "channels_first"
    return range(2, rank) if first else range(1, rank - 1)


def softmax(call: Call, x: Value) -> Value | None:
    operation = call.operation
    if isinstance(operation, keras.layers.Activation):
        if operation.activation is not keras.activations.softmax:
            return None
        axis: Any = -1
    else:
        axis = operation.axis
    axes = _axes_at(keras.tree.flatten(axis), x)
    return made("softmax", call, [x], x.layout, axes=axes)


def normalized(call: Call, x: Value) -> Value | None:
    layer, kind = call.operation, "layer_normalization"
    positions = keras.tree.flatten(layer.axis)
    if isinstance(layer, keras.layers.GroupNormalization):
        if layer.groups != 1:
            return None
        positions = range(1, len(x.layout))
    if isinstance(layer, keras.layers.BatchNormalization):
        kind = "batch_normalization"
    others = ("rms_scaling", "renorm", "synchronized")
    if not layer.epsilon or any(getattr(layer, x, False) for x in others):
        # No layer of this library has such a normalization.
        kind = "other"
    return made(kind, call, [x], x.layout, axes=_axes_at(positions, x))


def padded(call: Call, x: Value) -> Value | None:
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
    return made("padding", call, [x], tuple(layout), windows=windows)


def dense(call: Call, x: Value) -> Value | None:
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


def convolution(call: Call, x: Value) -> Value | None:
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
    found = made(
        "linear",
        call,
        [x],
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
    return made(
        "softmax" if is_softmax else "elementwise",
        call,
        [found],
        found.layout,
        axes=axes_of(found.layout[-1:]) if is_softmax else frozenset(),
    )
