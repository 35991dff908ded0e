"""Squeeze-and-Excitation."""

from typing import Any

import keras

from keras_channel_attn.layers.bottleneck_attention import BottleneckAttention
from keras_channel_attn.layers.channel_attention import ChannelAttention


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class SqueezeExcite(BottleneckAttention, ChannelAttention):
    """Squeeze-and-Excitation: the gates are computed by two dense maps.

        y = x * gate(activation(z W1 + b1) W2 + b2),    z = squeeze(x)

    `W1` maps the channels to a bottleneck, which is narrower by the factor
    `reduction`; `W2` maps the bottleneck back to the channels. See eq. 3 of
    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507)
    (Hu et al., 2018).

    By default the maps have no biases: the journal version of the paper says
    that removing them helps on ResNets. The weights that its authors released,
    and most other published weights, have biases; pass `use_bias=True` to load
    such weights.

    Args:
        reduction: Positive integer, the factor by which the bottleneck is
            narrower than the input: `channels // reduction` units, at least
            one. Defaults to `16`.
        bottleneck_units: Positive integer, the width of the bottleneck. If it
            is given, `reduction` and `divisor` are not used. Defaults to
            `None`.
        divisor: Positive integer. If it is above 1, the width of the bottleneck
            is `channels / reduction` rounded to the nearest multiple of
            `divisor`, at least `divisor`. timm uses 8. Defaults to `1`.
        activation: Name or callable, applied between the two maps. Defaults to
            `"relu"`.
        use_bias: Boolean, whether both maps have a bias. Defaults to `False`.
        gate_activation: Name or callable, the activation that returns the
            gates. Defaults to `"sigmoid"`.
        pooling: How the spatial positions are pooled: `"avg"`, `"max"`,
            `"avg_max_mean"`, which is the mean of both, or
            `"avg_max_separate"`, which applies the same weights to each of
            both and adds the two results before the gate, as the channel
            branch of [CBAM](https://arxiv.org/abs/1807.06521) does. Defaults
            to `"avg"`.
        identity_start: Boolean. If `True`, the layer returns its input
            unchanged until it is trained: the second map starts at zero, and
            the gates are divided by `gate(0)`. Use it to insert attention into
            a trained network. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        kernel_initializer: Initializer of both kernels. The two kernels get
            different random numbers, even if the initializer has a seed.
            Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of both biases. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of both kernels. Defaults to `None`.
        bias_regularizer: Regularizer of both biases. Defaults to `None`.
        kernel_constraint: Constraint on both kernels. Defaults to `None`.
        bias_constraint: Constraint on both biases. Defaults to `None`.
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
        `reduce_kernel` `(channels, units)`, `reduce_bias` `(units,)`,
        `expand_kernel` `(units, channels)`, `expand_bias` `(channels,)`, in
        this order. The biases exist only with `use_bias=True`.

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
    >>> layer = SqueezeExcite(reduction=16)
    >>> y, scores = layer(x, return_attention_scores=True)
    >>> tuple(y.shape), tuple(scores.shape), layer.count_params()
    ((2, 56, 56, 64), (2, 64), 512)
    """

    def __init__(
        self,
        reduction: int = 16,
        bottleneck_units: int | None = None,
        divisor: int = 1,
        activation: Any = "relu",
        use_bias: bool = False,
        gate_activation: Any = "sigmoid",
        pooling: str = "avg",
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
