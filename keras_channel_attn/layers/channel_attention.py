"""What all mechanisms of channel attention share."""

import keras
import numpy as np
from keras import ops

from keras_channel_attn.arguments import (
    boolean,
    data_format_or_global,
    one_of,
    resolved,
)
from keras_channel_attn.backend import activate, attend

_POOLINGS = ("avg", "max", "avg_max", "avg+max")
_HALF_AT_ZERO = [keras.activations.sigmoid, keras.activations.hard_sigmoid]


class ChannelAttention(keras.layers.Layer):
    """Base class of the channel attention layers.

        y = x * gate(excite(squeeze(x)))

    with one gate per sample and channel. A mechanism is a subclass that
    creates its weights in `build_excitation` and says its formula in `excite`.
    Everything else is here: data formats, masks, precision, shapes, the
    attention scores and the configuration.

    Use it to find attention in a model: `isinstance(layer, ChannelAttention)`.

    Args:
        gate_activation: Name or callable, applied elementwise to what `excite`
            returns. Defaults to `"sigmoid"`.
        pooling: How the spatial positions are squeezed: `"avg"`, `"max"`,
            `"avg_max"`, half the sum of both, or `"avg+max"`: both are
            excited, by the same weights, and the results added before the
            gate, as in [CBAM](https://arxiv.org/abs/1807.06521). Defaults to
            `"avg"`.
        identity_start: Boolean. If `True`, the layer returns its input exactly
            until it has been trained: a mechanism makes `excite` start at
            zero, and the gates are divided by `gate(0)` (0.5 for a sigmoid, so
            that they lie between 0 and 2). Exact for `sigmoid` and
            `hard_sigmoid` in every precision, while nothing overflows.
            Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`.

    Call arguments:
        inputs: Tensor of rank 3 or more. Integers are cast to the compute
            dtype.
        mask: Boolean tensor `(batch, *spatial)`. Positions that are `False`
            do not enter the squeeze, whatever they hold; the gates still
            multiply them. Taken from the input where Keras carries one, and
            passed on.
        return_attention_scores: Boolean, whether to return the gates too.
            Defaults to `False`.

    Input shape:
        `(batch, *spatial, channels)` or, with
        `data_format="channels_first"`, `(batch, channels, *spatial)`, with one
        or more spatial axes. All but `channels` may be `None`.

    Output shape:
        The input's. With `return_attention_scores=True` a pair: that, and
        `(batch, channels)`.

    Raises:
        TypeError, ValueError: For an argument that is not one of the above;
            if `identity_start` is combined with a gate that is zero at zero
            (`tanh`, `relu`) or not elementwise (`softmax`); on a call, if the
            input has a rank below 3 or an unknown or changed number of
            channels, or the mask another shape.

    Examples:

    >>> class Contrast(ChannelAttention):
    ...     "Gates from how far a channel is from the mean of all."
    ...     def excite(self, descriptor):
    ...         mean = keras.ops.mean(descriptor, axis=-1, keepdims=True)
    ...         return descriptor - mean
    >>> Contrast()(np.ones((1, 4, 4, 8))).shape == (1, 4, 4, 8)
    True
    """

    def __init__(
        self,
        gate_activation="sigmoid",
        pooling="avg",
        identity_start=False,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.gate_activation = resolved(
            "gate_activation", gate_activation, keras.activations.get
        )
        self.pooling = one_of("pooling", pooling, _POOLINGS)
        self.identity_start = boolean("identity_start", identity_start)
        self.data_format = data_format_or_global(data_format)
        self._channel_axis = 1 if self.data_format == "channels_first" else -1
        self._channels = None
        self._neutral_gate = None
        if identity_start:
            _check_gate_at_zero(self.gate_activation)
            if self.gate_activation in _HALF_AT_ZERO:
                self._neutral_gate = 0.5

    def build(self, input_shape):
        if len(input_shape) < 3:
            raise ValueError(
                f"{type(self).__name__} needs an input of rank 3 or more: "
                "batch, one or more spatial axes, and channels. Received: "
                f"input_shape={tuple(input_shape)}. It squeezes spatial axes; "
                "for (batch, channels) add one with `keras.layers.Reshape`."
            )
        channels = input_shape[self._channel_axis]
        if not channels:
            raise ValueError(
                f"{type(self).__name__} needs a known number of channels, one "
                "or more. "
                f"Received: input_shape={tuple(input_shape)} with "
                f"data_format={self.data_format!r}, so the channels are axis "
                f"{self._channel_axis}. Give `keras.Input` that dimension, or "
                "pass the other `data_format`."
            )
        self._channels = channels
        self.build_excitation(channels)

    def build_excitation(self, channels):
        """Create the weights that `excite` needs; by default there are none.

        Args:
            channels: Integer, number of channels of the input.
        """

    def excite(self, descriptor):
        """The mechanism's own formula, before the gate.

        Called for each squeezed input: twice with `pooling="avg+max"`.

        Args:
            descriptor: Tensor `(batch, channels)`, the squeezed input.

        Returns:
            Tensor `(batch, channels)`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `excite`."
        )

    def call(self, inputs, mask=None, return_attention_scores=False):
        self._check_inputs(inputs, mask)
        if keras.backend.standardize_dtype(inputs.dtype) != self.compute_dtype:
            inputs = ops.cast(inputs, self.compute_dtype)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        outputs, scores = attend(
            inputs, self._gates, self.data_format, self.pooling, mask
        )
        return (outputs, scores) if return_attention_scores else outputs

    def _gates(self, *descriptors):
        logits = self.excite(descriptors[0])
        for descriptor in descriptors[1:]:
            logits = logits + self.excite(descriptor)
        scores = activate(self.gate_activation, logits)
        if self.identity_start:
            # A division: a number divided by itself is one. For the same
            # number, gate(0) has to come from the same precision and shape.
            neutral = self._neutral_gate
            if neutral is None:
                zeros = ops.zeros_like(logits)
                neutral = activate(self.gate_activation, zeros)
            scores = scores / neutral
        return scores

    def _check_inputs(self, inputs, mask):
        # Not left to an `InputSpec`, which takes longer than the gates do. Any
        # rank may follow `build`: the weights depend on the channels alone.
        if self._channels is None:  # asked for shapes before it was built
            return
        shape = inputs.shape
        if 0 in tuple(shape)[1:]:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} needs at least one "
                "position to squeeze. Received: inputs of shape "
                f"{tuple(shape)}."
            )
        if len(shape) < 3 or shape[self._channel_axis] != self._channels:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} was built for "
                f"{self._channels} channels on axis {self._channel_axis} of an "
                f"input of rank 3 or more. Received: inputs of shape "
                f"{tuple(shape)} with data_format={self.data_format!r}."
            )
        if mask is not None:
            self._check_mask(inputs, mask)

    def _check_mask(self, inputs, mask):
        if not hasattr(mask, "shape"):
            raise TypeError(
                f"`mask` must be an array or a tensor. Received: {mask!r} (of "
                f"type {type(mask).__name__})."
            )
        expected, received = list(inputs.shape), list(mask.shape)
        del expected[self._channel_axis]
        if len(received) != len(expected) or any(
            None not in sizes and sizes[0] != sizes[1]
            for sizes in zip(received, expected, strict=True)
        ):
            raise ValueError(
                "`mask` must have the shape of the input without its "
                f"channels, {tuple(expected)}. Received: a mask of shape "
                f"{tuple(received)} for an input of shape "
                f"{tuple(inputs.shape)} with "
                f"data_format={self.data_format!r}."
            )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(
        self, inputs, mask=None, return_attention_scores=False
    ):
        self._check_inputs(inputs, mask)
        outputs = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        shape = (inputs.shape[0], inputs.shape[self._channel_axis])
        return outputs, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "gate_activation": keras.activations.serialize(
                self.gate_activation
            ),
            "pooling": self.pooling,
            "identity_start": self.identity_start,
            "data_format": self.data_format,
        }


def _check_gate_at_zero(gate):
    """Refuse a gate that cannot be divided by gate(0)."""
    zeros = [ops.zeros((1, channels), "float32") for channels in (2, 3)]
    try:
        pair, triple = (ops.convert_to_numpy(gate(zero))[0] for zero in zeros)
    except (NotImplementedError, TypeError):
        # Made while a graph is traced, where nothing has a value yet.
        return
    value = float(pair[0])
    if value == 0.0 or not np.allclose(triple, value):
        raise ValueError(
            "`identity_start=True` divides each gate by gate(0), so "
            "`gate_activation` must be elementwise and not zero at zero. "
            f"Received: gate_activation={gate!r}, which maps two zeros to "
            f"{pair.tolist()} and three to {triple.tolist()}. Use 'sigmoid' "
            "or 'hard_sigmoid', or leave identity_start=False."
        )
