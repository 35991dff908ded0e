"""Squeeze-and-Excitation with one linear map."""

import keras

from keras_channel_attn.arguments import positive_integer
from keras_channel_attn.backend import grouped_linear
from keras_channel_attn.layers.affine_attention import AffineAttention


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class LinearSqueezeExcite(AffineAttention):
    """Squeeze-and-Excitation without a bottleneck: gates from one linear map.

        y = x * gate(z W + b),    z = squeeze(x)

    `W` is block-diagonal, with `groups` blocks. These are the variants of table
    2 in [ECA-Net](https://arxiv.org/abs/1910.03151) (Wang et al., 2020), which
    says that narrowing the channels costs accuracy:

    - `groups=1`: a full matrix, SE-Var3;
    - `groups=channels`: one weight for each channel, SE-Var2;
    - any other divisor of the channels: SE-GC.

    With `use_bias=True, gate_activation="hard_sigmoid"` it is the eSE of
    [CenterMask](https://arxiv.org/abs/1911.06667) (Lee and Park, 2020).

    Args:
        groups: Positive integer that divides the channels: channels of
            different groups do not see each other. Defaults to `1`.
        use_bias: Boolean, whether the map has a bias. Defaults to `False`.
        gate_activation: Name or callable, the gate. Defaults to `"sigmoid"`.
        pooling: `"avg"`, `"max"`, `"avg_max"`, half the sum of both, or
            `"avg+max"`, both excited by the same weights and added before the
            gate. Defaults to `"avg"`.
        identity_start: Boolean. If `True`, the layer returns its input exactly
            until it has been trained: the map starts at zero, and the gates
            are divided by `gate(0)`. Made for putting attention into a network
            that is trained already. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        kernel_initializer: Initializer of the kernel. Defaults to
            `"lecun_uniform"`, for numbers that depend on how many channels
            one gate sees, and not on how many gates there are.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the kernel. Defaults to `None`.
        bias_regularizer: Regularizer of the bias. Defaults to `None`.
        kernel_constraint: Constraint on the kernel. Defaults to `None`.
        bias_constraint: Constraint on the bias. Defaults to `None`.
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
        `kernel` `(channels // groups, channels)`, that of a grouped
        `keras.layers.Conv1D` without its first axis: block `g` is in columns
        `g * channels // groups` and following. `bias` `(channels,)`, only with
        `use_bias=True`.

    Raises:
        TypeError, ValueError: For an argument that is not one of the above;
            if `identity_start` is combined with a gate that is zero at zero
            (`tanh`, `relu`) or not elementwise (`softmax`); on a call, if the
            input has a rank below 3 or an unknown or changed number of
            channels, or one that `groups` does not divide, or the mask another
            shape.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = LinearSqueezeExcite(groups=16)
    >>> y, scores = layer(x, return_attention_scores=True)
    >>> tuple(y.shape), tuple(scores.shape), layer.count_params()
    ((2, 56, 56, 64), (2, 64), 256)
    """

    def __init__(
        self,
        groups=1,
        use_bias=False,
        gate_activation="sigmoid",
        pooling="avg",
        identity_start=False,
        data_format=None,
        kernel_initializer="lecun_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(
            gate_activation,
            pooling,
            identity_start,
            data_format,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.groups = positive_integer("groups", groups)

    def build_excitation(self, channels):
        if channels % self.groups:
            raise ValueError(
                "`groups` must divide the number of channels. Received: "
                f"groups={self.groups} for {channels} channels. Use one of "
                f"{[n for n in range(1, channels + 1) if channels % n == 0]}."
            )
        kernel, bias = "zeros", "zeros"
        if not self.identity_start:
            kernel, bias = self.kernel_initializer, self.bias_initializer
        self.kernel = self._add_kernel(
            "kernel", (channels // self.groups, channels), kernel
        )
        self.bias = self._add_bias("bias", channels, bias)

    def excite(self, descriptor):
        return grouped_linear(descriptor, self.kernel, self.bias)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
