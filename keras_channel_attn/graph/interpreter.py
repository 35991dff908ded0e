"""The calls of a model, run with any kind of value in place of its tensors.

Arrays give attention scores, shapes give costs, symbolic tensors give a copy of
the model, channels give groups for pruning. Each is a function of one call.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_channel_attn.graph.calls import Call, Graph, arguments_of_model
from keras_channel_attn.graph.tensors import IdentityMap

# From a call and the values of all tensors before it to its outputs: a value
# for each output, in the structure that the call itself returns or in a list.
Apply = Callable[[Call, IdentityMap], Any]
# From the call of a nested model to a value for each input of that model.
Enter = Callable[[Call, IdentityMap], Sequence[Any]]


def inputs_of_nested(call: Call, values: IdentityMap) -> list[Any]:
    """The values that a nested model is called on, as they are."""
    return arguments_of_model(call, *call.arguments(values))


def interpret(
    graph: Graph,
    inputs: Sequence[Any],
    apply: Apply,
    enter: Enter = inputs_of_nested,
) -> list[Any]:
    """The values of the outputs of a model.

    A nested model is run once for each call of it.

    Args:
        graph: `Graph` of the model.
        inputs: List with a value for each input of the model.
        apply: Function of a call of a layer or operation and of the values
            before it, an `IdentityMap` from tensors. It returns the values of
            the outputs. `call.arguments(values)` are the arguments of the call
            with values in place of tensors.
        enter: Function of the call of a nested model and of the values before
            it. It returns a list with a value for each input of the nested
            model. Defaults to the values that the model is called on.

    Returns:
        List with a value for each output of the model.
    """

    def apply_inside(call: Call, values: IdentityMap) -> Any:
        if call.inner is None:
            return apply(call, values)
        return interpret(call.inner, enter(call, values), apply, enter)

    values = values_of_tensors(graph, inputs, apply_inside)
    return [values[tensor] for tensor in graph.outputs]


def values_of_tensors(
    graph: Graph,
    inputs: Sequence[Any],
    apply: Apply,
    calls: Sequence[Call] | None = None,
) -> IdentityMap:
    """The values of all tensors of a model.

    As in `interpret`, with two differences: `apply` gets the calls of nested
    models too, and none of those inside; and `calls` may be the calls of the
    graph in another order.
    """
    values = IdentityMap(graph.model.inputs, inputs)
    for call in graph.calls if calls is None else calls:
        values.update(call.outputs, keras.tree.flatten(apply(call, values)))
    return values
