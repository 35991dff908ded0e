"""What the calls of a model say about its masks."""

from typing import Any

import keras

from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    interpret,
    is_boolean,
    is_operation,
)
from keras_channel_attn.graph.keras_internals import mask_of


def masks_with_tensors(graph: Graph) -> list[tuple[Any, Any]]:
    """Pairs: a boolean tensor that a layer takes as `mask`, and what it is for.

    The second tensor has one more axis. Nested models are left out.
    """
    equal = _equal_masks(graph)
    found = []
    for call in graph.calls:
        if len(call.inputs) < 2:
            continue
        arguments = call.arguments_by_name()
        masks = keras.tree.flatten(arguments.get("mask"))
        tensors = keras.tree.flatten(next(iter(arguments.values()), ()))
        if len(masks) == len(tensors):
            found += [
                (equal.get(mask, mask), tensor)
                for mask, tensor in zip(masks, tensors, strict=True)
                if isinstance(mask, keras.KerasTensor)
                and isinstance(tensor, keras.KerasTensor)
                and is_boolean(mask)
                and len(mask.shape) == len(tensor.shape) - 1
            ]
    return found


def calls_on_masked_inputs(graph: Graph) -> set[Call]:
    """The calls that get a mask with an input.

    Keras records no mask in a nested model that it is called with, nor one on
    what this model returns. It passes them on when the model computes.
    """
    found: set[Call] = set()

    def masks_of_outputs(call: Call, values: IdentityMap) -> list[bool]:
        is_recorded = any(mask_of(tensor) is not None for tensor in call.inputs)
        is_masked = is_recorded or any(values[x] for x in call.inputs)
        if is_masked:
            found.add(call)
        # An operation, such as a cast, may return the tensor that it gets.
        passes = getattr(call.operation, "supports_masking", True)
        return [
            mask_of(tensor) is not None
            or (is_masked and not is_recorded and passes)
            for tensor in call.outputs
        ]

    masks = [mask_of(tensor) is not None for tensor in graph.model.inputs]
    interpret(graph, masks, masks_of_outputs)
    return found


def takes_mask_argument(call: Call) -> bool:
    """Whether a layer is called with `mask`."""
    return call.arguments_by_name().get("mask") is not None


def origins_of_masked_tensors(graph: Graph) -> IdentityMap:
    """The tensors that are called with a mask, and what computes them."""
    return with_upstream(graph, _masked_tensors(graph))


def with_upstream(graph: Graph, tensors: list[Any]) -> IdentityMap:
    """Tensors, and all those that they are computed from."""
    found = IdentityMap()
    for tensor in tensors:
        if tensor not in found:
            upstream = [tensor, *graph.upstream(tensor)]
            found.update(upstream, [True] * len(upstream))
    return found


def calls_with_shifting_windows(graph: Graph, tensor: Any) -> list[Call]:
    """The calls before a tensor whose first window depends on the length.

    With strides and `padding="same"`, Keras divides the zeros between both ends
    by the length of the input. Nothing shifts where the length is known.
    """
    upstream = with_upstream(graph, [tensor])
    found = []
    for call in graph.calls:
        if any(output in upstream for output in call.outputs):
            inside = [*call.inner.all_calls()] if call.inner else []
            found += [*filter(_has_shifting_windows, [*inside, call])]
    return found


def _has_shifting_windows(call: Call) -> bool:
    layer = call.operation
    sizes = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    strides = getattr(layer, "strides", None)
    windows = zip(
        keras.tree.flatten(sizes), keras.tree.flatten(strides), strict=False
    )
    return (
        getattr(layer, "padding", None) == "same"
        # The windows of transposed convolutions are those of their outputs.
        and not hasattr(layer, "output_padding")
        and any(None in tensor.shape[1:] for tensor in call.inputs)
        # A layer of a user may mean something else by these names.
        and any(_shifts(*x) for x in windows if {*map(type, x)} == {int})
    )


def _shifts(size: int, step: int) -> bool:
    """Whether the number of zeros at the start depends on the length.

    It is `(size - rest) // 2` for a rest from 1 to `step` of the length.
    """
    return (size - 1) // 2 != max(size - step, 0) // 2


def _equal_masks(graph: Graph) -> IdentityMap:
    """From each mask that is merged of one and the same mask to that mask.

    `keras.layers.Add` merges the masks of its inputs by `logical_or`.
    """
    equal = IdentityMap()
    for call in graph.calls:
        if is_operation(call.operation, "logical_or"):
            first, *others = [equal.get(x, x) for x in call.inputs]
            if all(other is first for other in others):
                equal[call.outputs[0]] = first
    return equal


def _masked_tensors(graph: Graph) -> list[Any]:
    """The tensors that are arguments of a call beside a mask.

    A boolean input of the model that has positions is a mask too, and so is
    what is computed from it alone: a tensor may be multiplied by it.
    """
    found, masks = [], IdentityMap()
    for tensor in graph.model.inputs:
        if is_boolean(tensor) and len(tensor.shape) > 1:
            masks[tensor] = True
    for call in graph.calls:
        others = [tensor for tensor in call.inputs if tensor not in masks]
        if call.inputs and not others:
            masks.update(call.outputs, [True] * len(call.outputs))
        elif len(others) < len(call.inputs) or _takes_mask(call):
            found += others
    return found


def _takes_mask(call: Call) -> bool:
    return len(call.inputs) > 1 and any(
        isinstance(leaf, keras.KerasTensor)
        for name, value in call.arguments_by_name().items()
        if name.endswith("mask")
        for leaf in keras.tree.flatten(value)
    )
