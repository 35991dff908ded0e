"""The calls inside a layer, of which the graph of a model shows one."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_channel_attn.analysis.counting import is_counted
from keras_channel_attn.analysis.shapes import ShapedCall, shaped_calls
from keras_channel_attn.graph import (
    graph_of,
    is_model,
    layers_in_function,
    parameters_of_call,
)
from keras_channel_attn.graph.copying import copy_of, first_sentence_of
from keras_channel_attn.graph.keras_internals import keep_names
from keras_channel_attn.graph.random_state import keep_random_state
from keras_channel_attn.graph.rebuilding import copy_of_model
from keras_channel_attn.graph.tensors import symbolic_tensors

# From wrappers of Keras to the attributes that hold what they call.
_WRAPPERS = {
    keras.layers.TimeDistributed: ("layer",),
    keras.layers.SpectralNormalization: ("layer",),
    keras.layers.Bidirectional: ("forward_layer", "backward_layer"),
}


def leaf_calls(call: ShapedCall) -> Iterator[ShapedCall]:
    """The calls that can be counted, of which a call consists.

    These are the calls inside a wrapper, a model, a `Lambda` or a layer of the
    user, at any depth. It is the call itself where nothing is inside, or where
    what is inside cannot be found out.
    """
    inside = _calls_inside(call)
    if inside is None:
        yield call
    else:
        for inner in inside:
            yield from leaf_calls(inner)


def _calls_inside(call: ShapedCall) -> list[ShapedCall] | None:
    layer = call.operation
    if not isinstance(layer, keras.layers.Layer) or is_counted(layer):
        return None
    if is_model(layer):
        return shaped_calls(graph_of(layer), call.inputs)
    for kind, names in _WRAPPERS.items():
        if type(layer).call is kind.call:
            return [
                _call_of_wrapped_layer(call, getattr(layer, name))
                for name in names
            ]
    return _traced_calls(call)


def _call_of_wrapped_layer(call: ShapedCall, layer: Any) -> ShapedCall:
    """The call that a wrapper makes; all time steps are one batch."""
    tensor, *_ = symbolic_tensors((call.args, call.kwargs))
    shape = tensor.shape
    if isinstance(call.operation, keras.layers.TimeDistributed):
        shape = (shape[0] * shape[1], *shape[2:])
    tensor = keras.KerasTensor(shape, dtype=tensor.dtype)
    return ShapedCall(layer, (tensor,), {}, call.path)


def _traced_calls(call: ShapedCall) -> list[ShapedCall] | None:
    """The calls that the `call` method of a layer makes, `None` if unknown.

    A copy is called on symbolic tensors: Keras would record these calls in the
    layers inside the original.
    """
    if _captures_layers(call.operation):
        call.problem = "it calls layers that are defined outside of it"
        return None
    try:
        with keep_names(), keep_random_state():
            inputs, outputs = _trace(call)
            if not outputs:
                return []
            graph = graph_of(keras.Model(inputs, outputs))
            return shaped_calls(graph, [x.shape for x in inputs])
    except Exception as error:
        # It cannot be copied, or runs functions of a backend, which take no
        # symbolic tensors.
        reason = first_sentence_of(error)
        call.problem = (
            f"a symbolic call of a copy of it fails ({reason}); its "
            "`get_config` must return all arguments, and its `call` use "
            "`keras.ops`"
        )
        return None


def _trace(call: ShapedCall) -> tuple[list[Any], list[Any]]:
    """The symbolic inputs and outputs of a copy of a layer."""
    layer = call.operation
    args, kwargs = keras.tree.map_structure(
        lambda x: (
            keras.Input(batch_shape=x.shape, dtype=x.dtype)
            if isinstance(x, keras.KerasTensor)
            else x
        ),
        (call.args, call.kwargs),
    )
    inputs = symbolic_tensors((args, kwargs))
    copy = copy_of(layer, copy_of_model)
    if "training" in parameters_of_call(layer):
        kwargs = {**kwargs, "training": False}
    copy(*args, **kwargs)  # This creates its weights.
    if _shapes(copy) != _shapes(layer):
        raise ValueError("The configuration does not hold all arguments.")
    outputs = symbolic_tensors(copy.call(*args, **kwargs))
    return inputs, [x for x in outputs if all(x is not y for y in inputs)]


def _shapes(layer: Any) -> list[Any]:
    return [tuple(weight.shape) for weight in layer.weights]


def _captures_layers(layer: Any) -> bool:
    """Whether a `Lambda` calls layers, which its copy would call too."""
    function = getattr(layer, "function", None)
    owner = getattr(function, "__self__", None)
    return isinstance(owner, keras.layers.Layer) or bool(
        layers_in_function(function)
    )
