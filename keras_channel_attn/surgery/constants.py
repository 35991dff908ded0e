"""Constants in the place of attention, in the copy of a model."""

from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call, Changes, Graph
from keras_channel_attn.surgery.attention_calls import attention_of
from keras_channel_attn.surgery.attention_layers import free_name
from keras_channel_attn.surgery.folded_scales import FoldedScales
from keras_channel_attn.surgery.masked_calls import calls_on_masked_inputs
from keras_channel_attn.surgery.scales import NotFolded, Scale, channel_axis


class Constants:
    """Constants in the place of attention, in the copy of a model.

    Attributes:
        changes: `Changes`.
        reasons: Dictionary from the paths of attention to why a layer
            multiplies by its constants, and no weights do.
    """

    def __init__(self, graph: Graph) -> None:
        self.changes = Changes()
        self.reasons: dict[str, str] = {}
        self._folded = FoldedScales(graph, self.changes)
        self._taken = set(graph.operations())
        self._on_masked = calls_on_masked_inputs(graph)
        # From layers and ranks of their inputs to what multiplies.
        self._layers: dict[tuple[Any, int], _Multiplication] = {}

    def put_in_place_of(self, call: Call, scores: Any) -> None:
        """Let a call have constant scores, `(channels,)`."""
        attention = attention_of(call)
        scale = Scale(axis_of(call), *attention.constant_terms(scores))
        try:
            if attention.activity_regularizer is not None:
                raise NotFolded(f"'{call.path}' has an activity regularizer")
            if self._loses_mask(call):
                raise NotFolded(f"'{call.path}' ends the mask of its input")
            if call.inputs[0].dtype != call.outputs[0].dtype:
                raise NotFolded(f"'{call.path}' changes the dtype")
            self._folded.fold(call, scale)
        except NotFolded as reason:
            self.reasons[call.path] = str(reason)
            layer = self._multiplication(call, scale)
            inputs = call.inputs[:1]
            self.changes.replace(call, layer, inputs=inputs, extends=False)
        else:
            self.changes.remove(call)

    def _multiplication(self, call: Call, scale: Scale) -> "_Multiplication":
        """One for all calls of a layer, if their inputs have one rank."""
        key = call.operation, len(call.inputs[0].shape)
        if key not in self._layers:
            name = call.operation.name
            if any(layer is call.operation for layer, _ in self._layers):
                name = free_name(name, call.graph.prefix, self._taken)
            loses_mask = self._loses_mask(call)
            self._layers[key] = _Multiplication(call, scale, name, loses_mask)
        return self._layers[key]

    def _loses_mask(self, call: Call) -> bool:
        is_first = attention_of(call).data_format == "channels_first"
        return is_first and call in self._on_masked


class _Multiplication:
    """A layer of Keras that multiplies channels by constants.

    The constants are no weights, so that training does not change them.
    """

    def __init__(
        self, call: Call, scale: Scale, name: str, loses_mask: bool
    ) -> None:
        attention = attention_of(call)
        self.name = name
        self._loses_mask = loses_mask
        # With three axes or more, Keras has no data format of its own for it.
        rank = max(len(call.inputs[0].shape) - 1, 3)
        shape = [1] * rank
        shape[scale.axis - len(call.inputs[0].shape)] = -1
        factors, terms = (
            np.asarray(array, "float64").reshape(shape).tolist()
            for array in (scale.factors, scale.terms)
        )
        self._layer = keras.layers.Rescaling(
            factors,
            terms if scale.adds else 0.0,
            name=name,
            dtype=attention.dtype_policy,
            activity_regularizer=attention.activity_regularizer,
        )
        self._layer.trainable = attention.trainable

    def __call__(self, inputs: Any) -> Any:
        if self._loses_mask:
            inputs = keras.ops.copy(inputs)
        return self._layer(inputs)


def axis_of(call: Call) -> int:
    """The axis of the channels in the input of attention."""
    return channel_axis(call.operation, call.inputs[0])
