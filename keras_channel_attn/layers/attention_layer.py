"""The base class of all attention layers."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import (
    boolean,
    data_format_or_global,
    keras_object,
)
from keras_channel_attn.backend import activate
from keras_channel_attn.layers.effective_weights import EffectiveWeights
from keras_channel_attn.layers.observation import (
    score_observer,
    substitute_of,
)
from keras_channel_attn.layers.torch_arrays import TorchWeights

_GATES_HALF_AT_ZERO = [
    keras.activations.sigmoid,
    keras.activations.hard_sigmoid,
]


class AttentionLayer(EffectiveWeights):
    """What all attention layers have in common, apart from the formula.

    It checks and casts the inputs, computes gates from logits, observes the
    attention scores, and stores the configuration. `ChannelAttention` adds the
    formula of channel attention, `SpatialAttention` that of layers that attend
    to positions too. The methods below describe a class to the functions that
    count, expand, prune and load it.

    Args:
        gate_activation, identity_start, data_format, learning_rate_multiplier:
            As in `ChannelAttention`.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    # Computes the logits of the gates of channels from a descriptor.
    excite: Callable[[Tensor], Tensor]

    def __init__(
        self,
        gate_activation: Any = "sigmoid",
        identity_start: bool = False,
        data_format: str | None = None,
        learning_rate_multiplier: float | str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate_multiplier, **kwargs)
        self.supports_masking = True
        self.gate_activation = keras_object(
            "gate_activation", gate_activation, keras.activations.get
        )
        self.identity_start = boolean("identity_start", identity_start)
        self.data_format = data_format_or_global(data_format)
        self._channel_axis = 1 if self.data_format == "channels_first" else -1
        self._channels: int | None = None
        self._neutral_gate: float | None = None
        if identity_start:
            _check_gate_at_zero(self.gate_activation)
            if self.gate_activation in _GATES_HALF_AT_ZERO:
                self._neutral_gate = 0.5

    def build(self, input_shape: Sequence[int | None]) -> None:
        if len(input_shape) < 3:
            raise ValueError(
                f"{type(self).__name__} needs an input of rank 3 or more: "
                "batch, one or more spatial axes, and channels. Received: "
                f"input_shape={tuple(input_shape)}. If the input is "
                "(batch, channels), add a spatial axis with "
                "`keras.layers.Reshape`."
            )
        channels = input_shape[self._channel_axis]
        if not channels:
            raise ValueError(
                f"{type(self).__name__} needs a known number of channels, one "
                "or more. "
                f"Received: input_shape={tuple(input_shape)} with "
                f"data_format={self.data_format!r}, so the channels are axis "
                f"{self._channel_axis}. Set this dimension in `keras.Input` or "
                "pass the other `data_format`."
            )
        self._channels = channels
        self.build_excitation(channels)
        self._check_effective_weights()

    def build_excitation(self, channels: int) -> None:
        """Create the weights that `excite` uses. By default there are none.

        Args:
            channels: Integer, number of channels of the input.
        """

    def channel_axes(self) -> dict[str, tuple[int, ...]]:
        """The axes of the weights that have a position for each channel.

        `keras_channel_attn.pruning` removes the positions of removed channels
        along these axes. A subclass with weights implements it, and so does one
        that replaces `excite` or `squeeze` of a class with this method; the
        layer is built when it is called.

        Returns:
            Dictionary from the attribute that holds a weight to its axes:
            `{"kernel": (0, 1)}` for a kernel `(channels, channels)`, and `()`
            for a weight that does not depend on the channels. Channels whose
            attention has a weight that is not in it cannot be removed. By
            default it is empty.
        """
        return {}

    def coupled_blocks(self) -> int | None:
        """The number of blocks of channels that can only be removed whole.

        All blocks have the same number of channels, which are neighbors.

        Returns:
            Integer, or `None`, the default: each channel can be removed alone.
        """
        return None

    def config_for_channels(self, channels: int) -> dict[str, Any]:
        """What differs in the configuration with another number of channels.

        Args:
            channels: Integer, the number of channels that are left.

        Returns:
            Dictionary, entries that replace those of `get_config()`: arguments
            that depend on the number of channels, or that keep the shape of a
            weight as it is. By default it is empty.
        """
        return {}

    def reason_to_lock(self) -> str | None:
        """Why no channel can be removed, as the end of a sentence.

        Returns:
            String, or `None`, the default: channels can be removed.
        """
        return None

    def constant_terms(self, scores: Any) -> tuple[Any, Any] | None:
        """What the layer computes if its attention scores are constants.

        `attention_report` and `freeze_attention` replace the scores by their
        means over data.

        Args:
            scores: NumPy array `(channels,)`.

        Returns:
            Pair of NumPy arrays `(channels,)`: the outputs are the inputs times
            the first, plus the second. Or `None`, the default: the scores of
            the channels do not determine the outputs.
        """
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        substitute = substitute_of(self)
        if substitute is not None:
            return substitute(*args, **kwargs)
        observer = score_observer()
        if observer is None:
            return super().__call__(*args, **kwargs)
        # Whoever calls the layer gets what it has asked for.
        is_asked = kwargs.pop("return_attention_scores", False)
        outputs, scores, *others = super().__call__(
            *args, **kwargs, return_attention_scores=True
        )
        observer(self, scores)
        if is_asked:
            return outputs, scores, *others
        return (outputs, *others) if others else outputs

    def _prepare(
        self, inputs: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The inputs and the mask, checked and cast."""
        self._check_inputs(inputs, mask)
        if keras.backend.standardize_dtype(inputs.dtype) != self.compute_dtype:
            inputs = ops.cast(inputs, self.compute_dtype)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        return inputs, mask

    def _gates(self, *descriptors: Tensor) -> Tensor:
        """The gates of channels, from the sum of what `excite` returns."""
        logits = self._logits(descriptors[0])
        for descriptor in descriptors[1:]:
            logits = logits + self._logits(descriptor)
        return self._gate(logits)

    def _logits(self, descriptor: Tensor) -> Tensor:
        """What `excite` returns: other shapes would be broadcast silently."""
        logits = self.excite(descriptor)
        shape = getattr(logits, "shape", ())
        # Shapes are inferred before `build`.
        if self._channels and not _may_be_of_logits(shape, self._channels):
            received = tuple(shape) or repr(logits)
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: `excite` must return "
                "one logit for each channel, a tensor of shape (batch, "
                f"{self._channels}). Received: {received}, for a descriptor of "
                f"shape {tuple(descriptor.shape)}."
            )
        return logits

    def _gate(self, logits: Tensor) -> Tensor:
        scores = activate(self.gate_activation, logits)
        if self.identity_start:
            # The quotient is exactly 1 if both numbers are equal. So gate(0)
            # is computed with the same dtype and shape as the scores.
            neutral = self._neutral_gate
            if neutral is None:
                zeros = ops.zeros_like(logits)
                neutral = activate(self.gate_activation, zeros)
            scores = scores / neutral
        return scores

    def _check_inputs(self, inputs: Tensor, mask: Tensor | None) -> None:
        # An `InputSpec` would take longer than the computation of the gates.
        # The rank may change after `build`: the weights depend only on the
        # number of channels.
        if self._channels is None:  # Shapes are inferred before `build`.
            return
        shape = inputs.shape
        if len(shape) > 2 and ops.is_tensor(shape[1]):
            # `torch.jit.trace` makes tensors of sizes, and warns about each
            # one that is compared.
            return
        if len(shape) < 3 or shape[self._channel_axis] != self._channels:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} was built for "
                f"{self._channels} channels on axis {self._channel_axis} of an "
                f"input of rank 3 or more. Received: inputs of shape "
                f"{tuple(shape)} with data_format={self.data_format!r}."
            )
        if 0 in tuple(shape)[1:]:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} needs at least one "
                "position to pool. Received: inputs of shape "
                f"{tuple(shape)}."
            )
        if mask is not None:
            self._check_mask(inputs, mask)

    def _check_mask(self, inputs: Tensor, mask: Tensor) -> None:
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

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        # `Multiply`, `BatchNormalization` and others would add an axis at the
        # end of the mask, and broadcast its positions against the channels.
        return None if self._channel_axis == 1 else previous_mask

    def compute_output_shape(
        self, input_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gate_activation": keras.activations.serialize(
                self.gate_activation
            ),
            "identity_start": self.identity_start,
            "data_format": self.data_format,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AttentionLayer":
        # Of an HDF5 file Keras reads the string "add" as `keras.layers.add`,
        # and the names of its other functions alike.
        functions = {
            function: name
            for name, function in vars(keras.layers).items()
            if inspect.isfunction(function)
        }
        config = {
            name: functions.get(value, value)
            if inspect.isfunction(value)
            else value
            for name, value in config.items()
        }
        return super().from_config(config)

    # What a class knows of its `excite`, for the functions that look at models
    # and change them.

    def excitation_macs(self, features: int) -> int | None:
        """Multiply-adds of `excite` for one descriptor of one sample.

        Args:
            features: Integer, the size of the descriptor: the number of
                channels, unless `squeeze` is replaced.

        Returns:
            Integer; or `None`, the default: `model_costs` calls `excite` with a
            symbolic tensor, and counts the products of matrices and the
            convolutions of `keras.ops`.
        """
        return None

    def expand_excitation(self, expansion: Any, descriptor: Any) -> Any:
        """Write `excite` with layers of Keras, for `expand_attention`.

        Args:
            expansion: Object that creates the layers:
                `apply(kind, role, inputs, **arguments)` calls a layer of the
                class `kind` whose name ends with `role`;
                `convolve(role, inputs, kernel, bias, **arguments)` calls a
                convolution with weights of this layer, a `Conv2D` if `filters`
                is among the arguments, else a `DepthwiseConv2D`;
                `with_shape(tensor, shape, role)` moves the channels to another
                axis.
            descriptor: Symbolic tensor, the pooled input, which keeps spatial
                axes of size one. `math.prod(descriptor.shape[1:])` is the
                number of channels.

        Returns:
            Symbolic tensor, the logits of the gates, with the same number of
            elements.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `expand_excitation`."
        )

    def torch_weights(self) -> TorchWeights:
        """Under which names torch keeps the weights, for `load_torch_weights`.

        Returns:
            Dictionary from torch's name of each weight, such as
            `"fc.weight"`, to a pair: the weight, or `None` if the layer does
            not have it, and a function from torch's array to an array of the
            shape of the weight, or to `None` if that is impossible.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `torch_weights`."
        )

    def is_described(self, method: str, by: str) -> bool:
        """Whether a description is that of the method that this layer has.

        A class that replaces `excite` of its base class inherits descriptions
        of another computation.

        Args:
            method: String, the method that is described, such as `"excite"`.
            by: String, the method that describes it.
        """
        classes = type(self).__mro__
        described, describing = (
            next(i for i, kind in enumerate(classes) if name in vars(kind))
            for name in (method, by)
        )
        has_own = classes[describing] is not AttentionLayer
        return has_own and describing <= described


def _may_be_of_logits(shape: Any, channels: int) -> bool:
    """Whether a shape is `(batch, channels)`, as far as it is known."""
    # While a graph is traced, a backend may not know the rank or a size, and
    # `torch.jit.trace` makes tensors of sizes.
    if shape is None or getattr(shape, "rank", 2) is None:
        return True
    return len(shape) == 2 and (
        ops.is_tensor(shape[1]) or shape[1] in (None, channels)
    )


def _check_gate_at_zero(gate: Callable[[Tensor], Tensor]) -> None:
    """Raise an error for a gate that cannot be divided by gate(0)."""
    zeros = [ops.zeros((1, channels), "float32") for channels in (2, 3)]
    try:
        pair, triple = (
            ops.convert_to_numpy(gate(tensor))[0] for tensor in zeros
        )
    except (NotImplementedError, TypeError):
        # The layer is created while a graph is traced: tensors have no values.
        return
    value = float(pair[0])
    if value == 0.0 or not np.allclose(triple, value):
        raise ValueError(
            "`identity_start=True` divides each gate by gate(0), so "
            "`gate_activation` must be elementwise and not zero at zero. "
            f"Received: gate_activation={gate!r}, which maps two zeros to "
            f"{pair.tolist()} and three zeros to {triple.tolist()}. Use "
            "'sigmoid' or 'hard_sigmoid', or set identity_start=False."
        )
