"""Efficient Channel Attention."""

import math
from typing import Any

import keras
import numpy as np

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import (
    boolean,
    finite_number,
    odd_integer,
    one_of,
)
from keras_channel_attn.backend import channel_convolution
from keras_channel_attn.layers.channel_attention import ChannelAttention
from keras_channel_attn.layers.torch_arrays import TorchWeights
from keras_channel_attn.layers.weighted_attention import WeightedAttention
from keras_channel_attn.ops import adaptive_kernel_size

_PADDINGS = ("zeros", "circular")


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class EfficientChannelAttention(WeightedAttention, ChannelAttention):
    """Efficient Channel Attention: a 1-D convolution along the channels.

        y = x * gate(conv1d(z, kernel)),    z = squeeze(x)

    The gate of a channel depends on `k` channels: the channel itself and its
    neighbors. All channels share one kernel of `k` weights. There is no bias
    and no bottleneck. See eq. 7 of
    [ECA-Net](https://arxiv.org/abs/1910.03151) (Wang et al., 2020). With
    `shared_kernel=False` each channel has its own `k` weights: ECA-NS in table
    2 of the paper.

    Args:
        kernel_size: Positive odd integer, the number of weights `k`. Defaults
            to `None`: it is computed from the number of channels by the rule in
            fig. 3 of the paper,
            `t = int(abs((log2(channels) + b) / gamma))`, then `t` if it is
            odd, else `t + 1`. With the default `gamma` and `b` this is 1 for
            up to 7 channels, 3 for up to 127, 5 for up to 2047 and 7 for up to
            32767. Some libraries use at least 3; this layer does not.
        gamma: Number above zero, slope of that rule. Defaults to `2`.
        b: Number, offset of that rule. Defaults to `1`.
        padding: `"zeros"`, or `"circular"`, with which the first and the last
            channel are neighbors. Defaults to `"zeros"`.
        gate_activation: Name or callable, the activation that returns the
            gates. Defaults to `"sigmoid"`.
        pooling: How the spatial positions are pooled: `"avg"`, `"max"`,
            `"avg_max_mean"`, which is the mean of both, or
            `"avg_max_separate"`, which applies the same weights to each of
            both and adds the two results before the gate. Defaults to `"avg"`.
        identity_start: Boolean. If `True`, the layer returns its input
            unchanged until it is trained: the kernel starts at zero, and the
            gates are divided by `gate(0)`. Use it to insert attention into a
            trained network. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        kernel_initializer: Initializer of the kernel. Defaults to
            `"lecun_uniform"`: its range depends on the number of channels that
            one gate is computed from, and not on the number of gates.
        kernel_regularizer: Regularizer of the kernel. Defaults to `None`.
        kernel_constraint: Constraint on the kernel. Defaults to `None`.
        shared_kernel: Boolean, whether all channels share one kernel. Defaults
            to `True`.
        learning_rate_multiplier: Number above zero, or `"auto"`. The layer
            stores each weight divided by it and computes with the product, the
            effective weight, as [StyleGAN](https://arxiv.org/abs/1812.04948)
            does with its equalized learning rate. Outputs before training are
            the same for every value. In a step of Adam the change of an
            effective weight is multiplied by it, in a step of SGD by its
            square. Initializers, regularizers, constraints and saved files use
            effective weights. The weight decay of an optimizer, `get_weights`
            and `set_weights` use stored weights. Defaults to `"auto"`: 32 with
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
        `kernel` `(kernel_size, 1, 1)`, the shape that `keras.layers.Conv1D`
        uses. With `shared_kernel=False` it is `(kernel_size, channels)`.

    Raises:
        TypeError, ValueError: If an argument has a wrong type or value, or if
            `identity_start=True` and `gate_activation` is zero at zero (`tanh`,
            `relu`) or not elementwise (`softmax`). On a call, if the rank of
            the input is below 3, if a spatial axis has size 0, if the number of
            channels is unknown or has changed since the layer was built, or if
            the mask has a wrong shape.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = EfficientChannelAttention()
    >>> y, scores = layer(x, return_attention_scores=True)
    >>> tuple(y.shape), tuple(scores.shape), layer.count_params()
    ((2, 56, 56, 64), (2, 64), 3)
    """

    # A gate is computed from few numbers.
    automatic_multiplier = 32

    def __init__(
        self,
        kernel_size: int | None = None,
        gamma: float = 2,
        b: float = 1,
        padding: str = "zeros",
        gate_activation: Any = "sigmoid",
        pooling: str = "avg",
        identity_start: bool = False,
        data_format: str | None = None,
        kernel_initializer: Any = "lecun_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        shared_kernel: bool = True,
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
                "kernel_regularizer": kernel_regularizer,
                "kernel_constraint": kernel_constraint,
            },
            learning_rate_multiplier=learning_rate_multiplier,
            **kwargs,
        )
        self.kernel_size = kernel_size
        if kernel_size is not None:
            self.kernel_size = odd_integer("kernel_size", kernel_size)
        self.gamma = finite_number("gamma", gamma, positive=True)
        self.b = finite_number("b", b)
        self.padding = one_of("padding", padding, _PADDINGS)
        self.shared_kernel = boolean("shared_kernel", shared_kernel)

    def build_excitation(self, channels: int) -> None:
        size = self.kernel_size or adaptive_kernel_size(
            channels, self.gamma, self.b
        )
        self.kernel = self._add_kernel(
            "kernel",
            (size, 1, 1) if self.shared_kernel else (size, channels),
            "zeros" if self.identity_start else self.kernel_initializer,
        )

    def excite(self, descriptor: Tensor) -> Tensor:
        kernel = self.effective_weight(self.kernel)
        return channel_convolution(descriptor, kernel, self.padding)

    def channel_axes(self) -> dict[str, tuple[int, ...]]:
        return {"kernel": () if self.shared_kernel else (1,)}

    def config_for_channels(self, channels: int) -> dict[str, Any]:
        # The rule would give fewer channels a shorter kernel.
        return {"kernel_size": self.kernel.shape[0]}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "gamma": self.gamma,
            "b": self.b,
            "padding": self.padding,
            "shared_kernel": self.shared_kernel,
        }

    def excitation_macs(self, features: int) -> int:
        return self.kernel.shape[0] * features

    def expand_excitation(self, expansion: Any, descriptor: Any) -> Any:
        size = self.kernel.shape[0]
        channels = math.prod(descriptor.shape[1:])
        # The channels are the columns of an image with one row.
        x = expansion.with_shape(descriptor, (1, channels, 1), "channels_row")
        is_padded = self.padding == "circular" or not self.shared_kernel
        if is_padded:
            x = self._expand_padding(expansion, x, channels, size // 2)
        if self.shared_kernel:
            x = expansion.convolve(
                "convolution",
                x,
                self.kernel,
                filters=1,
                kernel_size=(1, size),
                padding="valid" if is_padded else "same",
            )
            return expansion.with_shape(x, (1, 1, channels), "channels_last")
        windows = [
            _crop(expansion, f"window_{tap}", x, (tap, size - 1 - tap))
            for tap in range(size)
        ]
        x = expansion.apply(keras.layers.Concatenate, "windows", windows)
        x = expansion.apply(
            keras.layers.Permute, "channels_last", x, dims=(3, 1, 2)
        )
        return expansion.convolve(
            "convolution", x, self.kernel, kernel_size=(size, 1)
        )

    def _expand_padding(
        self, expansion: Any, row: Any, channels: int, width: int
    ) -> Any:
        """Continue a row of channels on both sides."""
        if self.padding == "zeros":
            return expansion.apply(
                keras.layers.ZeroPadding2D,
                "pad",
                row,
                padding=((0, 0), (width, width)),
                data_format="channels_last",
            )
        # The kernel may be wider than the number of channels.
        repeats = -(-width // channels)
        row = expansion.apply(
            keras.layers.Concatenate,
            "repeat",
            [row] * (2 * repeats + 1),
            axis=2,
        )
        excess = repeats * channels - width
        return _crop(expansion, "pad", row, (excess, excess))

    def torch_weights(self) -> TorchWeights:
        return {"conv.weight": (self.kernel, self._taps_from_torch)}

    def _taps_from_torch(self, array: np.ndarray) -> np.ndarray | None:
        """From `(kernels, 1, taps)`: one kernel, or one for each channel."""
        if array.ndim != 3 or array.shape[1] != 1:
            return None
        return array.transpose(2, 1, 0) if self.shared_kernel else array[:, 0].T


def _crop(expansion: Any, role: str, row: Any, width: tuple[int, int]) -> Any:
    return expansion.apply(
        keras.layers.Cropping2D,
        role,
        row,
        cropping=((0, 0), width),
        data_format="channels_last",
    )
