"""What a model computes when its attention is replaced, measured on data."""

import collections
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_channel_attn.analysis.batches import Batches, leaves_of
from keras_channel_attn.analysis.constant_attention import (
    ConstantAttention,
)
from keras_channel_attn.analysis.metrics import MetricValue
from keras_channel_attn.analysis.output_changes import (
    DifferencesOfOutputs,
    OutputChange,
    OutputSpread,
)
from keras_channel_attn.analysis.running_statistics import RunningStatistics
from keras_channel_attn.analysis.shared_computation import (
    SharedComputation,
    out_of_list,
)
from keras_channel_attn.graph.keras_internals import keep_names
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.layers.observation import (
    observe_scores,
    substitute_calls,
)

# The time of a layer is the median over so many computations of one batch.
_REPETITIONS = 3

# From attention layers to constant scores, or to `None`: without the layer.
Replacement = Mapping[AttentionLayer, Any]


class Effect(NamedTuple):
    """What a replacement of attention does to the outputs of a model.

    Attributes:
        change: `OutputChange`, or `None` if it is unknown.
        metric: Float, or `None` without a metric.
    """

    change: OutputChange | None
    metric: float | None


class Costs(NamedTuple):
    """What the calls of an attention layer cost for one batch.

    Attributes:
        share: Float, of the time that the model takes.
        shapes: List of the shapes of the inputs of all calls.
        samples: Integer, the size of the batch.
    """

    share: float
    shapes: list[tuple[int, ...]]
    samples: int


class Measurement:
    """A model with attention, and the data that it is measured on.

    The model computes in inference, batch by batch. No more than what belongs
    to one batch is kept.

    Args:
        model: Model of Keras, built.
        layers: List of attention layers.
        batches: `Batches`.

    Attributes:
        gates: Dictionary from each attention layer that is called to
            `RunningStatistics` of its scores, over all samples, time steps and
            calls of the layer, without the time steps that are wholly masked.
            Known after `observe_gates`.
        samples: Integer, how many samples there are. Known then, too.
    """

    def __init__(
        self, model: Any, layers: Sequence[AttentionLayer], batches: Batches
    ) -> None:
        self._layers = set(layers)
        self._batches = batches
        with keep_names():
            self._computation = SharedComputation(model, layers)
        self.gates: dict[AttentionLayer, RunningStatistics] = {}
        self.samples = 0

    def observe_gates(self) -> None:
        """Read the data once, for the statistics of the scores.

        Raises:
            ValueError: If all time steps of a layer are masked.
        """

        def observe(layer: Any, scores: Any, is_empty: Any = None) -> None:
            if layer in self._layers:
                array = as_array(scores)
                rows = array.reshape(-1, array.shape[-1])
                if is_empty is not None:
                    # A step may hold several rows, steps within steps.
                    empty = keras.ops.convert_to_numpy(is_empty).reshape(-1)
                    rows = rows[~np.repeat(empty, len(rows) // len(empty))]
                gates = self.gates.setdefault(layer, RunningStatistics())
                gates.update(rows)

        def on_batch(x: Any, y: Any, weights: Any) -> None:
            self.samples += _sample_count(x)
            with observe_scores(observe):
                self._computation.outputs(x)

        self._batches.for_each(on_batch)
        empty = [x.name for x in self.gates if not self.gates[x].count]
        if empty:
            raise ValueError(
                f"All time steps of the attention layers {empty} are masked. "
                "Pass data with steps that are not."
            )

    def effects(
        self, replacements: Sequence[Replacement], metric: Any = None
    ) -> list[Effect]:
        """Read the data once, for the outputs with each of the replacements.

        Args:
            replacements: List of `Replacement`. An empty one is the model as it
                is.
            metric: As in `attention_report`. Defaults to `None`.
        """
        spread = OutputSpread()
        differences = [DifferencesOfOutputs() for _ in replacements]
        values = [MetricValue(metric) for _ in replacements]
        with keep_names():
            substitutes = [_substitutes(x) for x in replacements]

        def on_batch(x: Any, y: Any, weights: Any) -> None:
            original = self._computation.outputs(x, keeps=True)
            arrays = _arrays(original)
            spread.update(arrays)
            for layers, difference, value in zip(
                substitutes, differences, values, strict=True
            ):
                outputs = original
                if layers:
                    outputs = self._computation.outputs_with(x, layers)
                difference.update(arrays, _arrays(outputs))
                if metric is not None:
                    value.update(*_as_outputs(outputs, y, weights))

        self._batches.for_each(on_batch)
        return [
            Effect(
                difference.relative_to(spread),
                None if metric is None else value.result(),
            )
            for difference, value in zip(differences, values, strict=True)
        ]

    def costs(self) -> dict[AttentionLayer, Costs]:
        """Time the layers on the first batch, after the others have run."""
        shares: dict[Any, list[float]] = {x: [] for x in self._layers}
        shapes: dict[Any, list[Any]] = {}
        samples = 0

        def on_batch(x: Any, y: Any, weights: Any) -> None:
            nonlocal samples
            samples = _sample_count(x)
            for _ in range(_REPETITIONS):
                stopwatch = _Stopwatch(self._layers)
                start = time.perf_counter()
                with substitute_calls(stopwatch.substitute_of):
                    _wait_for(self._computation.outputs(x))
                total = time.perf_counter() - start
                for layer, times in shares.items():
                    times.append(stopwatch.times.get(layer, 0.0) / total)
                shapes.update(stopwatch.shapes)

        self._batches.with_first(on_batch)
        return {
            layer: Costs(
                statistics.median(times), shapes.get(layer, []), samples
            )
            for layer, times in shares.items()
        }


class _Stopwatch:
    """Measures the calls of attention layers.

    Attributes:
        times: Dictionary from each layer to the seconds that its calls took.
        shapes: Dictionary from each layer to the shapes of their inputs.
    """

    def __init__(self, layers: Collection[AttentionLayer]) -> None:
        self._layers = layers
        self.times: dict[Any, float] = collections.defaultdict(float)
        self.shapes: dict[Any, list[Any]] = collections.defaultdict(list)

    def substitute_of(self, layer: Any) -> Callable[..., Any] | None:
        if layer not in self._layers:
            return None

        def call(*args: Any, **kwargs: Any) -> Any:
            inputs = keras.tree.flatten((args, kwargs))[0]
            self.shapes[layer].append(tuple(inputs.shape))
            # Accelerators and JAX compute while Python goes on.
            _wait_for(inputs)
            start = time.perf_counter()
            with substitute_calls(None):
                outputs = layer(*args, **kwargs)
            _wait_for(outputs)
            self.times[layer] += time.perf_counter() - start
            return outputs

        return call


def as_array(tensor: Any) -> Any:
    """A tensor as a NumPy array in double precision."""
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = keras.ops.cast(tensor, "float32")
    return np.asarray(keras.ops.convert_to_numpy(tensor), "float64")


def _sample_count(x: Any) -> int:
    return len(leaves_of(x)[0])


def _wait_for(tensors: Any) -> None:
    """Wait until tensors are computed, by a look at one number."""
    tensor = keras.tree.flatten(tensors)[0]
    as_array(tensor[(0,) * len(tensor.shape)])


def _arrays(outputs: Any) -> list[Any]:
    return [as_array(tensor) for tensor in keras.tree.flatten(outputs)]


def _as_outputs(outputs: Any, labels: Any, weights: Any) -> tuple[Any, ...]:
    """Labels, outputs and weights, those of one output without a list."""
    if not keras.tree.is_nested(outputs):
        labels, weights = out_of_list(labels), out_of_list(weights)
    return labels, outputs, weights


def _substitutes(replacement: Replacement) -> dict[Any, Any]:
    return {
        layer: ConstantAttention(layer, scores)
        for layer, scores in replacement.items()
    }
