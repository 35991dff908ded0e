"""The layers of a copied model, each made once."""

import collections
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph.calls import Graph
from keras_channel_attn.graph.changes import Changes
from keras_channel_attn.graph.classes import keeps_class
from keras_channel_attn.graph.copying import build_as, copy_of
from keras_channel_attn.graph.operations import (
    inner_layers,
    inner_pairs,
    is_model,
    operations_of,
)
from keras_channel_attn.graph.state import LayerPair
from keras_channel_attn.graph.tensors import IdentityMap


class LayerCopies:
    """Copies of layers and operations, made at their first use.

    Args:
        graph: `Graph` of the outermost model.
        changes: `Changes`.
        copy_calls: Callable from the graph of a nested model to a copy that is
            made call by call.
        copy_of_model: As in `copy_of`.

    Attributes:
        made: Dictionary from each layer or operation to its copy.
        variables: `IdentityMap` from variables to those of the copy.
        values: `changes.values`.
        keeps_sizes: Boolean, whether no layer gets another size.
        in_graph: Set of the layers that are called in the graph, and in the
            graphs of nested models that are copied call by call.
    """

    def __init__(
        self,
        graph: Graph,
        changes: Changes,
        copy_calls: Callable[[Graph], Any],
        copy_of_model: Callable[[Any], Any],
    ) -> None:
        self.made: dict[Any, Any] = {}
        self.variables = IdentityMap()
        self.values = changes.values
        self._outermost = graph
        self._changes = changes
        self.keeps_sizes = not (changes.configurations or changes.input_shapes)
        self._changed = set(changes.calls())
        self._copy_calls = copy_calls
        self._copy_of_model = copy_of_model
        self.in_graph, self._shared = self._layers_in_use()
        # From resized copies to the initializers that they get back.
        self._initializers: dict[Any, dict[str, Any]] = {}

    def of(self, operation: Any) -> Any:
        """The copy of a layer or operation."""
        if operation not in self.made:
            self.made[operation] = self._new(operation)
        return self.made[operation]

    def of_variable(self, variable: Any) -> Any:
        """The copy of a variable that is an argument of a call."""
        if variable not in self.variables:
            for layer in self.in_graph:
                own = getattr(layer, "variables", [])
                if not self._is_rebuilt(layer) and any(
                    candidate is variable for candidate in own
                ):
                    copy = build_as(layer, self.of(layer))
                    pair = LayerPair(layer, copy, self.values)
                    self.variables.update(*zip(*pair.variables, strict=True))
                    break
            else:
                self.variables[variable] = copy_of_variable(variable)
        return self.variables[variable]

    def restore_initializers(self) -> None:
        """Give resized layers the initializers of the originals."""
        for copy, initializers in self._initializers.items():
            vars(copy).update(_initializers_that_fit(copy, initializers))

    def _new(self, operation: Any) -> Any:
        if is_model(operation):
            nested = self._outermost.nested
            if operation not in nested:
                Graph(operation, f"{operation.name}/", nested)
            if self._is_rebuilt(operation):
                return self._copy_calls(nested[operation])
            # Nothing changes in it: it can keep a class of its own.
        configuration = self._changes.configurations.get(operation)
        copy = copy_of(
            operation,
            self._copy_of_model,
            self._if_shared,
            configuration,
            self.keeps_sizes,
            self._changes.policy_of,
        )
        if operation in self._changes.names:
            copy.name = self._changes.names[operation]
        if configuration is not None:
            self._initializers[copy] = _start_with_zeros(copy)
        for inner, other in inner_pairs(operation, copy):
            if inner in self._shared:
                self.made.setdefault(inner, other)
        return copy

    def _if_shared(self, layer: Any) -> Any:
        """The copy of a layer inside another one, if it is used elsewhere."""
        has_policies = self._changes.policy_of is not None
        if layer in self.in_graph or (has_policies and is_model(layer)):
            return build_as(layer, self.of(layer))
        return self.made.get(layer) if layer in self._shared else None

    def _is_rebuilt(self, operation: Any) -> bool:
        """Whether it is a nested model that is copied call by call."""
        graph = self._outermost.nested.get(operation)
        return graph is not None and (
            graph is self._outermost
            or self._changes.policy_of is not None
            or keeps_class(graph.model)
            or not self._changed.isdisjoint(graph.all_calls())
        )

    def _layers_in_use(self) -> tuple[set[Any], set[Any]]:
        """The layers that are called, and others that several layers hold."""
        called: set[Any] = set()
        held: collections.Counter[Any] = collections.Counter()
        waiting = [self._outermost]
        while waiting:
            current = waiting.pop()
            for operation in operations_of(current.model):
                if operation in called:
                    continue
                called.add(operation)
                if self._is_rebuilt(operation):
                    waiting.append(self._outermost.nested[operation])
                elif isinstance(operation, keras.layers.Layer):
                    held.update(
                        inner for at, inner in inner_layers(operation) if at
                    )
        shared = {layer for layer, count in held.items() if count > 1}
        return called, shared - called


def copy_of_variable(variable: Any) -> Any:
    """A new variable with the value of another."""
    return keras.Variable(
        keras.ops.copy(variable.value),
        trainable=variable.trainable,
        dtype=variable.dtype,
        name=variable.name,
    )


def _start_with_zeros(layer: Any) -> dict[str, Any]:
    """Let the weights of a new layer start at zero, until they are assigned.

    JAX compiles the random numbers of each shape, which takes longer than all
    the rest: half a minute for ResNet50 with a new width for each layer. The
    initializers that the layer had are returned.
    """
    initializers = {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, keras.initializers.Initializer)
    }
    vars(layer).update(dict.fromkeys(initializers, _zeros))
    return initializers


def _initializers_that_fit(
    layer: Any, initializers: dict[str, Any]
) -> dict[str, Any]:
    """The initializers of a layer; zeros for arrays of another shape.

    An array has the shape of the original's weight. A layer that is loaded
    from a file could not be built with it.
    """
    # An operation has no weights and no initializers.
    weights = getattr(layer, "weights", ())
    shapes = [(), *(tuple(weight.shape) for weight in weights)]
    return {
        name: keras.initializers.Zeros()
        if isinstance(value, keras.initializers.Constant)
        and np.shape(value.value) not in shapes
        else value
        for name, value in initializers.items()
    }


def _zeros(shape: Any, dtype: Any = None) -> Any:
    zeros = np.zeros(shape, "float32")
    return keras.ops.convert_to_tensor(zeros, dtype)
