"""The convolution of networks without normalization."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_channel_attn.arguments import finite_number, keras_object


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class ScaledStandardizedConv2D(keras.layers.Conv2D):
    """A convolution whose kernel is standardized at each call.

        y = conv2d(x, s * (kernel - mean) / sqrt(variance + epsilon)) + bias,
        s = activation_gain * gain / sqrt(n)

    The mean and the variance are those of the `n` weights that one output
    channel is computed from, and `gain` is a weight for each output channel. It
    replaces batch normalization in NFNets. See eq. 1 of
    [Characterizing signal propagation](https://arxiv.org/abs/2101.08692) (Brock
    et al., 2021).

    Args:
        filters, kernel_size: As in `keras.layers.Conv2D`.
        activation_gain: Number above zero, the inverse of the standard
            deviation of the activation before this layer, for normal inputs.
            Defaults to `1`.
        epsilon: Number above zero, added to the variance. Defaults to `1e-5`.
        gain_initializer: Initializer of `gain`. Defaults to `"ones"`.
        **kwargs: Other arguments of `keras.layers.Conv2D`.

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)` or, with
            `data_format="channels_first"`, `(batch, channels, height, width)`.

    Input shape:
        That of `keras.layers.Conv2D`.

    Output shape:
        That of `keras.layers.Conv2D`.

    Weights:
        `kernel` `(height, width, channels // groups, filters)`, which is not
        standardized, `bias` `(filters,)` with `use_bias=True`, and `gain`
        `(filters,)`.

    Raises:
        TypeError, ValueError: If an argument is invalid.

    Examples:

    >>> layer = ScaledStandardizedConv2D(8, 3, padding="same")
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape)
    (1, 5, 5, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        *,
        activation_gain: float = 1,
        epsilon: float = 1e-5,
        gain_initializer: Any = "ones",
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, **kwargs)
        self.activation_gain = finite_number(
            "activation_gain", activation_gain, positive=True
        )
        self.epsilon = finite_number("epsilon", epsilon, positive=True)
        self.gain_initializer = keras_object(
            "gain_initializer", gain_initializer, keras.initializers.get
        )

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.gain = self.add_weight(
            name="gain",
            shape=(self.filters,),
            initializer=self.gain_initializer,
        )

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, self._standardized(kernel))

    def _standardized(self, kernel: Any) -> Any:
        # The variance of small weights is too small for 16 bits.
        is_half = self.compute_dtype in ("float16", "bfloat16")
        wide = "float32" if is_half else self.compute_dtype
        kernel, gain = ops.cast(kernel, wide), ops.cast(self.gain, wide)
        axes = (0, 1, 2)
        difference = kernel - ops.mean(kernel, axes, keepdims=True)
        variance = ops.mean(difference * difference, axes, keepdims=True)
        height, width, inputs, _ = kernel.shape
        scale = self.activation_gain * (height * width * inputs) ** -0.5
        factors = scale * gain * ops.rsqrt(variance + self.epsilon)
        return ops.cast(difference * factors, self.compute_dtype)

    # A convolution of Keras saves its kernel and its bias only.

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        # Keras saves layers that are not built, too.
        if self.built:
            store[self._key_of_gain()] = self.gain

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        if self.built:
            self.gain.assign(store[self._key_of_gain()])

    def _key_of_gain(self) -> str:
        return "2" if self.use_bias else "1"

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation_gain": self.activation_gain,
            "epsilon": self.epsilon,
            "gain_initializer": keras.initializers.serialize(
                self.gain_initializer
            ),
        }
