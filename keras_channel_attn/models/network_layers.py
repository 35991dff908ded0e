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
            convolution: Convolution.
            name: String, name of the layer.
            kind: Class of the layer. Defaults to `keras.layers.Conv2D`.
            **arguments: Other arguments of the class.
        """
        x, padding = self._padded(x, convolution.size, convolution.stride, name)
        return self.apply(
            kind,
            x,
            name,
            filters=convolution.filters,
            kernel_size=convolution.size,
            strides=convolution.stride,
            padding=padding,
            groups=convolution.groups,
            **{
                "use_bias": False,
                "kernel_initializer": "he_normal",
                **arguments,
            },
        )

    def depthwise_convolution(
        self, x: Any, size: int, stride: int, name: str
    ) -> Any:
        """Convolution of each channel, without biases and normalization."""
        x, padding = self._padded(x, size, stride, name)
        return self.apply(
            layers.DepthwiseConv2D,
            x,
            name,
            kernel_size=size,
            strides=stride,
            padding=padding,
            use_bias=False,
            depthwise_initializer="he_normal",
        )

    def _padded(
        self, x: Any, size: int, stride: int, name: str
    ) -> tuple[Any, str]:
        """The input, and the argument `padding` for the rest."""
        if stride == 1 or size == 1:
            return x, "same"
        # torch pads both sides equally, padding="same" of Keras does not.
        x = self.apply(
            layers.ZeroPadding2D, x, f"{name}_pad", padding=size // 2
        )
        return x, "valid"

    def normalization(self, x: Any, name: str) -> Any:
        return self.apply(
            layers.BatchNormalization,
            x,
            name,
            axis=self.channel_axis,
            epsilon=1e-5,
            momentum=0.9,
        )

    def convolution(
        self, x: Any, convolution: Convolution, names: Sequence[str]
    ) -> Any:
        """Convolution and normalization."""
        x = self.convolution_alone(x, convolution, names[0])
        return self.normalization(x, names[1])

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
