"""Efficient Channel Attention."""

import keras

from keras_channel_attn.arguments import (
    boolean,
    finite_number,
    odd_integer,
    one_of,
)
from keras_channel_attn.backend import channel_convolution
from keras_channel_attn.layers.kernel_attention import KernelAttention
from keras_channel_attn.ops import adaptive_kernel_size

_PADDINGS = ("zeros", "circular")


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class EfficientChannelAttention(KernelAttention):
    """Efficient Channel Attention: gates from each channel's neighbours.

        y = x * gate(conv1d(z, kernel)),    z = squeeze(x)

    One kernel of `k` taps slides along the channel axis, without a bias and
    without narrowing the channels: `k` weights in all. From
    [ECA-Net](https://arxiv.org/abs/1910.03151) (Wang et al., 2020), eq. 7.
    With `shared_kernel=False` each channel has `k` taps of its own, the ECA-NS
    of its table 2.

    Args:
        kernel_size: Positive odd integer, the number of taps. Defaults to
            `None`: chosen from the channels by the rule of the paper's fig. 3,
            `t = int(abs((log2(channels) + b) / gamma))`, then `t` if odd, else
            `t + 1`. The rule gives 1 for up to 7 channels, 3 up to 127, 5 up
            to 2047, 7 up to 32767; some libraries clamp it at 3, this one
            does not.
        gamma: Number above zero, slope of the rule. Defaults to `2`.
        b: Number, offset of the rule. Defaults to `1`.
        padding: `"zeros"`, or `"circular"`, which takes the first and the last
            channel for neighbours. Defaults to `"zeros"`.
        gate_activation: Name or callable, the gate. Defaults to `"sigmoid"`.
        pooling: `"avg"`, `"max"`, `"avg_max"`, half the sum of both, or
            `"avg+max"`, both excited by the same weights and added before the
            gate. Defaults to `"avg"`.
        identity_start: Boolean. If `True`, the layer returns its input exactly
            until it has been trained: the kernel starts at zero, and the gates
            are divided by `gate(0)`. Made for putting attention into a network
            that is trained already. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        kernel_initializer: Initializer of the kernel. Defaults to
            `"lecun_uniform"`, for numbers that depend on how many channels
            one gate sees, and not on how many gates there are.
        kernel_regularizer: Regularizer of the kernel. Defaults to `None`.
        kernel_constraint: Constraint on the kernel. Defaults to `None`.
        shared_kernel: Boolean, whether all channels share one kernel. Defaults
            to `True`.
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

    Weights:
        `kernel` `(kernel_size, 1, 1)`, the layout of `keras.layers.Conv1D`;
        with `shared_kernel=False` `(kernel_size, channels)`.

    Raises:
        TypeError, ValueError: For an argument that is not one of the above;
            if `identity_start` is combined with a gate that is zero at zero
            (`tanh`, `relu`) or not elementwise (`softmax`); on a call, if the
            input has a rank below 3 or an unknown or changed number of
            channels, or the mask another shape.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = EfficientChannelAttention()
    >>> y, scores = layer(x, return_attention_scores=True)
    >>> tuple(y.shape), tuple(scores.shape), layer.count_params()
    ((2, 56, 56, 64), (2, 64), 3)
    """

    def __init__(
        self,
        kernel_size=None,
        gamma=2,
        b=1,
        padding="zeros",
        gate_activation="sigmoid",
        pooling="avg",
        identity_start=False,
        data_format=None,
        kernel_initializer="lecun_uniform",
        kernel_regularizer=None,
        kernel_constraint=None,
        shared_kernel=True,
        **kwargs,
    ):
        super().__init__(
            gate_activation,
            pooling,
            identity_start,
            data_format,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            **kwargs,
        )
        self.kernel_size = kernel_size
        if kernel_size is not None:
            self.kernel_size = odd_integer("kernel_size", kernel_size)
        self.gamma = finite_number("gamma", gamma, positive=True)
        self.b = finite_number("b", b)
        self.padding = one_of("padding", padding, _PADDINGS)
        self.shared_kernel = boolean("shared_kernel", shared_kernel)

    def build_excitation(self, channels):
        size = self.kernel_size or adaptive_kernel_size(
            channels, self.gamma, self.b
        )
        self.kernel = self._add_kernel(
            "kernel",
            (size, 1, 1) if self.shared_kernel else (size, channels),
            "zeros" if self.identity_start else self.kernel_initializer,
        )

    def excite(self, descriptor):
        return channel_convolution(descriptor, self.kernel, self.padding)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "gamma": self.gamma,
            "b": self.b,
            "padding": self.padding,
            "shared_kernel": self.shared_kernel,
        }
