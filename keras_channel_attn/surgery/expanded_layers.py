"""One attention layer as several layers of Keras."""

import math
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.layers import ChannelAttention
from keras_channel_attn.layers.effective_weights import (
    function_of_effective,
    scale,
)
from keras_channel_attn.layers.spatial_attention import (
    NORMALIZATION_EPSILON,
    NORMALIZATION_MOMENTUM,
)
from keras_channel_attn.surgery.attention_layers import free_name

# Of the inputs of Keras' pooling layers. Those of others are reshaped.
_POOLED_RANKS = (3, 4, 5)


class ExpandedAttention:
    """Layers of Keras that do what one attention layer does.

    Args:
        call: `Call` of the attention layer.
        taken: Set of the paths of all layers, to which the new ones are added.

    Attributes:
        drops_mask: Boolean, whether a mask comes with an input of the layer.
    """

    def __init__(self, call: Call, taken: set[str]) -> None:
        self.attention = call.operation
        self.name = call.operation.name
        self.rank = len(call.inputs[0].shape)
        self.drops_mask = False
        self._path = call.path
        self._outer = call.graph.prefix
        self._taken = taken
        # From the part of its name to each layer.
        self._layers: dict[str, Any] = {}
        # From the same part to the weights of attention that it gets, by the
        # names that they have in the layer.
        self._originals: dict[str, dict[str, Any]] = {}

    def __call__(self, inputs: Any) -> Any:
        """The attended inputs; the layers are made at the first call."""
        attention = self.attention
        if self.drops_mask:
            # `Multiply` and a pooling layer would apply the mask. The others
            # warn of it.
            inputs = keras.ops.copy(inputs)
        if not isinstance(attention, ChannelAttention):
            return attention.expand(self, inputs)
        gates = self.channel_gates(inputs, attention.pooling)
        return self.result(keras.layers.Multiply, [inputs, gates])

    def result(self, kind: Any, inputs: Any) -> Any:
        """The outputs of the last layer, which has the name of attention."""
        regularizer = self.attention.activity_regularizer
        return self.apply(kind, "", inputs, activity_regularizer=regularizer)

    def channel_gates(self, inputs: Any, pooling: str) -> Any:
        """The gates of the channels, which broadcast against the inputs."""
        logits, *others = (
            self.attention.expand_excitation(self, descriptor)
            for descriptor in self._descriptors(inputs, pooling)
        )
        if others:
            logits = self.apply(keras.layers.Add, "sum", [logits, *others])
        return self.over_positions(self.gates(logits), len(inputs.shape))

    def over_positions(self, vector: Any, rank: int) -> Any:
        """Numbers of the channels, which broadcast against inputs."""
        channels, ones = math.prod(vector.shape[1:]), (1,) * (rank - 2)
        is_first = self.attention.data_format == "channels_first"
        shape = (channels, *ones) if is_first else (*ones, channels)
        return self.with_shape(vector, shape, "channels_back")

    def _descriptors(self, inputs: Any, pooling: str) -> list[Any]:
        """One descriptor, or the average and the maximum."""
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

    def gates(self, logits: Any, role: str = "gate") -> Any:
        """The gates of any logits."""
        attention = self.attention
        gates = self.apply(
            keras.layers.Activation,
            role,
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
            keras.layers.Rescaling, f"{role}_scale", gates, scale=1 / value
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
            inputs: Tensor `(batch, *spatial, channels)`.
            kernel: Weight of the attention layer, which has the same numbers in
                the same order as the kernel of the convolution.
            bias: Weight of the attention layer. Defaults to `None`.
            **arguments: Arguments of the convolution. With `filters` it is a
                `Conv1D`, `Conv2D` or `Conv3D`, without a `DepthwiseConv2D`.
        """
        kind = getattr(keras.layers, f"Conv{len(inputs.shape) - 2}D")
        if "filters" not in arguments:
            kind = keras.layers.DepthwiseConv2D
        return self.with_weights(
            kind,
            role,
            inputs,
            {"kernel": kernel, "bias": bias},
            use_bias=bias is not None,
            data_format="channels_last",
            **arguments,
        )

    def dense(self, role: str, inputs: Any, kernel: Any, bias: Any) -> Any:
        """The outputs of a dense layer along the last axis."""
        return self.with_weights(
            keras.layers.Dense,
            role,
            inputs,
            {"kernel": kernel, "bias": bias},
            units=kernel.shape[-1],
            use_bias=bias is not None,
        )

    def normalize(self, inputs: Any) -> Any:
        """The outputs of the normalization over the batch."""
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return self.with_weights(
            keras.layers.BatchNormalization,
            "normalization",
            inputs,
            {name: getattr(self.attention, name) for name in names},
            momentum=NORMALIZATION_MOMENTUM,
            epsilon=NORMALIZATION_EPSILON,
        )

    def with_weights(
        self,
        kind: Any,
        role: str,
        inputs: Any,
        weights: dict[str, Any],
        **arguments: Any,
    ) -> Any:
        """The outputs of a layer with weights of the attention layer.

        Args:
            kind, role, inputs, **arguments: As in `apply`.
            weights: Dictionary from the attribute of the layer that holds a
                weight to the weight of the attention layer, or to `None`.
        """
        weights = {x: weights[x] for x in weights if weights[x] is not None}
        self._originals[role] = weights
        for attribute, variable in weights.items():
            name = attribute
            if kind is keras.layers.DepthwiseConv2D and name == "kernel":
                name = "depthwise"
            for function in ("regularizer", "constraint"):
                value = function_of_effective(variable, function)
                if value is not None:
                    arguments[f"{name}_{function}"] = value
        return self.apply(kind, role, inputs, **arguments)

    def refuse(self, reason: str) -> None:
        """Raise the error of a layer that cannot be expanded."""
        raise ValueError(cannot_expand(self._path, reason))

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
            for attribute, original in originals.items():
                variable = getattr(layer, attribute)
                self._check_functions(original, variable)
                effective = scale(
                    original, self.attention.multiplier_of(original)
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
