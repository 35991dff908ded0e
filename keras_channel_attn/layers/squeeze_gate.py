"""The squeeze alone, with a gate on it."""

import keras

from keras_channel_attn.layers.channel_attention import ChannelAttention


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class SqueezeGate(ChannelAttention):
    """Channel attention without weights: the gate of each channel's own mean.

        y = x * gate(z),    z = squeeze(x)

    SE-Var1 in table 2 of [ECA-Net](https://arxiv.org/abs/1910.03151) (Wang et
    al., 2020): what attention brings before it learns anything.

    Args:
        gate_activation: Name or callable, the gate. Defaults to `"sigmoid"`.
        pooling: `"avg"`, `"max"`, `"avg_max"`, half the sum of both, or
            `"avg+max"`, the sum of both. Defaults to `"avg"`.
        identity_start: `False`, the only value: without weights nothing could
            start as the identity and be trained. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
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
        None.

    Raises:
        TypeError, ValueError: For an argument that is not one of the above; on
            a call, if the input has a rank below 3 or an unknown or changed
            number of channels, or the mask another shape.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = SqueezeGate()
    >>> y, scores = layer(x, return_attention_scores=True)
    >>> tuple(y.shape), tuple(scores.shape), layer.count_params()
    ((2, 56, 56, 64), (2, 64), 0)
    """

    def __init__(
        self,
        gate_activation="sigmoid",
        pooling="avg",
        identity_start=False,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            gate_activation, pooling, identity_start, data_format, **kwargs
        )
        if self.identity_start:
            raise ValueError(
                "`identity_start` must be False: `SqueezeGate` has no weights "
                "that could start at zero and be trained. Received: "
                "identity_start=True. Leave it out, or use "
                "`LinearSqueezeExcite(groups=channels, identity_start=True)`, "
                "which has one weight for each channel."
            )

    def excite(self, descriptor):
        return descriptor
