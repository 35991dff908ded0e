"""Layers of a user that are attention, replaced by those of this library."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call, Changes, Graph, Probe
from keras_channel_attn.graph.keras_internals import has_been_called
from keras_channel_attn.surgery.fusion_conditions import Uses


def replace_own_layers(
    graph: Graph, layers: dict[Any, Callable[[Any], Any]], changes: Changes
) -> None:
    """Replace layers by what the function for their class returns for them."""
    _check_functions(layers)
    uses, made = Uses(graph), {}
    in_use = set(graph.operations().values())
    for call in graph.all_calls():
        layer = call.operation
        if type(layer) not in layers:
            continue
        _check_call(call, uses)
        if layer not in made:
            made[layer] = _made_for(call, layers[type(layer)], in_use)
        new, weights = made[layer]
        prepare = functools.partial(_prepare, call, weights)
        changes.replace(call, new, inputs=call.inputs[:1], prepare=prepare)
    _check_all_found(graph, set(layers) - {type(layer) for layer in made})


def _check_functions(layers: Any) -> None:
    if not isinstance(layers, Mapping) or not all(
        isinstance(kind, type) and callable(layers[kind]) for kind in layers
    ):
        raise TypeError(
            "`layers` must be a dictionary from classes of your layers to "
            "functions, such as `{MySqueezeExcite: function}`. "
            f"Received: layers={layers!r}."
        )


def _check_all_found(graph: Graph, missing: set[type]) -> None:
    """Raise an error for classes of which the model calls no layer."""
    if not missing:
        return
    names = sorted(kind.__name__ for kind in missing)
    near = {
        call.path: type(call.operation).__name__
        for call in graph.all_calls()
        if isinstance(call.operation, tuple(missing))
    }
    advice = (
        f" These layers are of subclasses, which are keys of their own: {near}."
        if near
        else ""
    )
    raise ValueError(
        f"`layers` has the classes {names}, and the model "
        f"'{graph.model.name}' calls no layer of exactly these classes. Layers "
        f"inside other layers, such as `TimeDistributed`, are not read.{advice}"
    )


def _check_call(call: Call, uses: Uses) -> None:
    """Raise an error for a call that one layer cannot stand for."""
    is_masked = uses.gets_mask(call)
    if len(call.inputs) == 1 and not is_masked:
        return
    kind = type(call.operation).__name__
    reason = "gets a mask with its input" if is_masked else "has several inputs"
    raise ValueError(
        "`layers` can replace a layer that is called on one tensor without a "
        f"mask. '{call.path}' (of type {kind}) {reason}. Leave {kind} out of "
        "`layers`."
    )


def _made_for(
    call: Call, function: Callable[[Any], Any], in_use: set[Any]
) -> Any:
    """The new layer, which is added to those in use, and its weights."""
    returned = function(call.operation)
    if (
        not isinstance(returned, (tuple, list))
        or len(returned) != 2
        or not isinstance(returned[0], keras.layers.Layer)
    ):
        raise TypeError(
            "A function in `layers` must return a layer of this library and "
            "the list of its weights: `return SqueezeExcite(8), "
            f"layer.get_weights()`. For '{call.path}' it returned "
            f"{returned!r}."
        )
    if returned[0] in in_use or has_been_called(returned[0]):
        raise ValueError(
            "A function in `layers` must return a new layer each time. For "
            f"'{call.path}' it returned the layer '{returned[0].name}', which "
            "is in use already."
        )
    in_use.add(returned[0])
    returned[0].name = call.operation.name
    return returned


def _prepare(call: Call, weights: Any, built: Any) -> None:
    """Give a new layer its weights, and compare its outputs."""
    built.set_weights(weights)
    built.trainable = call.operation.trainable
    probe = Probe(call)
    for array in _samples(call.inputs[0].shape):
        _check_outputs(call, built, probe([array]), built(array))


def _samples(shape: Any) -> list[Any]:
    """Random arrays of several scales.

    The means of a large map of random numbers are all near zero. So each sample
    has other means of channels, which are the first or the last axis.
    """
    rng = np.random.default_rng(0)
    sizes = [size or 2 + axis for axis, size in enumerate(shape)]
    ones = [1] * (len(sizes) - 2)
    array: Any = sum(
        rng.normal(size=x)
        for x in (sizes, (*sizes[:2], *ones), (sizes[0], *ones, sizes[-1]))
    )
    return [(scale * array).astype("float32") for scale in (0.1, 1, 10)]


def _check_outputs(call: Call, built: Any, one: Any, other: Any) -> None:
    other = keras.ops.convert_to_numpy(other)
    tolerance = 1e-2 if "16" in built.compute_dtype else 1e-4
    limit = tolerance * np.abs(one).max()
    if not np.allclose(one, other, rtol=tolerance, atol=limit):
        raise ValueError(
            f"The layer that `layers` has for '{call.path}' (of type "
            f"{type(call.operation).__name__}) computes something else. "
            f"Received: {type(built).__name__} whose outputs differ by "
            f"{np.abs(one - other).max():.3g}. Check its arguments and "
            "the order of the weights."
        )
