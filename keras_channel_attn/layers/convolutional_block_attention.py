"""Channel attention, then spatial attention: CBAM."""

import math
from typing import Any

import keras
from keras import ops

from keras_channel_attn._pooling import average, fill_outside, maximum
from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import boolean, odd_integer
from keras_channel_attn.backend import attend, spatial_convolution
from keras_channel_attn.layers.bottleneck_attention import BottleneckAttention
from keras_channel_attn.layers.spatial_attention import SpatialAttention
from keras_channel_attn.layers.torch_arrays import (
    TorchWeights,
    kernel_from_torch,
)


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class ConvolutionalBlockAttention(BottleneckAttention, SpatialAttention):
    """CBAM: channel attention, and then a gate for each position.

        c = gate(mlp(avg(x)) + mlp(max(x))),    mlp(z) = activation(z W1) W2
        y = x * c * gate(conv([mean(x * c), max(x * c)]))

    The first gate is that of `SqueezeExcite(pooling="avg_max_separate")`. The
    second is computed from the mean and the maximum over the channels at each
    position, by a convolution to one channel. See eq. 1 to 3 of
    [CBAM](https://arxiv.org/abs/1807.06521) (Woo et al., 2018).

    The formula of the paper is the default. The code of its authors has a batch
    normalization after the convolution, and biases in the first branch
    (`use_bias=True, batch_normalization=True`); timm has the normalization, and
    no biases. The authors concatenate the maximum before the mean: swap both in
    a kernel that you copy, `kernel[..., ::-1, :]`. Their normalization has a
    momentum of 0.99, in the convention of torch 0.01. That of this layer is
    0.9.

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
        use_bias: Boolean, whether the two maps of the first gate have a
            bias. The convolution has none. Defaults to `False`.
        kernel_size: Positive odd integer, the size of the convolution along
            each spatial axis. Defaults to `7`.
        batch_normalization: Boolean, whether the result of the
            convolution is normalized over
            the batch. Masked positions are excluded. Defaults to `False`.
        gate_activation: Name or callable, the activation that returns the
            gates. Defaults to `"sigmoid"`.
        identity_start: Boolean. If `True`, the layer returns its input
            unchanged until it is trained: both gates start at `gate(0)`, and
            are divided by it. Use it to insert attention into a trained
            network. Defaults to `False`.
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
        inputs: Tensor of rank 3, 4 or 5. Integers are cast to the compute
            dtype.
        mask: Boolean tensor `(batch, *spatial)`. Positions that are `False`
            have no effect on the gates of other positions. The gates are
            applied to all positions. If the inputs carry a Keras mask, Keras
            passes it to this argument. It is attached to the outputs, except
            with `data_format="channels_first"`.
        return_attention_scores: Boolean. If `True`, the gates of the channels
            `(batch, channels)` are returned as well. Defaults to `False`.
        return_spatial_scores: Boolean. If `True`, the gates of the positions
            `(batch, *spatial)` are returned as well, after the attention scores
            if both are asked for. Defaults to `False`.
        training: Boolean, whether the normalization uses the statistics of the
            batch. With `trainable=False` it uses the moving statistics in any
            case.

    Input shape:
        `(batch, *spatial, channels)` or, with `data_format="channels_first"`,
        `(batch, channels, *spatial)`, with one to three spatial axes. All
        dimensions except `channels` may be `None`. The number of spatial axes
        is fixed when the layer is built.

    Output shape:
        The same as the input shape. If scores are asked for, a tuple of it and
        their shapes.

    Weights:
        `reduce_kernel` `(channels, units)`, `reduce_bias` `(units,)`,
        `expand_kernel` `(units, channels)`, `expand_bias` `(channels,)`, and
        `spatial_kernel` `(kernel_size, ..., 2, 1)`, whose first channel is for
        the mean; with `batch_normalization=True` also `gamma` and `beta`
        `(1,)`, and the moving mean and variance.

    Raises:
        TypeError, ValueError: If an argument has a wrong type or value, or if
            `identity_start=True` and `gate_activation` is zero at zero (`tanh`,
            `relu`) or not elementwise (`softmax`). On a call, if the rank of
            the input is not 3, 4 or 5, if a spatial axis has size 0, if the
            number of channels is unknown, if that or the number of spatial axes
            has changed since the layer was built, or if the mask has a wrong
            shape.

    Warns:
        UserWarning: If `reduction` is above the number of channels, and neither
            `bottleneck_units` nor a `divisor` above 1 is given.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = ConvolutionalBlockAttention()
    >>> y, scores, positions = layer(
    ...     x, return_attention_scores=True, return_spatial_scores=True
    ... )
    >>> tuple(scores.shape), tuple(positions.shape), layer.count_params()
    ((2, 64), (2, 56, 56), 610)
    """

    def __init__(
        self,
        reduction: int = 16,
        bottleneck_units: int | None = None,
        divisor: int = 1,
        activation: Any = "relu",
        use_bias: bool = False,
        kernel_size: int = 7,
        batch_normalization: bool = False,
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
        self.kernel_size = odd_integer("kernel_size", kernel_size)
        self.batch_normalization = boolean(
            "batch_normalization", batch_normalization
        )

    def build(self, input_shape: Any) -> None:
        self.spatial_rank = len(input_shape) - 2
        if self.spatial_rank > 3:
            raise ValueError(
                "ConvolutionalBlockAttention needs an input of rank 3, 4 or 5: "
                "its convolution has one to three spatial axes. Received: "
                f"input_shape={tuple(input_shape)}."
            )
        super().build(input_shape)

    def build_excitation(self, channels: int) -> None:
        super().build_excitation(channels)
        # With a normalization, zero scales are the identity.
        is_zero = self.identity_start and not self.batch_normalization
        self.spatial_kernel = self._add_kernel(
            "spatial_kernel",
            (self.kernel_size,) * (self.spatial_rank or 0) + (2, 1),
            "zeros" if is_zero else self._initializer(2),
        )
        if self.batch_normalization:
            self._add_normalization(1, is_last=True)

    def attend(
        self, inputs: Tensor, mask: Tensor | None, training: bool
    ) -> tuple[Tensor, Any]:
        inputs, channel_gates = attend(
            inputs, self._gates, self.data_format, "avg_max_separate", mask
        )
        logits = self._spatial_logits(inputs, mask, training)
        gates = self._gate(logits)
        return inputs * self._over_channels(gates), (channel_gates, gates)

    def _spatial_logits(
        self, inputs: Tensor, mask: Tensor | None, training: bool
    ) -> Tensor:
        dtype, axes = inputs.dtype, (self._channel_axis % len(inputs.shape),)
        if mask is not None:
            # As the zeros around the map, which the convolution adds.
            inputs = fill_outside(self._over_channels(mask), inputs, 0)
        logits = spatial_convolution(
            [average(inputs, axes), maximum(inputs, axes)],
            self.effective_weight(self.spatial_kernel),
        )
        if self.batch_normalization:
            shape = ops.shape(logits)
            flat = (shape[0], math.prod(shape[1:]))
            logits = self._normalize(
                ops.reshape(logits, (*flat, 1)),
                None if mask is None else ops.reshape(mask, flat),
                training,
            )
            logits = ops.reshape(logits, shape)
        return ops.cast(logits, dtype)

    def reason_to_lock(self) -> str:
        return (
            "computes its spatial gates from the mean and the maximum over all "
            "channels"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "batch_normalization": self.batch_normalization,
        }

    def attention_macs(self, spatial: tuple[int, ...], channels: int) -> int:
        convolution = math.prod(self.spatial_kernel.shape) * math.prod(spatial)
        return 2 * self.excitation_macs(channels) + convolution

    def expand(self, expansion: Any, inputs: Any) -> Any:
        gates = expansion.channel_gates(inputs, "avg_max_separate")
        x = expansion.apply(keras.layers.Multiply, "channels", [inputs, gates])
        axis = self._channel_axis
        maps = ops.stack([ops.mean(x, axis), ops.max(x, axis)], axis=-1)
        logits = expansion.convolve(
            "spatial",
            maps,
            self.spatial_kernel,
            filters=1,
            kernel_size=self.kernel_size,
            padding="same",
        )
        if self.batch_normalization:
            logits = expansion.normalize(logits)
        gates = expansion.gates(logits, "spatial_gate")
        return expansion.result(
            keras.layers.Multiply, [x, ops.moveaxis(gates, -1, axis)]
        )

    def torch_weights(self) -> TorchWeights:
        weights = {
            f"channel.{name}": pair
            for name, pair in super().torch_weights().items()
        }
        weights["spatial.conv.conv.weight"] = (
            self.spatial_kernel,
            kernel_from_torch,
        )
        if self.batch_normalization:
            weights |= self._torch_normalization("spatial.conv.bn")
        return weights
