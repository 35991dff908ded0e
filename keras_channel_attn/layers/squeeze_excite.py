"""Squeeze-and-Excitation."""

import keras

from keras_channel_attn.arguments import positive_integer, resolved
from keras_channel_attn.backend import bottleneck
from keras_channel_attn.layers.affine_attention import AffineAttention
from keras_channel_attn.ops import bottleneck_width


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class SqueezeExcite(AffineAttention):
    """Squeeze-and-Excitation: gates from a two-layer map of all channels.

        y = x * gate(activation(z W1 + b1) W2 + b2),    z = squeeze(x)

    `W1` narrows the channels by `reduction`, `W2` widens them again. From
    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507)
    (Hu et al., 2018), eq. 3.

    There are no biases by default: the journal text of the paper says that
    removing them helps on ResNets. The weights that its authors released, and
    most other published ones, have them: pass `use_bias=True` for those.

    Args:
        reduction: Positive integer, the factor by which the bottleneck is
            narrower than the input: `channels // reduction` units, at least
            one. Defaults to `16`.
        bottleneck_units: Positive integer, the width of the bottleneck
            itself, in place of `reduction` and `divisor`. Defaults to `None`.
        divisor: Positive integer. Above 1, the width is
            `channels / reduction` rounded to the nearest multiple of it, at
            least `divisor` (timm rounds to 8). Defaults to `1`.
        activation: Name or callable, between the two maps. Defaults to
            `"relu"`.
        use_bias: Boolean, whether both maps have a bias. Defaults to `False`.
        gate_activation: Name or callable, the gate. Defaults to `"sigmoid"`.
        pooling: `"avg"`, `"max"`, `"avg_max"`, half the sum of both, or
            `"avg+max"`, both excited by the same weights and added before the
            gate: the channel branch of
            [CBAM](https://arxiv.org/abs/1807.06521). Defaults to `"avg"`.
        identity_start: Boolean. If `True`, the layer returns its input exactly
            until it has been trained: the second map starts at zero, and the
            gates are divided by `gate(0)`. Made for putting attention into a
            network that is trained already. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        kernel_initializer: Initializer of both kernels; they never start with
            the same random numbers, also if it has a seed. Defaults to
            `"glorot_uniform"`.
        bias_initializer: Initializer of both biases. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of both kernels. Defaults to `None`.
        bias_regularizer: Regularizer of both biases. Defaults to `None`.
        kernel_constraint: Constraint on both kernels. Defaults to `None`.
        bias_constraint: Constraint on both biases. Defaults to `None`.
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
        `reduce_kernel` `(channels, units)`, `reduce_bias` `(units,)`,
        `expand_kernel` `(units, channels)`, `expand_bias` `(channels,)`, in
        this order; the biases only with `use_bias=True`.

    Raises:
        TypeError, ValueError: For an argument that is not one of the above;
            if `identity_start` is combined with a gate that is zero at zero
            (`tanh`, `relu`) or not elementwise (`softmax`); on a call, if the
            input has a rank below 3 or an unknown or changed number of
            channels, or the mask another shape.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = SqueezeExcite(reduction=16)
    >>> y, scores = layer(x, return_attention_scores=True)
    >>> tuple(y.shape), tuple(scores.shape), layer.count_params()
    ((2, 56, 56, 64), (2, 64), 512)
    """

    def __init__(
        self,
        reduction=16,
        bottleneck_units=None,
        divisor=1,
        activation="relu",
        use_bias=False,
        gate_activation="sigmoid",
        pooling="avg",
        identity_start=False,
        data_format=None,
        kernel_initializer="glorot_uniform",
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
        self.reduction = positive_integer("reduction", reduction)
        self.bottleneck_units = bottleneck_units
        if bottleneck_units is not None:
            self.bottleneck_units = positive_integer(
                "bottleneck_units", bottleneck_units
            )
        self.divisor = positive_integer("divisor", divisor)
        self.activation = resolved(
            "activation", activation, keras.activations.get
        )

    def build_excitation(self, channels):
        units = self.bottleneck_units or bottleneck_width(
            channels, self.reduction, self.divisor
        )
        expand_kernel, expand_bias = "zeros", "zeros"
        if not self.identity_start:
            expand_kernel = _other_numbers(self.kernel_initializer)
            expand_bias = self.bias_initializer
        # The order of these weights is the order in every saved file.
        self.reduce_kernel = self._add_kernel(
            "reduce_kernel", (channels, units), self.kernel_initializer
        )
        self.reduce_bias = self._add_bias(
            "reduce_bias", units, self.bias_initializer
        )
        self.expand_kernel = self._add_kernel(
            "expand_kernel", (units, channels), expand_kernel
        )
        self.expand_bias = self._add_bias("expand_bias", channels, expand_bias)

    def excite(self, descriptor):
        return bottleneck(
            descriptor,
            self.reduce_kernel,
            self.reduce_bias,
            self.expand_kernel,
            self.expand_bias,
            self.activation,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "bottleneck_units": self.bottleneck_units,
            "divisor": self.divisor,
            "activation": keras.activations.serialize(self.activation),
        }


def _other_numbers(initializer):
    """The same distribution as `initializer`, drawn with another seed.

    Keras' initializers are stateless: one object used twice gives two kernels
    of the same fans the same numbers, and a copy of a seeded one does so too.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    if config["seed"] is None:
        return initializer.clone()
    if isinstance(config["seed"], int):
        return type(initializer).from_config(
            {**config, "seed": config["seed"] + 1}
        )
    # A SeedGenerator draws other numbers each time by itself.
    return initializer
