"""The layers that residual networks are made of, as torch computes them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A square convolution without biases."""

    filters: int
    size: int
    stride: int = 1
    groups: int = 1


@dataclasses.dataclass(frozen=True)
class Layers:
    """Applies new layers, which share the settings of one network.

    Each method takes a tensor and the name of the new layer, and returns what
    the layer computes.
    """

    data_format: str
    dtype: Any
    antialias: bool

    def channels(self, x: Any) -> int:
        return x.shape[1 if self.data_format == "channels_first" else -1]

    def convolution(self, x: Any, convolution: Convolution, name: str) -> Any:
        padding = "same"
        if convolution.stride > 1 and convolution.size > 1:
            # torch pads both sides equally, padding="same" of Keras does not.
            x = self.zero_padding(x, convolution.size // 2, f"{name}_pad")
            padding = "valid"
        return keras.layers.Conv2D(
            convolution.filters,
            convolution.size,
            strides=convolution.stride,
            padding=padding,
            groups=convolution.groups,
            use_bias=False,
            kernel_initializer="he_normal",
            data_format=self.data_format,
            dtype=self.dtype,
            name=name,
        )(x)

    def normalization(self, x: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(
            axis=1 if self.data_format == "channels_first" else -1,
            epsilon=1e-5,
            momentum=0.9,
            dtype=self.dtype,
            name=name,
        )(x)

    def activation(self, x: Any, name: str) -> Any:
        return keras.layers.Activation("relu", dtype=self.dtype, name=name)(x)

    def addition(self, tensors: list[Any], name: str) -> Any:
        return keras.layers.Add(dtype=self.dtype, name=name)(tensors)

    def zero_padding(self, x: Any, padding: Any, name: str) -> Any:
        return keras.layers.ZeroPadding2D(
            padding, data_format=self.data_format, dtype=self.dtype, name=name
        )(x)

    def max_pooling(self, x: Any, name: str) -> Any:
        return keras.layers.MaxPooling2D(
            3,
            strides=2,
            data_format=self.data_format,
            dtype=self.dtype,
            name=name,
        )(x)

    def average_pooling(self, x: Any, name: str, padding: str = "valid") -> Any:
        return keras.layers.AveragePooling2D(
            2,
            padding=padding,
            data_format=self.data_format,
            dtype=self.dtype,
            name=name,
        )(x)

    def global_pooling(self, x: Any, pooling: str) -> Any:
        kind = {
            "avg": keras.layers.GlobalAveragePooling2D,
            "max": keras.layers.GlobalMaxPooling2D,
        }[pooling]
        return kind(
            data_format=self.data_format,
            dtype=self.dtype,
            name=f"{pooling}_pool",
        )(x)

    def dense(self, x: Any, units: int, activation: Any, name: str) -> Any:
        return keras.layers.Dense(
            units, activation=activation, dtype=self.dtype, name=name
        )(x)

    def convolution_unit(
        self, x: Any, convolution: Convolution, names: Sequence[str]
    ) -> Any:
        """Convolution, normalization and ReLU.

        With antialiasing, an average of 2x2 at the end replaces the stride.
        """
        averages = self.antialias and convolution.stride > 1
        if averages:
            convolution = dataclasses.replace(convolution, stride=1)
        x = self.convolution(x, convolution, names[0])
        x = self.normalization(x, names[1])
        x = self.activation(x, f"{names[1]}_act")
        if averages:
            x = self.average_pooling(x, f"{names[1]}_aa")
        return x
