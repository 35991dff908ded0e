"""What the calls of a model compute, in a few normal operations.

A mean over the positions is written as a pooling layer, as `keras.ops.mean`, in
a `Lambda` or as a window over the whole map. Here all of these are one node:
see `normal_nodes`. `moved_axes`, `mapped_axes` and `merged_tensors` read calls.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    inner_layers,
    inputs_of_nested,
    interpret,
    is_from_keras,
    layers_in_function,
    rules_by_name,
    snake_name,
)
from keras_channel_attn.graph.interpreter import values_of_tensors
from keras_channel_attn.graph.keras_internals import keep_names
from keras_channel_attn.graph.random_state import keep_random_state
from keras_channel_attn.surgery import mapped_axes, merged_tensors, moved_axes
from keras_channel_attn.surgery.normal_nodes import (
    Value,
    made,
    new_layout,
    shape_of,
)


def normal_values(graph: Graph) -> IdentityMap:
    """From each tensor of a graph to its `Value`."""
    inputs = [_input(tensor.shape) for tensor in graph.model.inputs]
    with keep_names(), keep_random_state():
        return values_of_tensors(graph, inputs, _values_of_call)


def _input(shape: Any) -> Value:
    return made("other", None, (), new_layout(shape))


def _values_of_call(call: Call, values: IdentityMap) -> list[Value]:
    if call.inner is not None:
        inputs = [
            value if isinstance(value, Value) else _input(())
            for value in inputs_of_nested(call, values)
        ]
        return interpret(call.inner, inputs, _values_of_call)
    operands = [values[tensor] for tensor in call.inputs]
    try:
        found = _normal_form(call, operands)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # It was called in a way that its reader does not know.
        found = None
    values_found = found if isinstance(found, list) else [found]
    ranks = [x and len(x.layout) for x in values_found]
    if ranks != [len(tensor.shape) for tensor in call.outputs]:
        return _unknown(call, operands)
    return values_found  # type: ignore[return-value]


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
    return found or merged_tensors.elementwise(call, operands)


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


def _unknown(call: Call, operands: Sequence[Any]) -> list[Value]:
    """New axes, but those of the input if the shape is the same."""
    known = [x for x in operands if isinstance(x, Value)]
    found = []
    for tensor in call.outputs:
        alike = [x for x in known if shape_of(x.layout) == tuple(tensor.shape)]
        layout = alike[0].layout if alike else new_layout(tensor.shape)
        found.append(made("other", call, known, layout))
    return found


# Functions of a user, in a `Lambda` or in a layer without weights


def _traced(call: Call) -> Graph | None:
    """The graph of a function that a user wrote, if it has no weights."""
    graph = _trace(call)
    # What is made anew with each call, as random numbers are, is no function.
    if graph is None or any(
        getattr(x.operation, "variables", ()) for x in graph.all_calls()
    ):
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
        # Tracing would call these layers once more.
        or layers_in_function(function)
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


_READERS: dict[str, Callable[..., Any]] = rules_by_name(
    (moved_axes.regrouped, "reshape flatten expand_dims squeeze"),
    (moved_axes.permuted, "permute transpose swapaxes moveaxis"),
    (moved_axes.indexed, "get_item"),
    (moved_axes.split, "split"),
    (mapped_axes.reduced("mean"), "mean global_average_pooling{}_d"),
    (mapped_axes.reduced("max"), "max amax global_max_pooling{}_d"),
    (mapped_axes.reduced("total"), "sum"),
    (mapped_axes.windowed("mean"), "average_pool average_pooling{}_d"),
    (mapped_axes.windowed("max"), "max_pool max_pooling{}_d"),
    (mapped_axes.normalized, "batch_normalization layer_normalization"),
    (mapped_axes.normalized, "group_normalization"),
    (mapped_axes.softmax, "softmax activation"),
    (mapped_axes.padded, "pad"),
    (mapped_axes.dense, "dense einsum_dense"),
    (mapped_axes.convolution, "conv{}_d"),
)
_READERS_OF_SEVERAL: dict[str, Callable[..., Any]] = rules_by_name(
    (merged_tensors.merged("product"), "multiply"),
    (merged_tensors.merged("sum"), "add"),
    (merged_tensors.merged("maximum"), "maximum"),
    (merged_tensors.merged("average"), "average"),
    (merged_tensors.concatenated, "concatenate stack"),
    (merged_tensors.contracted, "dot matmul einsum"),
)
