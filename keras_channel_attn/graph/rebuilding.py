"""A copy of a model in which some layers are new.

`Changes` says what is to be different, by the calls of the original's graph;
`rebuild` makes the copy. Whoever wants to change a model finds first what to
change, on a graph that costs nothing to read, and writes no loop over calls.
"""

import collections
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph.attributes import (
    Translation,
    carry_attributes,
    view_of,
)
from keras_channel_attn.graph.calls import Call, Graph
from keras_channel_attn.graph.changes import Changes
from keras_channel_attn.graph.classes import (
    check_class,
    keeps_class,
    of_same_class,
)
from keras_channel_attn.graph.copying import built, copy_of
from keras_channel_attn.graph.operations import (
    inner_layers,
    is_model,
    operations_of,
)
from keras_channel_attn.graph.random_state import random_state_kept
from keras_channel_attn.graph.recursion import recursion_limit_raised
from keras_channel_attn.graph.state import carry_state, variable_pairs
from keras_channel_attn.graph.tensors import (
    IdentityMap,
    symbolic_tensors,
    with_tensors_replaced,
)


def check_classes(graph: Graph, calls: Iterable[Call]) -> None:
    """Check that a model can be copied with changes at some calls.

    Args:
        graph: `Graph` of the model.
        calls: Calls that are to change.

    Raises:
        ValueError: If the class of the model, or of one that is nested in it
            and changes, has training logic that the copy would lack.
    """
    changed = set(calls)
    for nested in graph.nested.values():
        if nested is graph or not changed.isdisjoint(nested.all_calls()):
            check_class(nested.model)


def rebuild(
    graph: Graph,
    changes: Changes | None = None,
    on_call: Callable[[], None] | None = None,
) -> Any:
    """A copy of a model with some changes.

    The copy has layers of its own with the names, configurations, weights and
    `trainable` flags of the original's, and is not compiled. A model that holds
    a new layer is trainable itself, even if the original was not.

    Args:
        graph: `Graph` of the model. The model stays as it is.
        changes: `Changes` to make. Defaults to `None`: an exact copy.
        on_call: Function without arguments, called after each call of a layer
            or operation in the copy. Defaults to `None`: nothing is called.

    Returns:
        A model of the same class, or a plain functional model where that class
        does not take inputs and outputs, or has a configuration of its own.

    Raises:
        ValueError: If a layer cannot be copied, or a class has training logic
            that the copy would lack.
    """
    changes = changes or Changes()
    check_classes(graph, changes.calls())
    call_count = sum(1 for _ in graph.all_calls())
    with random_state_kept(), recursion_limit_raised(2 * call_count):
        builder = _Builder(graph, changes, on_call)
        copy = builder.copy(graph.model)
        builder.carry()
    return copy


class _Builder:
    def __init__(
        self,
        graph: Graph,
        changes: Changes,
        on_call: Callable[[], None] | None,
    ) -> None:
        self.outermost = graph
        self.nested = graph.nested
        self.changes = changes
        self.on_call = on_call
        self.changed = set(changes.calls())
        # From each tensor of the original to that of the copy.
        self.tensors = IdentityMap()
        # From each original layer or operation to its copy.
        self.copies: dict[Any, Any] = {}
        # From each model to its copy, nested ones before those around them.
        self.models: dict[Any, Any] = {}
        # Copies of models that hold a new layer.
        self.extended: set[Any] = set()
        self.in_graph, self.shared = _layers_in_use(graph, self.is_rebuilt)
        # From each layer, those inside other layers included, to its copy.
        self.inner: dict[Any, Any] = {}
        # From each variable in arguments of calls to its copy.
        self.constants = IdentityMap()
        # From resized copies to the initializers that they get back.
        self.initializers: dict[Any, dict[str, Any]] = {}

    def copy_of_model(self, graph: Graph) -> Any:
        # A nested model may begin at a tensor of the model around it.
        model, tensors = graph.model, IdentityMap()
        plain = _functional(model)
        input_layers = _input_layers(plain)

        def new_input(tensor: Any) -> Any:
            tensors[tensor] = _new_input(
                tensor,
                input_layers.get(tensor),
                self.changes.input_shapes.get(tensor, tensor.shape),
            )
            return tensors[tensor]

        inputs = keras.tree.map_structure(new_input, plain.input)
        extended = False
        for call in graph.calls:
            outputs, is_new = self.outputs(call, tensors)
            extended = extended or is_new
            if self.on_call is not None:
                self.on_call()
            for tensor, output in zip(
                call.outputs, keras.tree.flatten(outputs), strict=True
            ):
                tensors[tensor] = output
        outputs = with_tensors_replaced(plain.output, tensors)
        for tensor in tensors:
            if graph is self.outermost:
                self.tensors[tensor] = tensors[tensor]
            else:
                self.tensors.setdefault(tensor, tensors[tensor])
        # Not made of the model itself: Keras would compile its copy too.
        copy = of_same_class(
            model, keras.Model(inputs, outputs, name=model.name)
        )
        self.models[model] = copy
        if extended:
            self.extended.add(copy)
        return copy

    def outputs(self, call: Call, tensors: IdentityMap) -> tuple[Any, bool]:
        """The outputs of a call in the copy; whether a layer in it is new."""
        changes = self.changes
        before = changes.before.get(call, IdentityMap())
        if call in changes.instead:
            return self.outputs_instead(call, tensors)
        arguments = IdentityMap()
        for tensor in call.inputs:
            value = tensors[tensor]
            layer = before.get(tensor)
            arguments[tensor] = (
                value
                if layer is None
                else _applied(layer, value, _source_path(call, tensor))
            )
        args, kwargs = self.arguments(call, arguments)
        copy = self.copy(call.operation)
        outputs = copy(*args, **kwargs)
        is_new = bool(before) or copy in self.extended
        if call in changes.after:
            outputs = keras.tree.pack_sequence_as(
                outputs,
                [
                    value
                    if position not in changes.after[call]
                    else _applied(
                        changes.after[call][position], value, call.path
                    )
                    for position, value in enumerate(
                        keras.tree.flatten(outputs)
                    )
                ],
            )
            is_new = True
        return outputs, is_new

    def outputs_instead(
        self, call: Call, tensors: IdentityMap
    ) -> tuple[Any, bool]:
        replacement = self.changes.instead[call]
        first_input = call.inputs[0]
        if replacement is None:
            if call.graph.source(first_input) is not None:
                return tensors[first_input], False
            # Keras cannot make a model whose output is its input everywhere.
            name = f"{call.operation.name}_removed"
            return keras.layers.Identity(name=name)(tensors[first_input]), True
        layer = replacement.layer
        if replacement.inputs is None:
            args, kwargs = self.arguments(call, tensors)
        else:
            args, kwargs = [tensors[x] for x in replacement.inputs], {}
        outputs = _outputs_of_shape(
            layer, args, kwargs, call.outputs, f"in the place of '{call.path}'"
        )
        if replacement.weights is not None:
            layer.set_weights(replacement.weights)
        if not replacement.trainable:
            layer.trainable = False
        return outputs, replacement.extends

    def arguments(self, call: Call, tensors: IdentityMap) -> tuple[Any, Any]:
        """The arguments of a call in the copy."""

        def argument(leaf: Any) -> Any:
            if isinstance(leaf, keras.Variable):
                return self.copy_of_variable(leaf)
            return tensors.get(leaf, leaf)

        args, kwargs = keras.tree.map_structure(
            argument, (call.args, call.kwargs)
        )
        return args, kwargs

    def copy_of_variable(self, variable: Any) -> Any:
        """The copy of a variable that is an argument of a call."""
        for layer in self.in_graph:
            own = getattr(layer, "variables", [])
            if any(candidate is variable for candidate in own):
                pairs = variable_pairs(layer, built(layer, self.copy(layer)))
                return next(copy for one, copy in pairs if one is variable)
        if variable not in self.constants:
            self.constants[variable] = keras.Variable(
                keras.ops.copy(variable.value),
                trainable=variable.trainable,
                dtype=variable.dtype,
                name=variable.name,
            )
        return self.constants[variable]

    def copy(self, operation: Any) -> Any:
        """The copy of a layer or operation, made at its first call."""
        if operation not in self.copies:
            self.copies[operation] = self._copy(operation)
        return self.copies[operation]

    def _copy(self, operation: Any) -> Any:
        if is_model(operation):
            if operation not in self.nested:
                Graph(operation, f"{operation.name}/", self.nested)
            if self.is_rebuilt(self.nested[operation]):
                return self.copy_of_model(self.nested[operation])
            # Nothing changes in it: it can keep a class of its own.
        copy = copy_of(
            operation,
            self.copy_if_shared,
            self.changes.configurations.get(operation),
        )
        if operation in self.changes.configurations:
            self.initializers[copy] = _initializers_replaced(copy)
        places = dict(inner_layers(copy))
        for place, inner in inner_layers(operation):
            if inner in self.shared and place in places:
                self.copies.setdefault(inner, places[place])
        return copy

    def is_rebuilt(self, graph: Graph) -> bool:
        return (
            graph is self.outermost
            or keeps_class(graph.model)
            or not self.changed.isdisjoint(graph.all_calls())
        )

    def copy_if_shared(self, layer: Any) -> Any:
        """The copy of a layer inside another one, if it is used elsewhere."""
        if layer in self.in_graph:
            return built(layer, self.copy(layer))
        return self.copies.get(layer) if layer in self.shared else None

    def copy_of_attribute(self, layer: Any, current: Any) -> Any:
        """The copy of a layer that a model holds, in its graph or beside it.

        Args:
            layer: Layer of the original.
            current: Layer that the copy of the model has made itself, or
                `None`.

        Returns:
            Layer, or `None` if the copy has other layers in its place.
        """
        if layer in self.inner:
            return self.inner[layer]
        if layer in self.in_graph:
            return None
        copy = view_of(layer, self.tensors)
        if copy is None:
            copy = self.copies.setdefault(layer, current or self.copy(layer))
            copy = built(layer, copy)
        self.inner[layer] = copy
        return copy

    def carry(self) -> None:
        """Give the copies the attributes, weights and flags they lack."""
        for copy, initializers in self.initializers.items():
            vars(copy).update(_fitting(copy, initializers))
        rebuilt = set(self.models.values())
        variables = IdentityMap()
        for original, copy in self.copies.items():
            if not isinstance(original, keras.layers.Layer):
                continue
            self.inner.setdefault(original, copy)
            if copy in rebuilt:
                continue
            places = dict(inner_layers(copy))
            for place, inner in inner_layers(original):
                if place in places:
                    self.inner.setdefault(inner, places[place])
            for variable, other in variable_pairs(
                original, copy, self.changes.values
            ):
                variables[variable] = other
        translation = Translation(
            tensor=self.tensors.get,
            variable=variables.get,
            layer=self.copy_of_attribute,
            belongs=self.inner.__contains__,
        )
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
                carry_state(original, copy, self.changes.values)


def _layers_in_use(
    graph: Graph, is_rebuilt: Callable[[Graph], bool]
) -> tuple[set[Any], set[Any]]:
    """The layers that are called, and those that several layers hold.

    Returns:
        Set of the layers of a graph and of all that are rebuilt with it; set
        of the layers that are in none of these and inside several layers.
    """
    called: set[Any] = set()
    held: collections.Counter[Any] = collections.Counter()
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        for operation in operations_of(current.model):
            if operation in called:
                continue
            called.add(operation)
            nested = graph.nested.get(operation)
            if nested is not None and is_rebuilt(nested):
                waiting.append(nested)
            elif isinstance(operation, keras.layers.Layer):
                held.update(
                    inner for at, inner in inner_layers(operation) if at
                )
    shared = {layer for layer, count in held.items() if count > 1}
    return called, shared - called


def _initializers_replaced(layer: Any) -> dict[str, Any]:
    """Let the weights of a new layer start at zero, until they are assigned.

    JAX compiles the random numbers of each shape, which takes longer than all
    the rest: half a minute for ResNet50 with a new width for each layer.

    Returns:
        Dictionary from attributes of the layer to the initializers they held.
    """
    initializers = {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, keras.initializers.Initializer)
    }
    vars(layer).update(dict.fromkeys(initializers, _zeros))
    return initializers


def _fitting(layer: Any, initializers: dict[str, Any]) -> dict[str, Any]:
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


def _functional(model: Any) -> Any:
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def _input_layers(model: Any) -> IdentityMap:
    """From each input tensor to its layer."""
    found = IdentityMap()
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            found[layer.output] = layer
    return found


def _new_input(tensor: Any, layer: Any, shape: Any) -> Any:
    if getattr(tensor, "ragged", False):
        raise ValueError(
            f"The input '{tensor.name}' is ragged. Models with ragged inputs "
            "cannot be copied: pass a model with padded inputs and a mask."
        )
    return keras.Input(
        batch_shape=shape,
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
    return _outputs_of_shape(layer, [tensor], {}, [tensor], f"after '{path}'")


def _outputs_of_shape(
    layer: Any, args: Any, kwargs: Any, expected: list[Any], place: str
) -> Any:
    """The outputs of a new layer, which must fit into the network."""
    kind = f"The new layer '{layer.name}' (of type {type(layer).__name__})"
    try:
        outputs = layer(*args, **kwargs)
    except Exception as error:
        shape = tuple(args[0].shape)
        raise ValueError(
            f"{kind} cannot be applied {place}, to a tensor of shape {shape}: "
            f"{error}"
        ) from error
    shapes = [
        [tuple(tensor.shape) for tensor in symbolic_tensors(tensors)]
        for tensors in (outputs, expected)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{kind} must keep the shape of its input {place}: the shapes of "
            f"its outputs must be {shapes[1]}, and are {shapes[0]}."
        )
    return outputs
