"""Global context: positions pooled by learned weights."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_channel_attn._pooling import average, fill_outside, softmax
from keras_channel_attn._tensors import Tensor, flat_positions, spatial_axes
from keras_channel_attn.arguments import one_of
from keras_channel_attn.backend import activate
from keras_channel_attn.layers.bottleneck_attention import BottleneckAttention
from keras_channel_attn.layers.spatial_attention import SpatialAttention
from keras_channel_attn.layers.torch_arrays import (
    TorchWeights,
    matrix_from_torch,
    vector_from_torch,
)
from keras_channel_attn.ops import add_spatial_axes

_HALVES = ("float16", "bfloat16")
_FUSIONS = ("add", "scale")
# That of the normalization, as in timm.
EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class GlobalContext(BottleneckAttention, SpatialAttention):
    """Global context: a weighted mean over the positions, added or as gates.

        y = x + t    or    y = x * gate(t),
        t = activation(norm(z W1 + b1)) W2 + b2,    z = sum(softmax(x w) x)

    The softmax is over all positions. Its weights, one for each position, do
    not depend on the position that they are used for: this is what non-local
    attention was found to learn. The bottleneck has a layer normalization. See
    fig. 4 (d) of [GCNet](https://arxiv.org/abs/1904.11492) (Cao et al., 2019).
    The GlobalContext of timm and its gcresnets have `reduction=8`. timm starts
    the last map of an added branch at zero: `identity_start=True` is that
    start. To add and scale at once, as timm can, is not offered.

    Args:
        reduction: Positive integer, the factor by which the bottleneck is
            narrower than the input: `channels // reduction` units, at least
            one. Defaults to `16`.
        bottleneck_units: Positive integer, the width of the bottleneck. If it
            is given, `reduction` and `divisor` are not used. Defaults to
            `None`.
        divisor: Positive integer. If it is above 1, the width of the bottleneck
            is `channels / reduction` rounded to the nearest multiple of
            `divisor`, at least `divisor`. Defaults to `1`.
        activation: Name or callable, applied in the bottleneck. Defaults to
            `"relu"`.
        use_bias: Boolean, whether all maps have a bias. Defaults to `True`.
        fuse: `"add"`, which adds `t` to the input, as in the paper; or
            `"scale"`, which multiplies the input by the gates. Defaults to
            `"add"`.
        gate_activation: Name or callable, the activation that returns the gates
            of `fuse="scale"`. Defaults to `"sigmoid"`.
        identity_start: Boolean. If `True`, the layer returns its input
            unchanged until it is trained: the last map starts at zero, and
            gates are divided by `gate(0)`. Use it to insert attention into a
            trained network. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        kernel_initializer: Initializer of all kernels. They get different
            random numbers, even if the initializer has a seed. Defaults to
            `"glorot_uniform"`.
        bias_initializer: Initializer of all biases. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of all kernels. Defaults to `None`.
        bias_regularizer: Regularizer of all biases. Defaults to `None`.
        kernel_constraint: Constraint on all kernels. Defaults to `None`.
        bias_constraint: Constraint on all biases. Defaults to `None`.
        learning_rate_multiplier: Number above zero, or `"auto"`. The layer
            stores each weight divided by it and computes with the product: see
            `SqueezeExcite`. Defaults to `"auto"`: 8 with an identity start,
            else 1.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`.

    Call arguments:
        inputs: Tensor of rank 3 or more. Integers are cast to the compute
            dtype.
        mask: Boolean tensor `(batch, *spatial)`. Positions that are `False` are
            not pooled, so that they have no effect on other positions. If the
            inputs carry a Keras mask, Keras passes it to this argument. It is
            attached to the outputs, except with `data_format="channels_first"`.
        return_attention_scores: Boolean. If `True`, the gates `(batch,
            channels)` are returned as well, or with `fuse="add"` the numbers
            that are added. Defaults to `False`.
        return_spatial_scores: Boolean. If `True`, the weights of the positions
            `(batch, *spatial)` are returned as well, after the attention scores
            if both are asked for. Defaults to `False`.
        training: Boolean. Not used.

    Input shape:
        `(batch, *spatial, channels)` or, with `data_format="channels_first"`,
        `(batch, channels, *spatial)`, with one or more spatial axes. All
        dimensions except `channels` may be `None`.

    Output shape:
        The same as the input shape. If scores are asked for, a tuple of it and
        their shapes.

    Weights:
        `context_kernel` `(channels, 1)`, `context_bias` `(1,)`, on which the
        outputs do not depend and which published files contain,
        `reduce_kernel` `(channels, units)`, `reduce_bias` `(units,)`, `gamma`
        and `beta` `(units,)` of the normalization, `expand_kernel`
        `(units, channels)`, `expand_bias` `(channels,)`.

    Raises:
        TypeError, ValueError: If an argument has a wrong type or value, or if
            `identity_start=True` and `gate_activation` is zero at zero (`tanh`,
            `relu`) or not elementwise (`softmax`). On a call, if the rank of
            the input is below 3, if a spatial axis has size 0, if the number of
            channels is unknown or has changed since the layer was built, or if
            the mask has a wrong shape.

    Warns:
        UserWarning: If `reduction` is above the number of channels, and neither
            `bottleneck_units` nor a `divisor` above 1 is given.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = GlobalContext()
    >>> y, scores, positions = layer(
    ...     x, return_attention_scores=True, return_spatial_scores=True
    ... )
    >>> tuple(scores.shape), tuple(positions.shape), layer.count_params()
    ((2, 64), (2, 56, 56), 653)
    """

    def __init__(
        self,
        reduction: int = 16,
        bottleneck_units: int | None = None,
        divisor: int = 1,
        activation: Any = "relu",
        use_bias: bool = True,
        fuse: str = "add",
        gate_activation: Any = "sigmoid",
        identity_start: bool = False,
        data_format: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        learning_rate_multiplier: float | str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            reduction=reduction,
            bottleneck_units=bottleneck_units,
            divisor=divisor,
            activation=activation,
            use_bias=use_bias,
            gate_activation=gate_activation,
            identity_start=identity_start,
            data_format=data_format,
            functions={
                "kernel_initializer": kernel_initializer,
                "bias_initializer": bias_initializer,
                "kernel_regularizer": kernel_regularizer,
                "bias_regularizer": bias_regularizer,
                "kernel_constraint": kernel_constraint,
                "bias_constraint": bias_constraint,
            },
            learning_rate_multiplier=learning_rate_multiplier,
            **kwargs,
        )
        self.fuse = one_of("fuse", fuse, _FUSIONS)

    def build_excitation(self, channels: int) -> None:
        # Saved files store the weights in this order, and timm's too.
        self.context_kernel = self._add_kernel(
            "context_kernel", (channels, 1), self._initializer(2)
        )
        self.context_bias = self._add_bias(
            "context_bias", 1, self.bias_initializer
        )
        units = self._add_reduction(channels)
        self.gamma, self.beta = (
            self.add_effective_weight(
                name=name, shape=(units,), initializer=start
            )
            for name, start in (("gamma", "ones"), ("beta", "zeros"))
        )
        self._add_expansion(units, channels)

    def attend(
        self, inputs: Tensor, mask: Tensor | None, training: bool
    ) -> tuple[Tensor, Any]:
        filled = inputs
        if mask is not None:
            filled = fill_outside(self._over_channels(mask), inputs, 0)
        weights = self._position_weights(filled, mask)
        terms = self.excite(self._pooled(filled, weights))
        # On the NumPy backend, arithmetic on bfloat16 returns float32.
        terms = ops.cast(terms, inputs.dtype)
        if self.fuse == "scale":
            terms = self._gate(terms)
        factors = add_spatial_axes(terms, inputs, self.data_format)
        outputs = inputs + factors if self.fuse == "add" else inputs * factors
        return outputs, (terms, weights, inputs)

    def constant_terms(self, scores: Any) -> tuple[Any, Any] | None:
        if type(self).attend is not GlobalContext.attend:
            return None
        if self.fuse == "add":
            return np.ones_like(scores), scores
        return scores, np.zeros_like(scores)

    def spatial_scores(self, gates: Any) -> Tensor:
        _, weights, inputs = gates
        shape = ops.shape(inputs)
        axes = spatial_axes(inputs, self.data_format)
        return ops.reshape(weights, [shape[0], *(shape[axis] for axis in axes)])

    def _position_weights(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Softmax `(batch, positions)` over all positions."""
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        logits = self._position_logits(
            inputs, self.context_kernel, self.context_bias
        )
        if dtype in _HALVES:
            logits = ops.cast(logits, "float32")
        if mask is not None:
            # Finite: all positions may be masked.
            logits = fill_outside(mask, logits, -1e30)
        logits = flat_positions(logits[..., None], "channels_last")[..., 0]
        return ops.cast(softmax(logits), dtype)

    def _pooled(self, inputs: Tensor, weights: Tensor) -> Tensor:
        x = flat_positions(inputs, self.data_format)
        if self.data_format == "channels_last":
            pooled = (weights[:, None] @ x)[:, 0]
        else:
            pooled = (x @ weights[..., None])[..., 0]
        if keras.backend.standardize_dtype(weights.dtype) in _HALVES:
            # Rounded to 16 bits, many small weights do not add up to one.
            total = ops.sum(ops.cast(weights, "float32"), axis=1, keepdims=True)
            pooled = ops.cast(pooled, "float32") / total
        return ops.cast(pooled, inputs.dtype)

    def _activation_of_bottleneck(self) -> Any:
        return lambda hidden: activate(
            self.activation, self._normalized(hidden)
        )

    def _normalized(self, hidden: Tensor) -> Tensor:
        """Layer normalization of the bottleneck."""
        dtype = keras.backend.standardize_dtype(hidden.dtype)
        wide = "float32" if dtype in _HALVES else dtype
        hidden = ops.cast(hidden, wide)
        difference = hidden - average(hidden, (1,))[:, None]
        variance = average(difference * difference, (1,))[:, None]
        gamma, beta = (
            ops.cast(self.effective_weight(weight), wide)
            for weight in (self.gamma, self.beta)
        )
        scale = gamma * ops.rsqrt(variance + EPSILON)
        return ops.cast(difference * scale + beta, dtype)

    def channel_axes(self) -> dict[str, tuple[int, ...]]:
        return {
            "context_kernel": (0,),
            "context_bias": (),
            "gamma": (),
            "beta": (),
            **super().channel_axes(),
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fuse": self.fuse}

    def attention_macs(self, spatial: tuple[int, ...], channels: int) -> int:
        # The products that weigh the positions, and the sum with the weights.
        positions = 2 * math.prod(spatial) * channels
        return positions + self.excitation_macs(channels)

    def expand(self, expansion: Any, inputs: Any) -> Any:
        layers, rank = keras.layers, len(inputs.shape)
        x = expansion.apply(
            layers.Reshape,
            "positions",
            ops.moveaxis(inputs, self._channel_axis, -1),
            target_shape=(-1, self._channels),
        )
        weights = expansion.dense(
            "context", x, self.context_kernel, self.context_bias
        )
        weights = expansion.apply(layers.Softmax, "softmax", weights, axis=1)
        x = expansion.apply(layers.Dot, "pool", [weights, x], axes=1)
        x = expansion.dense("reduce", x, self.reduce_kernel, self.reduce_bias)
        x = expansion.with_weights(
            layers.LayerNormalization,
            "normalization",
            x,
            {"gamma": self.gamma, "beta": self.beta},
            epsilon=EPSILON,
        )
        x = expansion.apply(
            layers.Activation, "activation", x, activation=self.activation
        )
        x = expansion.dense("expand", x, self.expand_kernel, self.expand_bias)
        kind = layers.Add
        if self.fuse == "scale":
            x, kind = expansion.gates(x), layers.Multiply
        return expansion.result(
            kind, [inputs, expansion.over_positions(x, rank)]
        )

    def torch_weights(self) -> TorchWeights:
        mlp = f"mlp_{self.fuse}"
        return {
            "conv_attn.weight": (self.context_kernel, matrix_from_torch),
            "conv_attn.bias": (self.context_bias, vector_from_torch),
            **{
                f"{mlp}.{name}": pair
                for name, pair in super().torch_weights().items()
            },
            f"{mlp}.norm.weight": (self.gamma, vector_from_torch),
            f"{mlp}.norm.bias": (self.beta, vector_from_torch),
        }
