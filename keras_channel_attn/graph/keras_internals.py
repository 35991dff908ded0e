"""All that the package reads of Keras beyond its public names.

A version of Keras that changes one of these breaks this file, and
`tests/graph/test_keras_internals.py` says which. No other file may read them.
"""

import collections
import contextlib
import functools
import itertools
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

# What Keras adds to a model that is compiled and used.
_ATTRIBUTES_OF_USED_MODELS = {
    *("history", "optimizer", "stop_training"),
    *("stop_evaluating", "stop_predicting"),
    *("_compile_config", "_compiled_trainable_state"),
    *("_eval_epoch_iterator", "_functional", "_jax_state", "_modules"),
}


class RecordedCall(NamedTuple):
    """What Keras recorded of one call of a layer or operation."""

    operation: Any
    args: Any
    kwargs: Any
    outputs: list[Any]


def recorded_calls(model: Any) -> list[RecordedCall]:
    """The calls of a model, in the order of computation.

    The calls of one layer are in the order in which they were made: Keras
    numbers them, and a copy has the same numbers. Nothing public lists the
    calls of a model.
    """
    by_depth = functional_model(model)._nodes_by_depth
    nodes = [
        node
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
    ]
    return [
        RecordedCall(
            node.operation,
            node.arguments.args,
            node.arguments.kwargs,
            list(node.outputs),
        )
        for node in _in_order(nodes)
        if not node.is_input
    ]


def _in_order(nodes: list[Any]) -> list[Any]:
    """Nodes after those that they depend on and earlier calls of the layer."""
    before = {id(node): list(node.parent_nodes) for node in nodes}
    for operation in dict.fromkeys(node.operation for node in nodes):
        calls = [x for x in operation._inbound_nodes if id(x) in before]
        for earlier, node in itertools.pairwise(calls):
            before[id(node)].append(earlier)
    ordered: dict[int, Any] = {}
    for node in nodes:
        waiting = [node]
        while waiting:
            current = waiting[-1]
            left = [
                other
                for other in before[id(current)]
                if id(other) in before and id(other) not in ordered
            ]
            waiting += left
            if not left:
                ordered[id(current)] = current
                waiting.pop()
    return list(ordered.values())


def has_been_called(layer: Any) -> bool:
    """Whether a layer is part of a network.

    `layer.output` raises the same error for no call and for several.
    """
    return bool(getattr(layer, "_inbound_nodes", ()))


def input_layer_of(tensor: Any) -> Any:
    """The input layer of a tensor, or `None`: no public attribute holds it."""
    history = getattr(tensor, "_keras_history", None)
    layer = None if history is None else history.operation
    return layer if isinstance(layer, keras.layers.InputLayer) else None


def mask_of(tensor: Any) -> Any:
    """The mask that comes with a tensor, or `None`.

    This attribute is the only trace of a mask that Keras passes on.
    """
    return getattr(tensor, "_keras_mask", None)


def rematerialization(layer: Any) -> contextlib.AbstractContextManager[Any]:
    """A context with the `keras.RematScope` that a layer was made in.

    A layer has no public attribute for it.
    """
    mode = getattr(layer, "_remat_mode", None)
    if mode is None:
        return contextlib.nullcontext()
    return keras.RematScope(
        mode=mode.mode,
        output_size_threshold=mode.output_size_threshold,
        layer_names=mode.layer_names,
    )


def sync_jax_state(model: Any) -> None:
    """Move values that `predict` took on JAX back into the variables.

    Keras does it at the end of `predict`, and not after an error.
    """
    model.jax_state_sync()


def functional_model(model: Any) -> Any:
    """The functional model that computes a sequential one.

    A new one could be made of public names. It would move the counters of
    names, and its tensors would be in a graph of their own.
    """
    if isinstance(model, keras.Sequential):
        return model._functional
    return model


def sequential_model(kind: type, functional: Any, name: str) -> Any:
    """A sequential model of the layers and calls of a functional one.

    The public constructor would call each layer a second time, so that
    `layer.output` would be ambiguous.
    """
    (tensor,) = functional.inputs
    model = kind(name=name)
    model.add(input_layer_of(tensor), rebuild=False)
    model.build(tensor.shape)
    for layer in functional.layers[1:]:
        model.add(layer, rebuild=False)
    model._functional = functional
    model.built = True
    return model


@functools.cache
def attributes_of_any_model() -> set[str]:
    """Names of the attributes that Keras gives to models.

    A list of them is not public.
    """
    with keep_names():
        inputs = keras.Input((1,))
        functional = keras.Model(inputs, keras.layers.Identity()(inputs))
        sequential = keras.Sequential(functional.layers)
    names = {*attributes_of(functional), *attributes_of(sequential)}
    return names | _ATTRIBUTES_OF_USED_MODELS


@functools.cache
def attributes_of_any_layer() -> set[str]:
    """Names of the attributes that Keras gives to layers.

    The methods that it wraps for each layer are among them.
    """
    with keep_names():
        layer = keras.layers.Identity()
        layer(keras.Input((1,)))
    return {*attributes_of(layer)}


def attributes_of(layer: Any) -> dict[str, Any]:
    """The attributes of a layer, inner layers included.

    On torch these are not in the dictionary of an object, but in one inside.
    TensorFlow keeps there what it tracks.
    """
    found = {**vars(layer), **vars(layer).get("_modules", {})}
    return {
        name: value
        for name, value in found.items()
        if not name.startswith("_self_")
    }


def argument(operation: Any, name: str) -> Any:
    """An argument that a function of `keras.ops` was called with.

    An operation keeps those that are no tensors as attributes of the same
    names, which are not documented: `pad_width` of `keras.ops.pad`.
    """
    return getattr(operation, name)


@contextlib.contextmanager
def keep_names() -> Iterator[None]:
    """Restore the counters of names at the end.

    Keras numbers layers and tensors that have no name. After a function that
    only reads a model, the next layer has the name that it had without. The
    counters can be increased by public functions, and not read.
    """
    state = sys.modules[keras.utils.clear_session.__module__]
    counters = state.get_global_attribute(
        "object_name_uids", collections.defaultdict(int), set_to_default=True
    )
    before = dict(counters)
    try:
        yield
    finally:
        counters.clear()
        counters.update(before)
