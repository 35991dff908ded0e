"""Channel and spatial gates side by side: scSE."""

import math
from typing import Any

import keras
from keras import ops

from keras_channel_attn._pooling import larger
from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import one_of
from keras_channel_attn.layers.bottleneck_attention import BottleneckAttention
from keras_channel_attn.layers.spatial_attention import SpatialAttention
from keras_channel_attn.layers.torch_arrays import (
    TorchWeights,
    matrix_from_torch,
    vector_from_torch,
)
from keras_channel_attn.ops import add_spatial_axes, squeeze

_COMBINATIONS = ("sum", "max", "spatial")


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class ConcurrentSqueezeExcite(BottleneckAttention, SpatialAttention):
    """scSE: a gate for each channel and one for each position, side by side.

        y = x * c + x * s,    c = gate(activation(avg(x) W1) W2),
                              s = gate(x w)

    `c` are the gates of `SqueezeExcite`, `s` one gate for each position, from a
    1x1 convolution to one channel. See
    [scSE](https://arxiv.org/abs/1803.02579) (Roy et al., 2018), which is used
    in the decoders of networks for segmentation. With `use_bias=True` this is
    the SCSEModule of segmentation_models.pytorch.

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
        use_bias: Boolean, whether all maps have a bias. Defaults to `False`.
        combination: `"sum"`; `"max"`, the larger one of `x * c` and `x * s`; or
            `"spatial"`, which is `x * s` alone, the sSE of the paper, without a
            bottleneck: `reduction`, `bottleneck_units`, `divisor` and
            `activation` are not used then. Defaults to `"sum"`.
        gate_activation: Name or callable, the activation that returns the
            gates. Defaults to `"sigmoid"`.
        identity_start: Boolean. If `True`, the layer returns its input
            unchanged until it is trained: both gates start at `gate(0)`, and
            are divided by it; a sum is halved. Use it to insert attention into
            a trained network. Defaults to `False`.
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
            have no effect on the gates of other positions. The gates are
            applied to all positions. If the inputs carry a Keras mask, Keras
            passes it to this argument. It is attached to the outputs, except
            with `data_format="channels_first"`.
        return_attention_scores: Boolean. If `True`, the gates of the channels
            `(batch, channels)` are returned as well. With
            `combination="spatial"` they are ones. Defaults to `False`.
        return_spatial_scores: Boolean. If `True`, the gates of the positions
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
        `reduce_kernel` `(channels, units)`, `reduce_bias` `(units,)`,
        `expand_kernel` `(units, channels)`, `expand_bias` `(channels,)`,
        `spatial_kernel` `(channels, 1)`, `spatial_bias` `(1,)`. With
        `combination="spatial"` the last two alone.

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
    >>> layer = ConcurrentSqueezeExcite()
    >>> y, scores, positions = layer(
    ...     x, return_attention_scores=True, return_spatial_scores=True
    ... )
    >>> tuple(scores.shape), tuple(positions.shape), layer.count_params()
    ((2, 64), (2, 56, 56), 576)
    """

    def __init__(
        self,
        reduction: int = 16,
        bottleneck_units: int | None = None,
        divisor: int = 1,
        activation: Any = "relu",
        use_bias: bool = False,
        combination: str = "sum",
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
        self.combination = one_of("combination", combination, _COMBINATIONS)

    def build_excitation(self, channels: int) -> None:
        if self.combination != "spatial":
            super().build_excitation(channels)
        kernel, bias = "zeros", "zeros"
        if not self.identity_start:
            kernel, bias = self._initializer(2), self.bias_initializer
        self.spatial_kernel = self._add_kernel(
            "spatial_kernel", (channels, 1), kernel
        )
        self.spatial_bias = self._add_bias("spatial_bias", 1, bias)

    def attend(
        self, inputs: Tensor, mask: Tensor | None, training: bool
    ) -> tuple[Tensor, Any]:
        spatial = self._gate(
            self._position_logits(
                inputs, self.spatial_kernel, self.spatial_bias
            )
        )
        factors = self._over_channels(spatial)
        if self.combination == "spatial":
            return inputs * factors, (None, spatial)
        channel = self._gates(squeeze(inputs, self.data_format, "avg", mask))
        channel_factors = add_spatial_axes(channel, inputs, self.data_format)
        if self.combination == "max":
            outputs = larger(inputs * channel_factors, inputs * factors)
        elif self.identity_start:
            # Each is halved before the sum, which may overflow. The half of
            # the smallest number is not exact.
            outputs = inputs * (0.5 * channel_factors + 0.5 * factors)
        else:
            # The sum of the factors would be kept for the gradient.
            outputs = inputs * channel_factors + inputs * factors
        return outputs, (channel, spatial)

    def channel_scores(self, gates: Any) -> Tensor:
        if gates[0] is not None:
            return gates[0]
        shape = (ops.shape(gates[1])[0], self._channels)
        return ops.ones(shape, dtype=self.compute_dtype)

    def channel_axes(self) -> dict[str, tuple[int, ...]]:
        axes = {"spatial_kernel": (0,), "spatial_bias": ()}
        if self.combination == "spatial":
            return axes
        return {**super().channel_axes(), **axes}

    def config_for_channels(self, channels: int) -> dict[str, Any]:
        if self.combination == "spatial":
            return {}
        return super().config_for_channels(channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "combination": self.combination}

    def attention_macs(self, spatial: tuple[int, ...], channels: int) -> int:
        positions = math.prod(spatial) * channels
        if self.combination == "spatial":
            return positions
        return positions + self.excitation_macs(channels)

    def expand(self, expansion: Any, inputs: Any) -> Any:
        axis, pairs = self._channel_axis, []
        # The weights of both keep their order.
        if self.combination != "spatial":
            pairs = [[inputs, expansion.channel_gates(inputs, "avg")]]
        logits = expansion.dense(
            "spatial",
            ops.moveaxis(inputs, axis, -1),
            self.spatial_kernel,
            self.spatial_bias,
        )
        gates = expansion.gates(logits, "spatial_gate")
        pairs.append([inputs, ops.moveaxis(gates, -1, axis)])
        if self.combination == "spatial":
            return expansion.result(keras.layers.Multiply, *pairs)
        combine = keras.layers.Add
        if self.combination == "max":
            combine = keras.layers.Maximum
        elif self.identity_start:
            combine = keras.layers.Average
        products = [
            expansion.apply(keras.layers.Multiply, role, pair)
            for role, pair in zip(("channels", "positions"), pairs, strict=True)
        ]
        return expansion.result(combine, products)

    def torch_weights(self) -> TorchWeights:
        spatial: TorchWeights = {
            "sSE.0.weight": (self.spatial_kernel, matrix_from_torch),
            "sSE.0.bias": (self.spatial_bias, vector_from_torch),
        }
        if self.combination == "spatial":
            return spatial
        return {
            **{
                name.replace("fc1", "cSE.1").replace("fc2", "cSE.3"): pair
                for name, pair in super().torch_weights().items()
            },
            **spatial,
        }
