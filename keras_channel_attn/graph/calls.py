"""The calls of a functional model, read from the graph that Keras recorded.

Nothing here computes anything or creates a layer: reading the graph of
ResNet50 takes milliseconds.
"""

from collections.abc import Iterator
from typing import Any

import keras

from keras_channel_attn.graph.keras_internals import (
    RecordedCall,
    keep_names,
    recorded_calls,
)
from keras_channel_attn.graph.operations import (
    arguments_by_name,
    is_from_keras,
    is_model,
    operations_of,
    snake_name,
)
from keras_channel_attn.graph.tensors import (
    IdentityMap,
    replace_tensors,
    symbolic_tensors,
)

_DATA_FORMATS = ("channels_last", "channels_first")
_TRANSPOSING = ("permute", "transpose", "moveaxis", "swapaxes", "rot90")


class Call:
    """One call of a layer, or of an operation of `keras.ops`, in a model.

    Attributes:
        operation: The layer or operation.
        path: String, its name, preceded by those of the models around it:
            `"backbone/conv1"`.
        args, kwargs: What it was called with.
        inputs: List of the symbolic tensors in them.
        outputs: List of the symbolic tensors that it returned.
        graph: `Graph` of the model that the call belongs to.
    """

    def __init__(self, recorded: RecordedCall, graph: "Graph") -> None:
        self.operation = recorded.operation
        self.path: str = graph.prefix + recorded.operation.name
        self.args = recorded.args
        self.kwargs = recorded.kwargs
        self.inputs = symbolic_tensors((self.args, self.kwargs))
        self.outputs = recorded.outputs
        self.graph = graph

    @property
    def inner(self) -> "Graph | None":
        """The graph of the nested model that is called, if it is one."""
        return self.graph.nested.get(self.operation)

    def arguments(self, values: IdentityMap) -> tuple[Any, Any]:
        """`args` and `kwargs` with values in the place of tensors."""
        args, kwargs = replace_tensors((self.args, self.kwargs), values)
        return args, kwargs

    def arguments_by_name(self) -> dict[str, Any]:
        """What a layer was called with, empty for other operations."""
        return arguments_by_name(self.operation, self.args, self.kwargs)


class Graph:
    """The calls of a model, in the order of computation.

    Attributes:
        model: The functional or sequential model.
        prefix: String, the path of a nested model with a slash at its end.
        calls: List of `Call`, without those inside nested models.
        outputs: List of symbolic tensors.
        nested: Dictionary from each model, the outermost included, to its
            graph. A model that is called several times has one graph.
    """

    def __init__(
        self,
        model: Any,
        prefix: str = "",
        nested: "dict[Any, Graph] | None" = None,
    ) -> None:
        self.model = model
        self.prefix = prefix
        self.nested = {} if nested is None else nested
        self.nested[model] = self
        self.outputs: list[Any] = list(model.outputs)
        self.calls: list[Call] = []
        self._sources = IdentityMap()
        for recorded in recorded_calls(model):
            self._add(recorded)

    def _add(self, recorded: RecordedCall) -> Call:
        call = Call(recorded, self)
        if is_model(call.operation) and call.operation not in self.nested:
            Graph(call.operation, call.path + "/", self.nested)
        self.calls.append(call)
        for tensor in call.outputs:
            self._sources[tensor] = call
        return call

    def __contains__(self, tensor: Any) -> bool:
        """Whether a tensor is an input of the model or made by a call."""
        return tensor in self._sources or any(
            tensor is entry for entry in self.model.inputs
        )

    def include(self, tensor: Any) -> list[Call]:
        """Add the calls that compute a tensor from those of the model.

        Returns:
            List of the calls that the model does not have, empty also for a
            tensor that is not computed from the inputs of the model.
        """
        try:
            with keep_names():
                function = keras.Function(self.model.inputs, tensor)
        except ValueError:
            return []
        return [
            self._add(recorded)
            for recorded in recorded_calls(function)
            if recorded.outputs[0] not in self
        ]

    def all_calls(self, visited: set[Any] | None = None) -> Iterator[Call]:
        """All calls, those inside a nested model before the call of it.

        Those inside models in `visited` are left out; each model is added.
        """
        visited = set() if visited is None else visited
        visited.add(self.model)
        for call in self.calls:
            if call.inner is not None and call.operation not in visited:
                yield from call.inner.all_calls(visited)
            yield call

    def operations(self) -> dict[str, Any]:
        """Dictionary from the path of each layer and operation to itself.

        A model that is nested in several places appears under each path.
        """
        found = {}
        for operation in operations_of(self.model):
            found[operation.name] = operation
            if operation in self.nested:
                inside = self.nested[operation].operations()
                for path, inner_operation in inside.items():
                    found[f"{operation.name}/{path}"] = inner_operation
        return found

    def source(self, tensor: Any) -> Call | None:
        """The call that made a tensor, `None` for an input of the model."""
        return self._sources.get(tensor)

    def is_output(self, tensor: Any) -> bool:
        """Whether a tensor is an output of this model."""
        return any(tensor is output for output in self.outputs)

    def upstream(self, tensor: Any) -> IdentityMap:
        """All tensors that a tensor is computed from, without itself."""
        found, waiting = IdentityMap(), [tensor]
        while waiting:
            call = self.source(waiting.pop())
            for input_tensor in call.inputs if call else ():
                if input_tensor not in found:
                    found[input_tensor] = True
                    waiting.append(input_tensor)
        return found

    def channel_axis(self, tensor: Any) -> int | None:
        """The axis of the channels, as the layers before a tensor have it.

        Returns:
            Positive integer, or `None` where no layer tells.
        """
        while (call := self.source(tensor)) is not None:
            rank = len(tensor.shape)
            axis = stated_channel_axis(call.operation, rank)
            if axis is not None:
                return axis
            if call.inner is not None:
                inside = IdentityMap(call.outputs, call.inner.outputs)
                return call.inner.channel_axis(inside[tensor])
            kind = snake_name(call.operation)
            if kind in _TRANSPOSING:
                return None
            if kind == "concatenate":
                axes = (self.channel_axis(x) for x in call.inputs)
                return next((axis for axis in axes if axis is not None), None)
            alike = [x for x in call.inputs if x.shape == tensor.shape]
            if not alike:
                return None
            tensor = alike[0]
        return None

    def data_formats(self) -> set[str]:
        """The data formats of all layers, nested ones included."""
        return {
            call.operation.data_format
            for call in self.all_calls()
            if getattr(call.operation, "data_format", None) in _DATA_FORMATS
        }


def arguments_of_model(call: Call, args: Any, kwargs: Any) -> list[Any]:
    """What a nested model is called on, in the order of its inputs."""
    inputs = args[0] if args else kwargs["inputs"]
    expected = call.operation.inputs
    if isinstance(inputs, dict) and not isinstance(
        getattr(call.operation, "input", None), dict
    ):
        return [inputs[tensor.name] for tensor in expected]
    return keras.tree.flatten(inputs)


def graph_of(model: Any) -> Graph:
    """The graph of a model, or an error that says why it has none."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a Keras model. "
            f"Received: model={model!r} (of type {type(model).__name__})."
        )
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(
            f"The sequential model '{model.name}' is not built. Give it a "
            "`keras.Input` as its first layer, or call its `build` method."
        )
    if not is_model(model):
        raise ValueError(
            f"The model '{model.name}' {_obstacle(model)}, so Keras does "
            "not know its graph of layers. Pass a functional model, such as "
            "the backbone inside."
        )
    return Graph(model)


def _obstacle(model: Any) -> str:
    """Why Keras does not know the graph of a model that is built."""
    kind = type(model)
    if "call" in vars(model) or not is_from_keras(kind.call):
        return (
            "computes its outputs in a `call` method of its own "
            f"({kind.__name__}.call)"
        )
    if isinstance(model, keras.Sequential):
        return (
            "holds a layer that does not tell the shape of its output "
            "(`compute_output_shape`)"
        )
    return "is not constructed from inputs and outputs"


def stated_channel_axis(operation: Any, rank: int) -> int | None:
    """The axis of the channels in the output of a layer, if it states one."""
    if isinstance(operation, keras.layers.TimeDistributed):
        # The layer inside sees one axis less.
        axis = stated_channel_axis(operation.layer, rank - 1)
        return None if axis is None else axis + 1
    data_format = getattr(operation, "data_format", None)
    if data_format in _DATA_FORMATS:
        return 1 if data_format == "channels_first" else rank - 1
    if isinstance(
        operation,
        (keras.layers.BatchNormalization, keras.layers.GroupNormalization),
    ):
        return operation.axis % rank
    return None
