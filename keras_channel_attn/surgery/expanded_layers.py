"""One attention layer as several layers of Keras."""

import math
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.graph.keras_internals import mask_of
from keras_channel_attn.layers.effective_weights import (
    function_of_effective,
    scale,
)
from keras_channel_attn.surgery.attention_layers import free_name

# Of the inputs of Keras' pooling layers. Those of others are reshaped.
_POOLED_RANKS = (3, 4, 5)


class ExpandedAttention:
    """Layers of Keras that do what one attention layer does.

    Args:
        call: `Call` of the attention layer.
        taken: Set of the paths of all layers, to which the new ones are added.
    """

    def __init__(self, call: Call, taken: set[str]) -> None:
        self.attention = call.operation
        self.name = call.operation.name
        self.rank = len(call.inputs[0].shape)
        self._path = call.path
        self._outer = call.path.removesuffix(self.name)
        self._taken = taken
        # From the part of its name to each layer.
        self._layers: dict[str, Any] = {}
        # From the same part to the weights of attention that it gets.
        self._originals: dict[str, list[Any]] = {}

    def __call__(self, inputs: Any) -> Any:
        """The attended inputs; the layers are made at the first call."""
        attention = self.attention
        first = attention.data_format == "channels_first"
        channels = inputs.shape[1 if first else -1]
        ones = (1,) * (len(inputs.shape) - 2)
        gates_shape = (channels, *ones) if first else (*ones, channels)
        if mask_of(inputs) is not None:
            # `Multiply` and a pooling layer would apply the mask. The others
            # warn of it.
            inputs = keras.ops.copy(inputs)
        logits, *others = (
            attention.expand_excitation(self, descriptor)
            for descriptor in self._descriptors(inputs)
        )
        if others:
            logits = self.apply(keras.layers.Add, "sum", [logits, *others])
        gates = self._gates(logits)
        gates = self.with_shape(gates, gates_shape, "channels_back")
        return self.apply(
            keras.layers.Multiply,
            "",
            [inputs, gates],
            activity_regularizer=attention.activity_regularizer,
        )

    def _descriptors(self, inputs: Any) -> list[Any]:
        """One descriptor, or the average and the maximum."""
        pooling = self.attention.pooling
        data_format = self.attention.data_format
        if len(inputs.shape) not in _POOLED_RANKS:
            shape = (-1, inputs.shape[-1])
            if data_format == "channels_first":
                shape = (inputs.shape[1], -1)
            inputs = self.apply(
                keras.layers.Reshape, "positions", inputs, target_shape=shape
            )
        rank, kinds = len(inputs.shape) - 2, {"avg": "Average", "max": "Max"}
        descriptors = [
            self.apply(
                getattr(keras.layers, f"Global{kind}Pooling{rank}D"),
                "squeeze" if name == pooling else f"squeeze_{name}",
                inputs,
                keepdims=True,
                data_format=data_format,
            )
            for name, kind in kinds.items()
            if pooling == name or pooling not in kinds
        ]
        if pooling == "avg_max_mean":
            return [self.apply(keras.layers.Average, "squeeze", descriptors)]
        return descriptors

    def _gates(self, logits: Any) -> Any:
        attention = self.attention
        gates = self.apply(
            keras.layers.Activation,
            "gate",
            logits,
            activation=attention.gate_activation,
        )
        if not attention.identity_start:
            return gates
        zero = keras.ops.zeros((1, 1), attention.compute_dtype)
        gate = keras.ops.cast(attention.gate_activation(zero), "float32")
        value = keras.ops.convert_to_numpy(gate).item()
        if value == 1:
            return gates
        return self.apply(
            keras.layers.Rescaling, "gate_scale", gates, scale=1 / value
        )

    def apply(self, kind: Any, role: str, inputs: Any, **arguments: Any) -> Any:
        """The outputs of a new layer, or of the one with this role.

        Args:
            kind: Class of the layer.
            role: String, the last part of its name.
            inputs: Tensor, or list of tensors.
            **arguments: Arguments of the constructor.
        """
        if role not in self._layers:
            name = self.name
            if role:
                name = free_name(f"{name}_{role}", self._outer, self._taken)
            self._layers[role] = kind(
                name=name, dtype=self.attention.dtype_policy, **arguments
            )
        return self._layers[role](inputs)

    def convolve(
        self,
        role: str,
        inputs: Any,
        kernel: Any,
        bias: Any = None,
        **arguments: Any,
    ) -> Any:
        """The outputs of a convolution with weights of the attention layer.

        Args:
            role: String, the last part of the name of the layer.
            inputs: Tensor `(batch, height, width, channels)`.
            kernel: Weight of the attention layer, which has the same numbers in
                the same order as the kernel of the convolution.
            bias: Weight of the attention layer. Defaults to `None`.
            **arguments: Arguments of the convolution. With `filters` it is a
                `Conv2D`, without a `DepthwiseConv2D`.
        """
        kind, weight = keras.layers.Conv2D, "kernel"
        if "filters" not in arguments:
            kind, weight = keras.layers.DepthwiseConv2D, "depthwise"
        for name, variable in ((weight, kernel), ("bias", bias)):
            if variable is not None:
                for function in ("regularizer", "constraint"):
                    arguments[f"{name}_{function}"] = function_of_effective(
                        variable, function
                    )
        self._originals[role] = [kernel] if bias is None else [kernel, bias]
        return self.apply(
            kind,
            role,
            inputs,
            use_bias=bias is not None,
            data_format="channels_last",
            **arguments,
        )

    def with_shape(self, tensor: Any, shape: tuple[int, ...], role: str) -> Any:
        """A pooled tensor with its channels along another axis.

        `Permute` works without the size of the batch, where `Reshape` adds
        operations that compute it to an exported graph.
        """
        old = tuple(tensor.shape[1:])
        if old == shape:
            return tensor
        if len(old) != len(shape):
            return self.apply(
                keras.layers.Reshape, role, tensor, target_shape=shape
            )
        channels = math.prod(shape)
        axes = list(range(1, len(shape) + 1))
        source, target = old.index(channels), shape.index(channels)
        axes[source], axes[target] = axes[target], axes[source]
        return self.apply(keras.layers.Permute, role, tensor, dims=axes)

    def copy_weights(self) -> None:
        """Give the new layers the weights and flags of the attention layer.

        Raises:
            ValueError: If a regularizer or a constraint of a kernel depends on
                the axes of the kernel.
        """
        for layer in self._layers.values():
            layer.trainable = self.attention.trainable
        for role, originals in self._originals.items():
            layer = self._layers[role]
            # Without a bias both have one weight.
            new = layer.kernel, layer.bias
            for variable, original in zip(new, originals, strict=False):
                self._check_functions(original, variable)
                effective = scale(
                    original, self.attention.learning_rate_multiplier
                )
                values = keras.ops.convert_to_numpy(effective)
                variable.assign(values.reshape(variable.shape))
                if variable.trainable != original.trainable:
                    variable.trainable = original.trainable

    def _check_functions(self, original: Any, variable: Any) -> None:
        shapes = tuple(original.shape), tuple(variable.shape)
        for kind in ("regularizer", "constraint"):
            name = f"{'kernel' if len(variable.shape) > 1 else 'bias'}_{kind}"
            function = function_of_effective(original, kind)
            reason = shape_dependence(name, function, *shapes)
            if reason is not None:
                raise ValueError(cannot_expand(self._path, reason))


def shape_dependence(
    name: str,
    function: Any,
    shape: tuple[int, ...],
    new_shape: tuple[int, ...],
) -> str | None:
    """Why a function gives other numbers for a reshaped tensor, if it does.

    A function of a user may do anything, so it is tried.
    """
    if function is None or shape == new_shape:
        return None
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    try:
        first, second = (
            keras.ops.convert_to_numpy(
                function(keras.ops.convert_to_tensor(array))
            ).reshape(-1)
            for array in (values, values.reshape(new_shape))
        )
        if np.allclose(first, second, rtol=1e-5, atol=1e-6):
            return None
    except Exception:
        # It raises an error for one of the shapes, which is a difference.
        pass
    return (
        f"its `{name}` gives other results for a tensor of shape {new_shape} "
        f"than for one of shape {shape}."
    )


def cannot_expand(path: str, reason: str) -> str:
    """The message of the error for an attention layer."""
    return f"`expand_attention` cannot expand '{path}': {reason}"
