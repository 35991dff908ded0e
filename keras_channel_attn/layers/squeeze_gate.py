"""Channel attention without weights."""

import math
from typing import Any

import keras

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.layers.channel_attention import ChannelAttention


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class SqueezeGate(ChannelAttention):
    """Channel attention without weights: the gate of the pooled channel.

        y = x * gate(z),    z = squeeze(x)

    This is SE-Var1 in table 2 of [ECA-Net](https://arxiv.org/abs/1910.03151)
    (Wang et al., 2020). Compare other layers with it to see how much their
    weights contribute.

    Args:
        gate_activation: Name or callable, the activation that returns the
            gates. Defaults to `"sigmoid"`.
        pooling: How the spatial positions are pooled: `"avg"`, `"max"`,
            `"avg_max_mean"`, which is the mean of both, or
            `"avg_max_separate"`, which is the sum of both. Defaults to
            `"avg"`.
        identity_start: Must be `False`: this layer has no weights that could
            start at zero and be trained. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
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
        None.

    Raises:
        TypeError, ValueError: If an argument has a wrong type or value. On a
            call, if the rank of the input is below 3, if a spatial axis has
            size 0, if the number of channels is unknown or has changed since
            the layer was built, or if the mask has a wrong shape.

    Examples:

    >>> x = np.random.normal(size=(2, 56, 56, 64))
    >>> layer = SqueezeGate()
    >>> y, scores = layer(x, return_attention_scores=True)
    >>> tuple(y.shape), tuple(scores.shape), layer.count_params()
    ((2, 56, 56, 64), (2, 64), 0)
    """

    def __init__(
        self,
        gate_activation: Any = "sigmoid",
        pooling: str = "avg",
        identity_start: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            gate_activation, pooling, identity_start, data_format, **kwargs
        )
        if self.identity_start:
            raise ValueError(
                "`identity_start` must be False: `SqueezeGate` has no weights "
                "that could start at zero and be trained. Received: "
                "identity_start=True. Leave it out, or use "
                "`LinearSqueezeExcite(groups=-1, identity_start=True)`, which "
                "has one weight for each channel."
            )

    def excite(self, descriptor: Tensor) -> Tensor:
        return descriptor

    def excitation_macs(self, features: int) -> int:
        return 0

    def expand_excitation(self, expansion: Any, descriptor: Any) -> Any:
        shape = (1, 1, math.prod(descriptor.shape[1:]))
        return expansion.with_shape(descriptor, shape, "channels_last")
