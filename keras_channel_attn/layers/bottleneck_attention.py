"""The base class of the layers that have a bottleneck."""

import math
from typing import Any

import keras

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import (
    boolean,
    keras_object,
    positive_integer,
    positive_integer_or_none,
)
from keras_channel_attn.backend import bottleneck
from keras_channel_attn.layers.torch_arrays import (
    TorchWeights,
    matrix_from_torch,
    vector_from_torch,
)
from keras_channel_attn.layers.weighted_attention import WeightedAttention
from keras_channel_attn.ops import bottleneck_width
from keras_channel_attn.warnings_to_user import warn


class BottleneckAttention(WeightedAttention):
    """Attention that computes the gates of channels by way of a bottleneck.

        excite(z) = activation(z W1 + b1) W2 + b2

    Args:
        reduction, bottleneck_units, divisor, activation, use_bias: As in
            `SqueezeExcite`.
        **kwargs: Arguments of the other base classes.
    """

    expand_kernel: Any
    expand_bias: Any

    def __init__(
        self,
        reduction: int,
        bottleneck_units: int | None,
        divisor: int,
        activation: Any,
        use_bias: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_bias = boolean("use_bias", use_bias)
        self.reduction = positive_integer("reduction", reduction)
        self.bottleneck_units = positive_integer_or_none(
            "bottleneck_units", bottleneck_units
        )
        self.divisor = positive_integer("divisor", divisor)
        self.activation = keras_object(
            "activation", activation, keras.activations.get
        )

    def build_excitation(self, channels: int) -> None:
        # Saved files store the weights in this order.
        units = self._add_reduction(channels)
        self._add_expansion(units, channels)

    def _add_reduction(self, channels: int) -> int:
        """Create the first map, and return the width of the bottleneck."""
        units = self.bottleneck_units or bottleneck_width(
            channels, self.reduction, self.divisor
        )
        given_width = self.bottleneck_units is not None or self.divisor > 1
        if self.reduction > channels and not given_width:
            # In KerasCV, the first argument is the number of channels:
            # `SqueezeAndExcite2D(64)` is not `SqueezeExcite(64)`.
            warn(
                f"{type(self).__name__} {self.name!r}: `reduction` is "
                f"{self.reduction} and the input has {channels} channels, so "
                f"the bottleneck has one unit. `reduction` is the factor by "
                f"which the bottleneck is narrower than the input, not a "
                f"number of channels. Pass a smaller `reduction`, or the width "
                f"of the bottleneck as `bottleneck_units`."
            )
        self.reduce_kernel = self._add_kernel(
            "reduce_kernel", (channels, units), self.kernel_initializer
        )
        self.reduce_bias = self._add_bias(
            "reduce_bias", units, self.bias_initializer
        )
        return units

    def _add_expansion(
        self, units: int, channels: int, number: int | None = None
    ) -> None:
        """Create the second map, or one of several."""
        kernel, bias = "zeros", "zeros"
        if not self.identity_start:
            kernel = self._initializer(1 + (number or 0))
            bias = self.bias_initializer
        end = "" if number is None else f"_{number}"
        name = f"expand_kernel{end}"
        setattr(self, name, self._add_kernel(name, (units, channels), kernel))
        name = f"expand_bias{end}"
        setattr(self, name, self._add_bias(name, channels, bias))

    def _initializer(self, number: int) -> Any:
        """The initializer of a kernel, different for each number."""
        initializer = self.kernel_initializer
        for _ in range(number):
            initializer = _reseed(initializer)
        return initializer

    def excite(self, descriptor: Tensor) -> Tensor:
        return bottleneck(
            descriptor,
            self.effective_weight(self.reduce_kernel),
            self.effective_weight(self.reduce_bias),
            self.effective_weight(self.expand_kernel),
            self.effective_weight(self.expand_bias),
            self._activation_of_bottleneck(),
        )

    def _activation_of_bottleneck(self) -> Any:
        """The function that is applied between the two maps."""
        return self.activation

    def channel_axes(self) -> dict[str, tuple[int, ...]]:
        return {
            "reduce_kernel": (0,),
            "reduce_bias": (),
            "expand_kernel": (1,),
            "expand_bias": (0,),
        }

    def config_for_channels(self, channels: int) -> dict[str, Any]:
        # The bottleneck stays as wide as it is.
        return {"bottleneck_units": self.reduce_kernel.shape[-1]}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "bottleneck_units": self.bottleneck_units,
            "divisor": self.divisor,
            "use_bias": self.use_bias,
            "activation": keras.activations.serialize(self.activation),
        }

    def excitation_macs(self, features: int) -> int:
        kernels = (self.reduce_kernel, self.expand_kernel)
        return sum(math.prod(kernel.shape) for kernel in kernels)

    def expand_excitation(self, expansion: Any, descriptor: Any) -> Any:
        channels, units = self.reduce_kernel.shape
        x = expansion.with_shape(descriptor, (1, 1, channels), "channels_last")
        x = expansion.convolve(
            "reduce",
            x,
            self.reduce_kernel,
            self.reduce_bias,
            filters=units,
            kernel_size=1,
            activation=self.activation,
        )
        return expansion.convolve(
            "expand",
            x,
            self.expand_kernel,
            self.expand_bias,
            filters=channels,
            kernel_size=1,
        )

    def torch_weights(self) -> TorchWeights:
        return {
            "fc1.weight": (self.reduce_kernel, matrix_from_torch),
            "fc1.bias": (self.reduce_bias, vector_from_torch),
            "fc2.weight": (self.expand_kernel, matrix_from_torch),
            "fc2.bias": (self.expand_bias, vector_from_torch),
        }


def _reseed(initializer: Any) -> Any:
    """An initializer with the same distribution and a different seed.

    Keras initializers are stateless: if one object, or a copy with the same
    seed, initializes two kernels of the same size, both get the same numbers.
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
    # A `SeedGenerator` returns new numbers at each use.
    return initializer
