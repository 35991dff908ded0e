"""A copy of a model in which some layers are new.

`Changes` says what is to be different, by the calls of the original's graph;
`rebuild` makes the copy.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_channel_attn.graph.attributes import (
    carry_attributes,
    warn_of_lost,
)
from keras_channel_attn.graph.calls import Call, Graph
from keras_channel_attn.graph.changes import (
    Changes,
    Replacement,
    outputs_of_new,
)
from keras_channel_attn.graph.classes import of_same_class
from keras_channel_attn.graph.copying import first_sentence_of
from keras_channel_attn.graph.counterparts import Counterparts
from keras_channel_attn.graph.inputs import new_input
from keras_channel_attn.graph.interpreter import values_of_tensors
from keras_channel_attn.graph.keras_internals import (
    functional_model,
    input_layer_of,
)
from keras_channel_attn.graph.layer_copies import LayerCopies
from keras_channel_attn.graph.random_state import keep_random_state
from keras_channel_attn.graph.recursion import raise_recursion_limit
from keras_channel_attn.graph.state import LayerPair, carry_unnamed_variables
from keras_channel_attn.graph.tensors import IdentityMap, replace_tensors


def rebuild(
    graph: Graph,
    changes: Changes | None = None,
    on_call: Callable[[], None] | None = None,
) -> Any:
    """A copy of a model with some changes.

    The copy has layers of its own with the names, configurations, weights and
    `trainable` flags of the original's, and is not compiled. A model that holds
    a new layer is trainable itself, even if the original was not. Nothing is
    written to the original.

    Args:
        graph: `Graph` of the model.
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
    call_count = sum(1 for _ in graph.all_calls())
    with keep_random_state(), raise_recursion_limit(2 * call_count):
        copies = _ModelCopies(graph, changes or Changes(), on_call)
        copy = copies.of(graph)
        copies.carry_state()
    return copy


def copy_of_model(model: Any) -> Any:
    """An exact copy of a model."""
    return rebuild(Graph(model))


class _ModelCopies:
    """The copy of a model and those of the models nested in it."""

    def __init__(
        self,
        graph: Graph,
        changes: Changes,
        on_call: Callable[[], None] | None,
    ) -> None:
        self._outermost = graph
        self._changes = changes
        self._on_call = on_call
        self._layers = LayerCopies(graph, changes, self.of, copy_of_model)
        # From each model to its copy, nested ones before those around them.
        self._made: dict[Any, Any] = {}
        # Models whose copies hold a new layer.
        self._extended: set[Any] = set()
        # From each tensor of the original to that of the copy.
        self._tensors = IdentityMap()

    def of(self, graph: Graph) -> Any:
        """A new copy of a model of the original."""
        functional = functional_model(graph.model)
        inputs = keras.tree.map_structure(
            lambda tensor: new_input(
                tensor,
                self._changes.input_shapes.get(tensor),
                self._input_dtype(graph.model, tensor),
            ),
            functional.input,
        )
        for tensor, new in zip(
            functional.inputs, keras.tree.flatten(inputs), strict=True
        ):
            layer = input_layer_of(tensor)
            if layer is not None:
                self._layers.made.setdefault(layer, input_layer_of(new))
        # A nested model may begin at a tensor of the model around it, so that
        # the tensors of each model have a map of their own.
        values = values_of_tensors(
            graph,
            keras.tree.flatten(inputs),
            self._apply,
            self._changes.ordered_calls(graph),
        )
        outputs = replace_tensors(functional.output, values)
        for tensor in values:
            if graph is self._outermost or tensor not in self._tensors:
                self._tensors[tensor] = values[tensor]
        # Not made of the model itself: Keras would compile its copy too.
        copy = of_same_class(
            graph.model, keras.Model(inputs, outputs, name=graph.model.name)
        )
        self._made[graph.model] = copy
        return copy

    def _input_dtype(self, model: Any, tensor: Any) -> Any:
        """The dtype of an input, `None` for the one that it has.

        A sequential model without an input of its own has one of the dtype in
        which the first layer computes.
        """
        policy_of = self._changes.policy_of
        if policy_of is None or not isinstance(model, keras.Sequential):
            return None
        policy = policy_of(model.layers[0])
        own = keras.backend.standardize_dtype(tensor.dtype)
        if policy is None or own != model.layers[0].compute_dtype:
            return None
        return None if own == "float32" else policy.compute_dtype

    def carry_state(self) -> None:
        """Give the copies the attributes, weights and flags they lack."""
        self._layers.restore_initializers()
        counterparts = Counterparts(self._layers, self._made, self._tensors)
        for model, copy in list(self._made.items()):
            lost = carry_attributes(model, copy, counterparts)
            lost += carry_unnamed_variables(model, copy)
            warn_of_lost(model, lost)
        # The outermost first: the flag of a model reaches all layers inside.
        for model, copy in reversed(self._made.items()):
            if model not in self._extended:
                copy.trainable = model.trainable
            policy_of = self._changes.policy_of
            policy = policy_of(model) if policy_of else None
            copy.dtype_policy = policy or model.dtype_policy
        for pair in counterparts.layer_pairs():
            pair.carry_state()
            _carry_attributes_of(pair, counterparts)

    def _apply(self, call: Call, values: IdentityMap) -> Any:
        """The outputs of a call in the copy."""
        if call not in self._changes.instead:
            outputs = self._outputs(call, values)
        elif (replacement := self._changes.instead[call]) is not None:
            outputs = self._outputs_instead(call, replacement, values)
        else:
            outputs = self._outputs_without(call, values)
        if self._on_call is not None:
            self._on_call()
        return outputs

    def _outputs(self, call: Call, values: IdentityMap) -> Any:
        changes = self._changes
        before = changes.before.get(call, IdentityMap())
        attended = IdentityMap(call.inputs, [values[x] for x in call.inputs])
        for tensor in before:
            source = call.graph.source(tensor) or call
            attended[tensor] = before[tensor].output(
                values[tensor], values, source.path
            )
        args, kwargs = self._arguments(call, attended)
        layer = self._layers.of(call.operation)
        outputs = _outputs_of_copy(call, layer, args, kwargs)
        after = changes.after.get(call, IdentityMap())
        for position, tensor in enumerate(call.outputs):
            if tensor in after:
                outputs[position] = after[tensor].output(
                    outputs[position], values, call.path
                )
        if before or after or call.operation in self._extended:
            self._extended.add(call.graph.model)
        return outputs

    def _outputs_instead(
        self, call: Call, replacement: Replacement, values: IdentityMap
    ) -> Any:
        layer = replacement.layer
        if replacement.inputs is None:
            args, kwargs = self._arguments(call, values)
        else:
            args, kwargs = [values[x] for x in replacement.inputs], {}
        outputs = outputs_of_new(
            layer, args, kwargs, call.outputs, f"in the place of '{call.path}'"
        )
        if replacement.prepare is not None:
            replacement.prepare(layer)
        if replacement.extends:
            self._extended.add(call.graph.model)
        return outputs

    def _outputs_without(self, call: Call, values: IdentityMap) -> Any:
        """The first input of a call that is removed."""
        tensor = call.inputs[0]
        if call.graph.source(tensor) is not None:
            return values[tensor]
        # Keras cannot make a model whose output is its input everywhere.
        self._extended.add(call.graph.model)
        name = f"{call.operation.name}_removed"
        return keras.layers.Identity(name=name)(values[tensor])

    def _arguments(self, call: Call, values: IdentityMap) -> tuple[Any, Any]:
        """The arguments of a call in the copy, variables included."""
        args, kwargs = keras.tree.map_structure(
            lambda leaf: (
                self._layers.of_variable(leaf)
                if isinstance(leaf, keras.Variable)
                else leaf
            ),
            call.arguments(values),
        )
        return args, kwargs


def _carry_attributes_of(pair: LayerPair, counterparts: Counterparts) -> None:
    """Give a layer and its variables the attributes of the original."""
    for layer, other in pair.layers:
        warn_of_lost(layer, carry_attributes(layer, other, counterparts))
    original, _ = pair.layers[0]
    lost = [
        f"{variable.name}.{name}"
        for variable, other in pair.variables
        for name in carry_attributes(variable, other, counterparts)
    ]
    warn_of_lost(original, lost)


def _outputs_of_copy(
    call: Call, copy: Any, args: Any, kwargs: Any
) -> list[Any]:
    """The outputs of a copied layer or operation, in a list."""
    try:
        return keras.tree.flatten(copy(*args, **kwargs))
    except Exception as error:
        raise ValueError(
            f"The layer '{call.path}' (of type {type(copy).__name__}) cannot "
            "be copied: made again from its configuration, it fails when it is "
            f"called ({first_sentence_of(error)}). The arguments of its "
            "constructor must be all that its `call` needs."
        ) from error
