"""What stands in for an attention layer while its effect is measured."""

from typing import Any

import keras
from keras import ops

from keras_channel_attn.layers import AttentionLayer


class ConstantAttention(keras.layers.Layer):
    """An attention layer with constant scores, or without effect.

    It is called as the layer is: Keras passes masks on as it does there.

    Args:
        attention: Attention layer, built. It is not called.
        scores: NumPy array `(channels,)`, or `None`: the inputs are returned.
    """

    def __init__(self, attention: AttentionLayer, scores: Any) -> None:
        super().__init__(dtype=attention.dtype_policy, name=attention.name)
        self.supports_masking = True
        self._is_first = attention.data_format == "channels_first"
        self._scores = scores
        self._terms = (
            None if scores is None else attention.constant_terms(scores)
        )
        self.built = True

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        return_attention_scores: bool = False,
        return_spatial_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        outputs = ops.cast(inputs, self.compute_dtype)
        if self._terms is not None:
            factor, term = (self._like(x, outputs) for x in self._terms)
            outputs = outputs * factor + term
        results = [outputs]
        if return_attention_scores:
            # One for each channel where there is no effect.
            axes = tuple(range(2 if self._is_first else 1, len(inputs.shape)))
            pooled = axes if self._is_first else axes[:-1]
            scores = ops.ones_like(ops.mean(outputs, pooled))
            if self._scores is not None:
                scores = scores * ops.cast(self._scores, scores.dtype)
            results.append(scores)
        if return_spatial_scores:
            axis = 1 if self._is_first else -1
            results.append(ops.ones_like(ops.mean(outputs, axis)))
        return tuple(results) if len(results) > 1 else outputs

    def _like(self, vector: Any, outputs: Any) -> Any:
        """Numbers of the channels, which broadcast against the outputs."""
        rank = len(outputs.shape)
        shape = [1] * rank
        shape[1 if self._is_first else -1] = len(vector)
        return ops.cast(ops.reshape(vector, shape), outputs.dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None if self._is_first else previous_mask
