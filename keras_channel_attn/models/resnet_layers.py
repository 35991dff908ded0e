"""The layers that residual networks are made of, as torch computes them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras import layers


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A square convolution without biases."""

    filters: int
    size: int
    stride: int = 1
    groups: int = 1


@dataclasses.dataclass(frozen=True)
class Layers:
    """Applies new layers, which share the settings of one network."""

    data_format: str
    dtype: Any
    antialias: bool

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
        return self.apply(layers.Activation, x, name, activation="relu")

    def average_pooling(self, x: Any, name: str, padding: str = "valid") -> Any:
        return self.apply(
            layers.AveragePooling2D, x, name, pool_size=2, padding=padding
        )

    def convolution(
        self, x: Any, convolution: Convolution, names: Sequence[str]
    ) -> Any:
        """Convolution and normalization."""
        padding = "same"
        if convolution.stride > 1 and convolution.size > 1:
            # torch pads both sides equally, padding="same" of Keras does not.
            x = self.apply(
                layers.ZeroPadding2D,
                x,
                f"{names[0]}_pad",
                padding=convolution.size // 2,
            )
            padding = "valid"
        x = self.apply(
            layers.Conv2D,
            x,
            names[0],
            filters=convolution.filters,
            kernel_size=convolution.size,
            strides=convolution.stride,
            padding=padding,
            groups=convolution.groups,
            use_bias=False,
            kernel_initializer="he_normal",
        )
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
        """Convolution, normalization and ReLU.

        With antialiasing, an average of 2x2 at the end replaces the stride.
        """
        averages = self.antialias and convolution.stride > 1
        if averages:
            convolution = dataclasses.replace(convolution, stride=1)
        x = self.convolution(x, convolution, names)
        x = self.activation(x, f"{names[1]}_act")
        return self.average_pooling(x, f"{names[1]}_aa") if averages else x
