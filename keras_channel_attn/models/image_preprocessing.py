"""Image preprocessing of the published networks, as a layer."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_channel_attn.arguments import (
    data_format_or_global,
    finite_number,
    one_of,
    positive_integer,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STANDARD_DEVIATION = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="keras_channel_attn")
class ImagePreprocessing(keras.layers.Layer):
    """Resizes, crops and normalizes images as published networks expect.

        y = (center_crop(resize(x)) / 255 - mean) / standard_deviation

    The image is resized with antialiasing so that its shorter side has
    `floor(size / crop)` pixels, then its center of `size x size` is cropped.
    The pixels are those of timm and torchvision with Pillow; rounding differs
    by at most 1 of 255. For images that are more than twice as tall as wide the
    difference to Pillow 13 is larger, because it resizes their height first.

    Args:
        size: Integer, height and width of the output in pixels. Defaults to
            `224`.
        crop: Float above 0 and up to 1, the fraction of the shorter side that
            the crop keeps. Defaults to `0.875`.
        interpolation: `"bilinear"` or `"bicubic"`. Defaults to `"bicubic"`.
        mean: Tuple of floats, one for each channel, the mean of pixel values
            scaled to the range 0 to 1. Defaults to the mean of ImageNet.
        standard_deviation: Tuple of floats, the standard deviation of the same
            values. Defaults to that of ImageNet.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`.

    Call arguments:
        inputs: Tensor of images, integers or floats, with values from 0 to
            255. (Multiply images that are scaled to 0 to 1 by 255.) The
            computation uses `float32`; the output has the layer's compute
            dtype. The layer works in a `tf.data` pipeline only if the backend
            is TensorFlow.

    Input shape:
        `(batch, height, width, channels)` or, with
        `data_format="channels_first"`, `(batch, channels, height, width)`.
        All but `channels` may be `None`.

    Output shape:
        The input shape with `size` as height and width.

    Raises:
        TypeError, ValueError: If an argument is invalid; when called, if the
            input does not have rank 4 or has another number of channels than
            `mean`.

    Examples:

    >>> photographs = np.zeros((2, 300, 400, 3), "uint8")
    >>> tuple(ImagePreprocessing(224)(photographs).shape)
    (2, 224, 224, 3)
    """

    def __init__(
        self,
        size: int = 224,
        crop: float = 0.875,
        interpolation: str = "bicubic",
        mean: Sequence[float] = IMAGENET_MEAN,
        standard_deviation: Sequence[float] = IMAGENET_STANDARD_DEVIATION,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Autocasting to float16 or bfloat16 would round the pixel values.
        super().__init__(autocast=False, **kwargs)
        self.size = positive_integer("size", size)
        self.crop = finite_number("crop", crop, positive=True)
        if crop > 1:
            raise ValueError(f"`crop` must be at most 1. Received: crop={crop}")
        self.interpolation = one_of(
            "interpolation", interpolation, ("bilinear", "bicubic")
        )
        self.mean = _per_channel("mean", mean, positive=False)
        self.standard_deviation = _per_channel(
            "standard_deviation", standard_deviation, positive=True
        )
        if len(self.mean) != len(self.standard_deviation):
            raise ValueError(
                "`mean` and `standard_deviation` must have one number for each "
                f"channel. Received: mean={mean} and "
                f"standard_deviation={standard_deviation}."
            )
        self.data_format = data_format_or_global(data_format)
        self._channel_axis = 1 if self.data_format == "channels_first" else 3
        self._spatial_axes = (2, 3) if self._channel_axis == 1 else (1, 2)

    def call(self, inputs: Any) -> Any:
        self._check(inputs.shape)
        x = self._resize_and_crop(ops.cast(inputs, "float32"))
        x = (x - self._pixels(self.mean)) / self._pixels(
            self.standard_deviation
        )
        return ops.cast(x, self.compute_dtype)

    def _pixels(self, shares: Sequence[float]) -> Any:
        """`shares` of 255, as a tensor that broadcasts over images."""
        shape = [1, 1, 1, 1]
        shape[self._channel_axis] = len(shares)
        pixels = 255 * np.reshape(np.array(shares, "float32"), shape)
        return ops.convert_to_tensor(pixels)

    def _resize_and_crop(self, x: Any) -> Any:
        """Both in one step, so that only the cropped pixels are computed."""
        shape = list(ops.shape(x))
        sides = {axis: shape[axis] for axis in self._spatial_axes}
        least = _minimum(*sides.values())
        shorter = int(self.size / self.crop)
        # As in Pillow: the width first, and integer pixels after each axis.
        for axis in reversed(self._spatial_axes):
            side = sides[axis]
            # The rules of torchvision for the size and the crop.
            resized = shorter * side // least
            excess = resized - self.size
            half = excess // 2
            # The half of an odd number is rounded to the even neighbour.
            offset = half + (excess % 2) * (half % 2)
            shape[axis] = self.size
            x = ops.image.scale_and_translate(
                x,
                shape,
                _vector(resized) / _vector(side),
                -_vector(offset),
                (axis,),
                self.interpolation,
                antialias=True,
            )
            # Pillow rounds a half up, `ops.round` to the even neighbour.
            x = ops.floor(ops.clip(x, 0.0, 255.0) + 0.5)
        return x

    def _check(self, shape: Sequence[int | None]) -> None:
        channels = len(self.mean)
        if len(shape) != 4 or shape[self._channel_axis] != channels:
            raise ValueError(
                f"{type(self).__name__} needs a batch of images with "
                f"{channels} channels in axis {self._channel_axis}: "
                f"data_format={self.data_format!r}. Received an input of shape "
                f"{tuple(shape)}."
            )
        if 0 in tuple(shape)[1:]:
            raise ValueError(
                f"{type(self).__name__} needs images of at least one pixel. "
                f"Received an input of shape {tuple(shape)}."
            )

    def compute_output_shape(
        self, input_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        self._check(input_shape)
        output_shape = list(input_shape)
        for axis in self._spatial_axes:
            output_shape[axis] = self.size
        return tuple(output_shape)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            size=self.size,
            crop=self.crop,
            interpolation=self.interpolation,
            mean=self.mean,
            standard_deviation=self.standard_deviation,
            data_format=self.data_format,
        )
        return config


def _per_channel(name: str, values: Any, positive: bool) -> tuple[float, ...]:
    if isinstance(values, (str, bytes)) or np.ndim(values) != 1:
        raise TypeError(
            f"`{name}` must be a tuple of numbers, one for each channel. "
            f"Received: {name}={values!r} (of type {type(values).__name__})."
        )
    return tuple(finite_number(name, value, positive) for value in values)


def _minimum(one: Any, other: Any) -> Any:
    """Of two sizes, which are tensors in a TensorFlow graph of unknown size."""
    if isinstance(one, int) and isinstance(other, int):
        return min(one, other)
    return ops.minimum(one, other)


def _vector(size: Any) -> Any:
    return ops.reshape(ops.cast(size, "float32"), (1,))
