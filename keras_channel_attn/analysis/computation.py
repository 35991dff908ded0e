"""A functional model, computed on arrays without loops over time steps."""

from collections.abc import Callable
from typing import Any

import keras

from keras_channel_attn.analysis.attention_layers import attention_inside
from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    graph_of,
    interpret,
    is_model,
    new_input,
    parameters_of_call,
)
from keras_channel_attn.graph.keras_internals import functional_model
from keras_channel_attn.layers.observation import (
    observe_scores,
    score_observer,
)

# Runs one step of a computation: from a function that computes the outputs of
# a call and their number to the outputs.
RunStep = Callable[[Callable[[], Any], int], Any]


def computation_of(
    model: Any, run_step: RunStep | None = None
) -> Callable[[Any], Any]:
    """A function of the inputs of a model that computes it in inference.

    A model whose graph Keras does not know has no steps.
    """
    if is_model(model):
        return Computation(graph_of(model), run_step)
    return lambda inputs: model(inputs, training=False)


class Computation:
    """Computes a functional model in inference, for an observer of scores.

    All steps of a `TimeDistributed` with attention inside are one batch, so
    that the attention is called once. It calls the layers on arrays only: a
    symbolic call would be recorded in the layer, and its `output` would become
    ambiguous.

    Args:
        graph: `Graph` of the model.
        run_step: Function that runs each call of a layer or operation, and
            each entry of a nested model. Defaults to `None`: it is computed.
    """

    def __init__(self, graph: Graph, run_step: RunStep | None = None) -> None:
        _nest_wrapped_models(graph)
        self.graph = graph
        self._run_step = run_step or (lambda compute, outputs: compute())
        self._entries = {model: _entry(model) for model in graph.nested}

    def __call__(self, inputs: Any) -> Any:
        return self._outputs_of_model(self.graph.model, inputs)

    def _outputs_of_model(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = keras.tree.flatten(self._entries[model](*args, **kwargs))
        graph = self.graph.nested[model]
        return interpret(graph, inputs, self._apply, self._enter)

    def _enter(self, call: Call, arrays: IdentityMap) -> list[Any]:
        def compute() -> list[Any]:
            args, kwargs = _arguments(call, arrays)
            entry = self._entries[call.operation]
            return keras.tree.flatten(entry(*args, **kwargs))

        return self._run_step(compute, len(call.operation.inputs))

    def _apply(self, call: Call, arrays: IdentityMap) -> Any:
        def compute() -> Any:
            args, kwargs = _arguments(call, arrays)
            return self._outputs(call.operation, *args, **kwargs)

        return self._run_step(compute, len(call.outputs))

    def _outputs(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        is_in_time = isinstance(layer, keras.layers.TimeDistributed)
        if is_in_time and attention_inside(layer):
            return self._outputs_in_time(layer, *args, **kwargs)
        return layer(*args, **kwargs)

    def _outputs_in_time(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        def compute(inputs: Any, mask: Any) -> Any:
            steps = keras.ops.shape(inputs)[1]
            options = {}
            if mask is not None and "mask" in parameters_of_call(layer.layer):
                options["mask"] = _without_time(mask)
            is_nested = layer.layer in self.graph.nested
            outputs_of = self._outputs_of_model if is_nested else self._outputs
            observer = score_observer()

            def observe(
                attention: Any, scores: Any, is_empty: Any = None
            ) -> None:
                if observer is None:
                    return
                if is_empty is not None:
                    is_empty = _with_time(is_empty, steps)
                elif mask is not None:
                    is_empty = _is_empty(mask)
                observer(attention, _with_time(scores, steps), is_empty)

            with observe_scores(observe):
                outputs = outputs_of(
                    layer.layer, _without_time(inputs), **options
                )
            return _with_time(keras.tree.flatten(outputs)[0], steps)

        return _InTime(layer, compute)(*args, **kwargs)


class _InTime(keras.layers.Layer):
    """A `TimeDistributed` whose outputs a function computes.

    It is called as the original is: Keras finds the mask of the inputs and
    gives the outputs theirs.
    """

    def __init__(
        self, original: Any, compute: Callable[[Any, Any], Any]
    ) -> None:
        super().__init__(autocast=False, name=original.name)
        self.supports_masking = original.supports_masking
        self.original = original
        self.compute = compute
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return self.compute(inputs, mask)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return self.original.compute_mask(inputs, previous_mask)


def _nest_wrapped_models(graph: Graph) -> None:
    """Add the models inside `TimeDistributed` to those of a graph."""
    for call in [*graph.all_calls()]:
        layer, path = call.operation, call.path
        while isinstance(layer, keras.layers.TimeDistributed):
            layer = layer.layer
            path += f"/{layer.name}"
        if is_model(layer) and layer not in graph.nested:
            _nest_wrapped_models(Graph(layer, f"{path}/", graph.nested))


def _arguments(call: Call, arrays: IdentityMap) -> tuple[Any, dict[str, Any]]:
    args, kwargs = call.arguments(arrays)
    if isinstance(call.operation, keras.layers.Layer):
        # Inference, whatever was recorded: as `predict` does.
        kwargs = {k: v for k, v in kwargs.items() if k != "training"}
    return args, kwargs


def _entry(model: Any) -> Any:
    """A model that returns its inputs as another receives them.

    Keras matches names, adjusts ranks and converts dtypes before the first
    layer is called.
    """
    inputs = keras.tree.map_structure(new_input, functional_model(model).input)
    # In Keras 3.12 the output of a model cannot be its input.
    outputs = [
        keras.layers.Identity(dtype=tensor.dtype, name=f"{position}")(tensor)
        for position, tensor in enumerate(keras.tree.flatten(inputs))
    ]
    entry = keras.Model(inputs, outputs, name=f"{model.name}_inputs")
    # Without it Keras warns, although the masks are passed on.
    entry.supports_masking = True
    return entry


def _is_empty(mask: Any) -> Any:
    """Of a mask `(batch, time, ...)`, the steps without a true element."""
    axes = tuple(range(2, len(mask.shape)))
    return keras.ops.logical_not(keras.ops.any(mask, axes) if axes else mask)


def _without_time(tensor: Any) -> Any:
    return keras.ops.reshape(tensor, (-1, *keras.ops.shape(tensor)[2:]))


def _with_time(tensor: Any, steps: Any) -> Any:
    shape = (-1, steps, *keras.ops.shape(tensor)[1:])
    return keras.ops.reshape(tensor, shape)
