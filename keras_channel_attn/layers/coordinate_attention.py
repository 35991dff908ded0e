"""Coordinate attention: one gate along each spatial axis."""

import math
from typing import Any

import keras
from keras import ops

from keras_channel_attn._pooling import any_along, average, fill_outside
from keras_channel_attn._tensors import Tensor, linear, spatial_axes
from keras_channel_attn.arguments import boolean
from keras_channel_attn.backend import activate
from keras_channel_attn.layers.bottleneck_attention import BottleneckAttention
from keras_channel_attn.layers.spatial_attention import SpatialAttention
from keras_channel_attn.layers.torch_arrays import (
    TorchWeights,
    matrix_from_torch,
    vector_from_torch,
)


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class CoordinateAttention(BottleneckAttention, SpatialAttention):
    """Coordinate attention: gates for the positions along each spatial axis.

        y = x * g_1 * g_2,    g_a = gate(activation(norm(z_a W + b)) W_a + b_a)

    `z_a` has the means over all spatial axes but one, so that it has a position
    along the axis `a`. The axes share the bottleneck `W`, and have a second map
    each. There are as many gates as spatial axes. With two of them see
    [Coordinate Attention](https://arxiv.org/abs/2103.02907) (Hou et al., 2021).

    The width in the code of the authors, `max(8, channels // 32)`, is that of
    `divisor=8` for multiples of 256 channels, and else close to it. Their maps
    have biases: `use_bias=True`. The CoordAttn of timm has `reduction=24`.

    Args:
        reduction: Positive integer, the factor by which the bottleneck is
            narrower than the input: `channels // reduction` units, at least
            one. Defaults to `32`.
        bottleneck_units: Positive integer, the width of the bottleneck. If it
            is given, `reduction` and `divisor` are not used. Defaults to
            `None`.
        divisor: Positive integer. If it is above 1, the width of the bottleneck
            is `channels / reduction` rounded to the nearest multiple of
            `divisor`, at least `divisor`. Defaults to `8`.
        activation: Name or callable, applied in the bottleneck. Defaults to
            `"hard_swish"`.
        use_bias: Boolean, whether all maps have a bias. Defaults to `False`.
        batch_normalization: Boolean, whether the bottleneck is normalized over
            the batch. Masked positions are excluded. Defaults to `True`.
        gate_activation: Name or callable, the activation that returns the
            gates. Defaults to `"sigmoid"`.
        identity_start: Boolean. If `True`, the layer returns its input
            unchanged until it is trained: the last maps start at zero, and the
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
        mask: Boolean tensor `(batch, *spatial)`. Positions that are `False`
            have no effect on the gates of other positions and are excluded from
            the means. The gates are applied to all positions. If the inputs
            carry a Keras mask, Keras passes it to this argument. It is attached
            to the outputs, except with `data_format="channels_first"`.
        return_attention_scores: Boolean. If `True`, numbers `(batch, channels)`
            are returned as well: of the gates along each axis the means over
            its positions, multiplied. Defaults to `False`.
        return_spatial_scores: Boolean. If `True`, a map `(batch, *spatial)` is
            returned as well: of the gates along each axis the means over the
            channels, multiplied, after the attention scores if both are asked
            for. Defaults to `False`.
        training: Boolean, whether the normalization uses the statistics of the
            batch. With `trainable=False` it uses the moving statistics in any
            case.

    Input shape:
        `(batch, *spatial, channels)` or, with `data_format="channels_first"`,
        `(batch, channels, *spatial)`, with one or more spatial axes. All
        dimensions except `channels` may be `None`. The number of spatial axes
        is fixed when the layer is built.

    Output shape:
        The same as the input shape. If scores are asked for, a tuple of it and
        their shapes.

    Weights:
        `reduce_kernel` `(channels, units)`, `reduce_bias` `(units,)`, with
        `batch_normalization=True` `gamma` and `beta` `(units,)`, then for each
        spatial axis `expand_kernel_0` `(units, channels)` and `expand_bias_0`
        `(channels,)`, and the moving mean and variance.

    Raises:
        TypeError, ValueError: If an argument has a wrong type or value, or if
            `identity_start=True` and `gate_activation` is zero at zero (`tanh`,
            `relu`) or not elementwise (`softmax`). On a call, if the rank of
            the input is below 3, if a spatial axis has size 0, if the number of
            channels is unknown, if that or the number of spatial axes has
            changed since the layer was built, or if the mask has a wrong shape.

    Warns:
        UserWarning: If `reduction` is above the number of channels, and neither
            `bottleneck_units` nor a `divisor` above 1 is given.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = CoordinateAttention()
    >>> y, scores, positions = layer(
    ...     x, return_attention_scores=True, return_spatial_scores=True
    ... )
    >>> tuple(scores.shape), tuple(positions.shape), layer.count_params()
    ((2, 64), (2, 56, 56), 1568)
    """

    def __init__(
        self,
        reduction: int = 32,
        bottleneck_units: int | None = None,
        divisor: int = 8,
        activation: Any = "hard_swish",
        use_bias: bool = False,
        batch_normalization: bool = True,
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
        self.batch_normalization = boolean(
            "batch_normalization", batch_normalization
        )

    def build(self, input_shape: Any) -> None:
        self.spatial_rank = len(input_shape) - 2
        super().build(input_shape)

    def build_excitation(self, channels: int) -> None:
        units = self._add_reduction(channels)
        if self.batch_normalization:
            self._add_normalization(units)
        for axis in range(self.spatial_rank or 0):
            self._add_expansion(units, channels, axis)

    def _expansions(self) -> list[tuple[Any, Any]]:
        """The kernel and the bias of each axis."""
        return [
            (
                getattr(self, f"expand_kernel_{axis}"),
                getattr(self, f"expand_bias_{axis}"),
            )
            for axis in range(self.spatial_rank or 0)
        ]

    def attend(
        self, inputs: Tensor, mask: Tensor | None, training: bool
    ) -> tuple[Tensor, Any]:
        means, masks = self._means(inputs, mask)
        hidden = self._linear(
            ops.concatenate(means, axis=1), self.reduce_kernel, self.reduce_bias
        )
        mask = ops.concatenate(masks, axis=1) if masks else None
        if self.batch_normalization:
            hidden = self._normalize(hidden, mask, training)
        hidden = activate(self.activation, hidden)
        gates, start = [], 0
        for axis, (kernel, bias) in enumerate(self._expansions()):
            stop = start + ops.shape(means[axis])[1]
            logits = self._linear(hidden[:, start:stop], kernel, bias)
            gates.append(self._gate(ops.cast(logits, inputs.dtype)))
            start = stop
        for axis, gate in enumerate(gates):
            inputs = inputs * self._along(axis, gate)
        return inputs, (gates, masks)

    def _means(
        self, inputs: Tensor, mask: Tensor | None
    ) -> tuple[list[Tensor], list[Any]]:
        """For each axis the means `(batch, size, channels)`, and their mask."""
        axes = spatial_axes(inputs, self.data_format)
        wide = None if mask is None else self._over_channels(mask)
        if wide is not None and len(axes) == 1:
            inputs = fill_outside(wide, inputs, 0)
        means, masks = [], []
        for axis in axes:
            others = tuple(other for other in axes if other != axis)
            mean = average(inputs, others, wide) if others else inputs
            if self.data_format == "channels_first":
                mean = ops.transpose(mean, (0, 2, 1))
            means.append(mean)
            if mask is not None:
                first = int(self.data_format == "channels_first")
                others = tuple(other - first for other in others)
                masks.append(any_along(mask, others))
        return means, masks

    def _linear(self, x: Tensor, kernel: Any, bias: Any) -> Tensor:
        x = linear(x, ops.cast(self.effective_weight(kernel), x.dtype))
        if bias is not None:
            x = x + ops.cast(self.effective_weight(bias), x.dtype)
        return x

    def _along(self, axis: int, gate: Tensor) -> Tensor:
        """`(batch, size, channels)`, as it broadcasts against the inputs."""
        first = self.data_format == "channels_first"
        if first:
            gate = ops.transpose(gate, (0, 2, 1))
        for other in range(self.spatial_rank or 0):
            if other != axis:
                gate = ops.expand_dims(gate, other + 1 + first)
        return gate

    def channel_scores(self, gates: Any) -> Tensor:
        along_axes, masks = gates
        scores = 1.0
        for axis, gate in enumerate(along_axes):
            mask = masks[axis][..., None] if masks else None
            scores = scores * average(gate, (1,), mask)
        return scores

    def spatial_scores(self, gates: Any) -> Tensor:
        scores = 1.0
        for axis, gate in enumerate(gates[0]):
            mean = average(gate, (2,))
            for other in range(self.spatial_rank or 0):
                if other != axis:
                    mean = ops.expand_dims(mean, other + 1)
            scores = scores * mean
        return scores

    def channel_axes(self) -> dict[str, tuple[int, ...]]:
        axes: dict[str, tuple[int, ...]] = {
            "reduce_kernel": (0,),
            "reduce_bias": (),
        }
        if self.batch_normalization:
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            axes |= dict.fromkeys(names, ())
        for axis in range(self.spatial_rank or 0):
            axes |= {
                f"expand_kernel_{axis}": (1,),
                f"expand_bias_{axis}": (0,),
            }
        return axes

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "batch_normalization": self.batch_normalization,
        }

    def attention_macs(self, spatial: tuple[int, ...], channels: int) -> int:
        # Each position along an axis is reduced and expanded once.
        return 2 * sum(spatial) * math.prod(self.reduce_kernel.shape)

    def expand(self, expansion: Any, inputs: Any) -> Any:
        x = ops.moveaxis(inputs, self._channel_axis, -1)
        sizes = x.shape[1:-1]
        if None in sizes:
            expansion.refuse(
                "its spatial axes have unknown sizes. Build the model with "
                "known ones."
            )
        axes = range(1, len(sizes) + 1)
        means = [
            ops.mean(x, [other for other in axes if other != axis])
            if len(sizes) > 1
            else x
            for axis in axes
        ]
        x = ops.concatenate(means, axis=1)
        x = expansion.dense("reduce", x, self.reduce_kernel, self.reduce_bias)
        if self.batch_normalization:
            x = expansion.normalize(x)
        x = expansion.apply(
            keras.layers.Activation, "activation", x, activation=self.activation
        )
        gates, start = [], 0
        for axis, (kernel, bias) in enumerate(self._expansions()):
            part = x[:, start : start + sizes[axis]]
            start += sizes[axis]
            part = expansion.dense(f"expand_{axis}", part, kernel, bias)
            gates.append(
                self._along(axis, expansion.gates(part, f"gate_{axis}"))
            )
        return expansion.result(keras.layers.Multiply, [inputs, *gates])

    def torch_weights(self) -> TorchWeights:
        names = [f"conv_{axis}" for axis in range(self.spatial_rank or 0)]
        if self.spatial_rank == 2:
            names = ["conv_h", "conv_w"]
        weights: TorchWeights = {
            "conv1.weight": (self.reduce_kernel, matrix_from_torch),
            "conv1.bias": (self.reduce_bias, vector_from_torch),
        }
        if self.batch_normalization:
            weights |= self._torch_normalization("bn1")
        maps = zip(names, self._expansions(), strict=True)
        for name, (kernel, bias) in maps:
            weights[f"{name}.weight"] = (kernel, matrix_from_torch)
            weights[f"{name}.bias"] = (bias, vector_from_torch)
        return weights
