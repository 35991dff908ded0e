"""Squeeze-and-Excitation with one linear map."""

import math
from typing import Any

import keras

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import boolean, positive_integer
from keras_channel_attn.backend import grouped_linear
from keras_channel_attn.layers.channel_attention import ChannelAttention
from keras_channel_attn.layers.torch_arrays import (
    TorchWeights,
    matrix_from_torch,
    vector_from_torch,
)
from keras_channel_attn.layers.weighted_attention import WeightedAttention


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class LinearSqueezeExcite(WeightedAttention, ChannelAttention):
    """Squeeze-and-Excitation with one linear map, without a bottleneck.

        y = x * gate(z W + b),    z = squeeze(x)

    `W` is block-diagonal, with `groups` blocks.
    [ECA-Net](https://arxiv.org/abs/1910.03151) (Wang et al., 2020) says that a
    bottleneck reduces the accuracy, and compares these variants in its table 2:

    - `groups=1`: `W` is a full matrix, SE-Var3.
    - `groups=-1`: as many groups as channels, so that each channel has one
      weight, SE-Var2.
    - Any other divisor of the number of channels: SE-GC.

    With `use_bias=True, gate_activation="hard_sigmoid"` this layer is the eSE
    of [CenterMask](https://arxiv.org/abs/1911.06667) (Lee and Park, 2020).

    Args:
        groups: Positive integer that divides the number of channels, or `-1`
            for as many groups as channels. A gate depends only on the channels
            of its own group. Defaults to `1`.
        use_bias: Boolean, whether the map has a bias. Defaults to `False`.
        gate_activation: Name or callable, the activation that returns the
            gates. Defaults to `"sigmoid"`.
        pooling: How the spatial positions are pooled: `"avg"`, `"max"`,
            `"avg_max_mean"`, which is the mean of both, or
            `"avg_max_separate"`, which applies the same weights to each of
            both and adds the two results before the gate. Defaults to `"avg"`.
        identity_start: Boolean. If `True`, the layer returns its input
            unchanged until it is trained: the map starts at zero, and the gates
            are divided by `gate(0)`. Use it to insert attention into a trained
            network. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        kernel_initializer: Initializer of the kernel. Defaults to
            `"lecun_uniform"`: its range depends on the number of channels that
            one gate is computed from, and not on the number of gates.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the kernel. Defaults to `None`.
        bias_regularizer: Regularizer of the bias. Defaults to `None`.
        kernel_constraint: Constraint on the kernel. Defaults to `None`.
        bias_constraint: Constraint on the bias. Defaults to `None`.
        learning_rate_multiplier: Number above zero, or `"auto"`. The layer
            stores each weight divided by it and computes with the product, the
            effective weight, as [StyleGAN](https://arxiv.org/abs/1812.04948)
            does with its equalized learning rate. Outputs before training are
            the same for every value. In a step of Adam the change of an
            effective weight is multiplied by it, in a step of SGD by its
            square. Initializers, regularizers, constraints and saved files use
            effective weights. The weight decay of an optimizer, `get_weights`
            and `set_weights` use stored weights. Defaults to `"auto"`: 8 with
            an identity start, else 1.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`.

    Call arguments:
        inputs: Tensor of rank 3 or more. Integers are cast to the compute
            dtype.
        mask: Boolean tensor `(batch, *spatial)`. Positions that are `False` are
            excluded from pooling: their values have no effect on the gates. The
            gates are applied to all positions. If the inputs carry a Keras
            mask, Keras passes it to this argument. It is attached to the
            outputs, except with `data_format="channels_first"`.
        return_attention_scores: Boolean. If `True`, the gates are returned as
            well. Defaults to `False`.

    Input shape:
        `(batch, *spatial, channels)` or, with
        `data_format="channels_first"`, `(batch, channels, *spatial)`, with one
        or more spatial axes. All dimensions except `channels` may be `None`.

    Output shape:
        The same as the input shape. With `return_attention_scores=True`, a
        tuple of two shapes: the input shape and `(batch, channels)`.

    Weights:
        `kernel` `(channels // groups, channels)`, the shape of the kernel of a
        grouped `keras.layers.Conv1D` without its first axis. Block `g` starts
        at column `g * channels // groups`. With `groups=-1` it is
        `(1, channels)`. `bias` `(channels,)` exists only with `use_bias=True`.

    Raises:
        TypeError, ValueError: If an argument has a wrong type or value, or if
            `identity_start=True` and `gate_activation` is zero at zero (`tanh`,
            `relu`) or not elementwise (`softmax`). On a call, if the rank of
            the input is below 3, if a spatial axis has size 0, if the number of
            channels is unknown, is not divisible by `groups` or has changed
            since the layer was built, or if the mask has a wrong shape.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = LinearSqueezeExcite(groups=16)
    >>> y, scores = layer(x, return_attention_scores=True)
    >>> tuple(y.shape), tuple(scores.shape), layer.count_params()
    ((2, 56, 56, 64), (2, 64), 256)
    """

    def __init__(
        self,
        groups: int = 1,
        use_bias: bool = False,
        gate_activation: Any = "sigmoid",
        pooling: str = "avg",
        identity_start: bool = False,
        data_format: str | None = None,
        kernel_initializer: Any = "lecun_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        learning_rate_multiplier: float | str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            gate_activation=gate_activation,
            pooling=pooling,
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
        self.use_bias = boolean("use_bias", use_bias)
        self.groups = positive_integer("groups", groups, or_all=True)

    def build_excitation(self, channels: int) -> None:
        if channels % self.groups:
            raise ValueError(
                "`groups` must divide the number of channels. Received: "
                f"groups={self.groups} for {channels} channels. Use one of "
                f"{[n for n in range(1, channels + 1) if channels % n == 0]}."
            )
        size = 1 if self.groups == -1 else channels // self.groups
        kernel, bias = "zeros", "zeros"
        if not self.identity_start:
            kernel, bias = self.kernel_initializer, self.bias_initializer
        self.kernel = self._add_kernel("kernel", (size, channels), kernel)
        self.bias = self._add_bias("bias", channels, bias)

    def excite(self, descriptor: Tensor) -> Tensor:
        return grouped_linear(
            descriptor,
            self.effective_weight(self.kernel),
            self.effective_weight(self.bias),
            self.kernel.shape,
        )

    def channel_axes(self) -> dict[str, tuple[int, ...]]:
        # With several blocks, axis 0 is the channels of one block, which stay.
        return {
            "kernel": (0, 1) if self.groups == 1 else (1,),
            "bias": (0,),
        }

    def coupled_blocks(self) -> int | None:
        return self.groups if self.groups > 1 else None

    def config_for_channels(self, channels: int) -> dict[str, Any]:
        if self.groups in (1, -1):
            return {}
        return {"groups": channels // self.kernel.shape[0]}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "groups": self.groups,
            "use_bias": self.use_bias,
        }

    def excitation_macs(self, features: int) -> int:
        return math.prod(self.kernel.shape)

    def expand_excitation(self, expansion: Any, descriptor: Any) -> Any:
        size, channels = self.kernel.shape
        x = expansion.with_shape(descriptor, (1, 1, channels), "channels_last")
        grouped = {"filters": channels, "groups": channels // size}
        if size == 1:
            # TensorFlow computes a depthwise convolution faster than one with
            # many groups.
            grouped = {}
        return expansion.convolve(
            "linear", x, self.kernel, self.bias, kernel_size=1, **grouped
        )

    def torch_weights(self) -> TorchWeights:
        return {
            "fc.weight": (self.kernel, matrix_from_torch),
            "fc.bias": (self.bias, vector_from_torch),
        }
