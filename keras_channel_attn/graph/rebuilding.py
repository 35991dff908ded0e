"""A copy of a model in which some layers are new.

`Changes` says what is to be different, by the calls of the original's graph;
`rebuild` makes the copy. Whoever wants to change a model finds first what to
change, on a graph that costs nothing to read, and writes no loop over calls.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_channel_attn.graph.calls import Call, Graph
from keras_channel_attn.graph.classes import (
    Translation,
    carry_attributes,
    of_same_class,
)
from keras_channel_attn.graph.copying import copy_of
from keras_channel_attn.graph.operations import is_from_keras, is_model
from keras_channel_attn.graph.state import carry_state
from keras_channel_attn.graph.tensors import TensorMap, with_tensors_replaced


@dataclasses.dataclass(frozen=True)
class _Replacement:
    layer: Any
    inputs: Sequence[Any] | None
    weights: Sequence[Any] | None
    trainable: bool


class Changes:
    """What is to be different in the copy of a model."""

    def __init__(self) -> None:
        self._before: dict[Call, TensorMap] = {}
        self._after: dict[Call, dict[int, Any]] = {}
        self._instead: dict[Call, _Replacement | None] = {}

    def insert_before(self, call: Call, tensor: Any, layer: Any) -> None:
        """Apply a layer to one input of a call, for this call alone."""
        self._before.setdefault(call, TensorMap())[tensor] = layer

    def insert_after(self, call: Call, tensor: Any, layer: Any) -> None:
        """Apply a layer to an output of a call, for all who use it."""
        position = [output is tensor for output in call.outputs].index(True)
        self._after.setdefault(call, {})[position] = layer

    def replace(
        self,
        call: Call,
        layer: Any,
        inputs: Sequence[Any] | None = None,
        weights: Sequence[Any] | None = None,
        trainable: bool = True,
    ) -> None:
        """Call another layer in the place of a call's own.

        Args:
            call: `Call` of the original.
            layer: New layer.
            inputs: List of tensors of the original to call it on. Defaults to
                `None`: the arguments of the call.
            weights: List of arrays for the new layer. Defaults to `None`: it
                keeps its initial weights.
            trainable: Boolean, flag of the new layer. Defaults to `True`.
        """
        self._instead[call] = _Replacement(layer, inputs, weights, trainable)

    def remove(self, call: Call) -> None:
        """Pass the first input of a call on, in place of its output."""
        self._instead[call] = None

    def concern(self, graph: Graph) -> bool:
        """Whether anything changes in a model or in one nested in it."""
        return any(
            call in changed
            for call in graph.all_calls()
            for changed in (self._before, self._after, self._instead)
        )


def rebuild(graph: Graph, changes: Changes | None = None) -> Any:
    """A copy of a model with some changes.

    The copy has layers of its own with the names, configurations, weights and
    `trainable` flags of the original's, and is not compiled. A model that holds
    a new layer is trainable itself, even if the original was not.

    Args:
        graph: `Graph` of the model. The model stays as it is.
        changes: `Changes` to make. Defaults to `None`: an exact copy.

    Returns:
        A model of the same class, or a plain functional model where that class
        does not take inputs and outputs, or has a configuration of its own.

    Raises:
        ValueError: If a layer cannot be copied, or a class has training logic
            that the copy would lack.
    """
    builder = _Builder(graph, changes or Changes())
    copy = builder.copy_of_model(graph)
    builder.carry()
    return copy


class _Builder:
    def __init__(self, graph: Graph, changes: Changes) -> None:
        self.nested = graph.nested
        self.changes = changes
        # From each tensor of the original to that of the copy.
        self.tensors = TensorMap()
        # From each original layer or operation to its copy.
        self.copies: dict[Any, Any] = {}
        # From each model to its copy, nested ones before those around them.
        self.models: dict[Any, Any] = {}
        # Copies of models that hold a new layer.
        self.extended: set[Any] = set()

    def copy_of_model(self, graph: Graph) -> Any:
        model, tensors = graph.model, self.tensors
        plain = _functional(model)
        input_layers = _input_layers(plain)

        def new_input(tensor: Any) -> Any:
            tensors[tensor] = _new_input(tensor, input_layers.get(tensor))
            return tensors[tensor]

        inputs = keras.tree.map_structure(new_input, plain.input)
        extended = False
        for call in graph.calls:
            outputs, is_new = self.outputs(call, tensors)
            extended = extended or is_new
            for tensor, output in zip(
                call.outputs, keras.tree.flatten(outputs), strict=True
            ):
                tensors[tensor] = output
        outputs = with_tensors_replaced(plain.output, tensors)
        # Not made of the model itself: Keras would compile its copy too.
        copy = of_same_class(
            model, keras.Model(inputs, outputs, name=model.name)
        )
        self.models[model] = copy
        if extended:
            self.extended.add(copy)
        return copy

    def outputs(self, call: Call, tensors: TensorMap) -> tuple[Any, bool]:
        """The outputs of a call in the copy; whether a layer in it is new."""
        changes = self.changes
        before = changes._before.get(call, TensorMap())
        if call in changes._instead:
            return self.outputs_instead(call, tensors)
        arguments = TensorMap()
        for tensor in call.inputs:
            value = tensors[tensor]
            layer = before.get(tensor)
            arguments[tensor] = (
                value
                if layer is None
                else _applied(layer, value, _source_path(call, tensor))
            )
        args, kwargs = with_tensors_replaced(
            (call.args, call.kwargs), arguments
        )
        copy = self.copy(call.operation)
        outputs = copy(*args, **kwargs)
        is_new = bool(before) or copy in self.extended
        if call in changes._after:
            outputs = keras.tree.pack_sequence_as(
                outputs,
                [
                    value
                    if position not in changes._after[call]
                    else _applied(
                        changes._after[call][position], value, call.path
                    )
                    for position, value in enumerate(
                        keras.tree.flatten(outputs)
                    )
                ],
            )
            is_new = True
        return outputs, is_new

    def outputs_instead(
        self, call: Call, tensors: TensorMap
    ) -> tuple[Any, bool]:
        replacement = self.changes._instead[call]
        first_input = call.inputs[0]
        if replacement is None:
            if call.graph.source(first_input) is not None:
                return tensors[first_input], False
            # Keras cannot make a model whose output is its input everywhere.
            name = f"{call.operation.name}_removed"
            return keras.layers.Identity(name=name)(tensors[first_input]), True
        layer = replacement.layer
        if replacement.inputs is None:
            args, kwargs = with_tensors_replaced(
                (call.args, call.kwargs), tensors
            )
        else:
            args, kwargs = [tensors[x] for x in replacement.inputs], {}
        outputs = layer(*args, **kwargs)
        if replacement.weights is not None:
            layer.set_weights(replacement.weights)
        if not replacement.trainable:
            layer.trainable = False
        return outputs, True

    def copy(self, operation: Any) -> Any:
        """The copy of a layer or operation, made at its first call."""
        if operation not in self.copies:
            self.copies[operation] = self._copy(operation)
        return self.copies[operation]

    def _copy(self, operation: Any) -> Any:
        if is_model(operation):
            if operation not in self.nested:
                Graph(operation, f"{operation.name}/", self.nested)
            graph = self.nested[operation]
            if is_from_keras(type(operation)) or self.changes.concern(graph):
                return self.copy_of_model(graph)
            # Nothing changes in it: it can keep a class of its own.
        return copy_of(operation)

    def copy_of_attribute(self, layer: Any) -> Any:
        """The copy of a layer that a model holds, in its graph or beside it."""
        copy = self.copy(layer)
        if layer.built and not copy.built:
            copy.build_from_config(layer.get_build_config())
        return copy

    def carry(self) -> None:
        """Give the copies the attributes, weights and flags they lack."""
        translation = Translation(self.tensors.get, self.copy_of_attribute)
        for model, copy in list(self.models.items()):
            carry_attributes(model, copy, translation)
        rebuilt = set(self.models.values())
        # The outermost first: the flag of a model reaches all layers inside.
        for model, copy in reversed(self.models.items()):
            if copy not in self.extended:
                copy.trainable = model.trainable
            copy.dtype_policy = model.dtype_policy
        for original, copy in self.copies.items():
            if isinstance(original, keras.layers.Layer) and (
                copy not in rebuilt
            ):
                carry_state(original, copy)


def _functional(model: Any) -> Any:
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def _input_layers(model: Any) -> TensorMap:
    """From each input tensor to its layer."""
    found = TensorMap()
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            found[layer.output] = layer
    return found


def _new_input(tensor: Any, layer: Any) -> Any:
    if getattr(tensor, "ragged", False):
        raise ValueError(
            f"The input '{tensor.name}' is ragged. Models with ragged inputs "
            "cannot be copied: pass a model with padded inputs and a mask."
        )
    return keras.Input(
        batch_shape=tensor.shape,
        dtype=tensor.dtype,
        sparse=tensor.sparse,
        optional=getattr(layer, "optional", False),
        # The tensor has a name of its own where the layer was given none.
        name=getattr(layer, "name", tensor.name),
    )


def _source_path(call: Call, tensor: Any) -> str:
    source = call.graph.source(tensor)
    return call.path if source is None else source.path


def _applied(layer: Any, tensor: Any, path: str) -> Any:
    """The output of a new layer, which must have the shape of its input."""
    try:
        outputs = layer(tensor)
    except Exception as error:
        raise ValueError(
            f"The new layer '{layer.name}' (of type {type(layer).__name__}) "
            f"cannot be applied to the output of '{path}', of shape "
            f"{tuple(tensor.shape)}: {error}"
        ) from error
    if getattr(outputs, "shape", None) != tensor.shape:
        raise ValueError(
            f"The new layer '{layer.name}' (of type {type(layer).__name__}) "
            "must return one tensor of the shape of its input. After "
            f"'{path}' it was given {tuple(tensor.shape)} and returned "
            f"{outputs!r}."
        )
    return outputs
