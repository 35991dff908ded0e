"""A model computed several times on one batch, what is equal only once."""

import bisect
import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras

from keras_channel_attn.analysis.attention_layers import attention_inside
from keras_channel_attn.analysis.computation import computation_of
from keras_channel_attn.graph import Call, Graph, IdentityMap, interpret
from keras_channel_attn.graph.keras_internals import functional_model
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.layers.observation import substitute_calls

# What is called in the place of an attention layer.
Substitutes = Mapping[AttentionLayer, Callable[..., Any]]


def out_of_list(structure: Any) -> Any:
    """What a model returns for a list of outputs: of one, that output."""
    is_single = isinstance(structure, (list, tuple)) and len(structure) == 1
    return structure[0] if is_single else structure


class SharedComputation:
    """Computes a model in inference, with substitutes for attention layers.

    With substitutes only the calls from the first of these layers on are
    computed again. Of a model whose graph Keras does not know, all are.

    Args:
        model: Model of Keras, built.
        layers: The attention layers that may have substitutes.
    """

    def __init__(self, model: Any, layers: Iterable[AttentionLayer]) -> None:
        # From outside to inside: `training=False` holds for all that the
        # computation calls.
        self._inference = _Inference(computation_of(model, self._run_step))
        graph = getattr(self._inference.compute, "graph", None)
        uses = _Uses(graph)
        # That of the outputs, which a graph has in a list.
        self._structure = graph and functional_model(model).output
        self._first_steps = {x: uses.first_steps.get(x, 0) for x in layers}
        self._starts = sorted(set(self._first_steps.values()))
        self._last_uses = uses.last_uses
        # From steps to what they returned, where a later step needs it.
        self._kept: dict[int, Any] = {}
        self._keeps = False
        self._start = self._step = 0
        self._is_inside = False

    def outputs(self, inputs: Any, keeps: bool = False) -> Any:
        """The outputs for a new batch, with the layers as they are.

        Args:
            inputs: Those of the model.
            keeps: Boolean, whether `outputs_with` will follow for this batch.
                Defaults to `False`.
        """
        self._kept.clear()
        self._keeps = keeps
        try:
            return self._compute(inputs, 0)
        finally:
            self._keeps = False

    def outputs_with(self, inputs: Any, substitutes: Substitutes) -> Any:
        """The outputs for the batch kept, with other layers in some places."""
        start = min(self._first_steps[layer] for layer in substitutes)
        with substitute_calls(substitutes.get):
            return self._compute(inputs, start)

    def _compute(self, inputs: Any, start: int) -> Any:
        self._start, self._step = start, 0
        outputs = self._inference(inputs, training=False)
        if self._structure is None:
            return outputs
        return out_of_list(
            keras.tree.pack_sequence_as(self._structure, outputs)
        )

    def _run_step(self, compute: Callable[[], Any], count: int) -> Any:
        if self._is_inside:
            # A model in `TimeDistributed`: one step as a whole.
            return compute()
        step = self._step
        self._step += 1
        if step < self._start:
            return self._kept.get(step, [None] * count)
        with self._inside():
            outputs = compute()
        if self._keeps and self._is_needed_later(step):
            self._kept[step] = outputs
        return outputs

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        self._is_inside = True
        try:
            yield
        finally:
            self._is_inside = False

    def _is_needed_later(self, step: int) -> bool:
        """Whether a computation may start between a step and its last use."""
        after = bisect.bisect_right(self._starts, step)
        last_use = self._last_uses.get(step, step)
        return after < len(self._starts) and self._starts[after] <= last_use


class _Inference(keras.layers.Layer):
    """Calls a function in inference."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        super().__init__(autocast=False, name="inference")
        self.compute = compute
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.compute(inputs)


class _Uses:
    """Which steps of a `Computation` need the outputs of which others.

    The steps are numbered in the order in which `Computation` runs them.

    Attributes:
        first_steps: Dictionary from each attention layer to the first step
            that calls it.
        last_uses: Dictionary from each step to the last one that takes one of
            its outputs.
    """

    def __init__(self, graph: Graph | None) -> None:
        self.first_steps: dict[AttentionLayer, int] = {}
        self.last_uses: dict[int, float] = {}
        self._step = 0
        if graph is not None:
            # The value of a tensor is the step that makes it.
            inputs = [-1] * len(graph.model.inputs)
            for step in interpret(graph, inputs, self._apply, self._enter):
                self.last_uses[step] = math.inf

    def _apply(self, call: Call, steps: IdentityMap) -> list[int]:
        for layer in attention_inside(call.operation):
            self.first_steps.setdefault(layer, self._step)
        return self._next(call, steps, len(call.outputs))

    def _enter(self, call: Call, steps: IdentityMap) -> list[int]:
        return self._next(call, steps, len(call.operation.inputs))

    def _next(self, call: Call, steps: IdentityMap, count: int) -> list[int]:
        for tensor in call.inputs:
            self.last_uses[steps[tensor]] = self._step
        self._step += 1
        return [self._step - 1] * count
