"""The layers that the networks are made of, as torch computes them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras import layers


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A square convolution."""

    filters: int
    size: int
    stride: int = 1
    groups: int = 1


def unit_names(name: str) -> tuple[str, str]:
    """Names of a convolution and its normalization, as in most of timm."""
    return f"{name}_conv", f"{name}_bn"


@dataclasses.dataclass(frozen=True)
class Layers:
    """Applies new layers, which share the settings of one network."""

    data_format: str
    dtype: Any
    antialias: bool = False
    activation_name: str = "relu"

    @property
    def channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1

    def apply(
        self, kind: type[layers.Layer], x: Any, name: str, **arguments: Any
    ) -> Any:
        """What a new layer of the class `kind` computes from `x`."""
        # The layers of Keras that have spatial axes name them.
        if kind.__name__.endswith("2D"):
            arguments["data_format"] = self.data_format
        return kind(**arguments, dtype=self.dtype, name=name)(x)

    def activation(self, x: Any, name: str) -> Any:
        return self.apply(
            layers.Activation, x, name, activation=self.activation_name
        )

    def average_pooling(self, x: Any, name: str, padding: str = "valid") -> Any:
        return self.apply(
            layers.AveragePooling2D, x, name, pool_size=2, padding=padding
        )

    def max_pooling(self, x: Any, name: str, padding: Any) -> Any:
        """The maxima of 3x3 values that a ReLU returned, with a stride of 2.

        The zeros of the padding do not change them.
        """
        x = self.apply(layers.ZeroPadding2D, x, f"{name}_pad", padding=padding)
        return self.apply(layers.MaxPooling2D, x, name, pool_size=3, strides=2)

    def convolution_alone(
        self,
        x: Any,
        convolution: Convolution,
        name: str,
        kind: type[layers.Layer] = layers.Conv2D,
        **arguments: Any,
    ) -> Any:
        """Convolution without normalization, and by default without biases.

        Args:
            x: Tensor.
            convolution: Convolution. If the class is `DepthwiseConv2D`, which
                has a filter for each channel, its size and stride alone.
            name: String, name of the layer.
            kind: Class of the layer. Defaults to `keras.layers.Conv2D`.
            **arguments: Other arguments of the class.
        """
        padding = "same"
        if convolution.stride > 1 and convolution.size > 1:
            # torch pads both sides equally, padding="same" of Keras does not.
            x = self.apply(
                layers.ZeroPadding2D,
                x,
                f"{name}_pad",
                padding=convolution.size // 2,
            )
            padding = "valid"
        own: dict[str, Any] = {"depthwise_initializer": "he_normal"}
        if kind is not layers.DepthwiseConv2D:
            own = {
                "filters": convolution.filters,
                "groups": convolution.groups,
                "kernel_initializer": "he_normal",
            }
        return self.apply(
            kind,
            x,
            name,
            kernel_size=convolution.size,
            strides=convolution.stride,
            padding=padding,
            **{"use_bias": False, **own, **arguments},
        )

    def convolution(
        self, x: Any, convolution: Convolution, names: Sequence[str]
    ) -> Any:
        """Convolution and normalization."""
        x = self.convolution_alone(x, convolution, names[0])
        return self.apply(
            layers.BatchNormalization,
            x,
            names[1],
            axis=self.channel_axis,
            epsilon=1e-5,
            momentum=0.9,
        )

    def convolution_unit(
        self, x: Any, convolution: Convolution, names: Sequence[str]
    ) -> Any:
        """Convolution, normalization and activation.

        With antialiasing, an average of 2x2 at the end replaces the stride.
        """
        averages = self.antialias and convolution.stride > 1
        if averages:
            convolution = dataclasses.replace(convolution, stride=1)
        x = self.convolution(x, convolution, names)
        x = self.activation(x, f"{names[1]}_act")
        return self.average_pooling(x, f"{names[1]}_aa") if averages else x
