"""Image preprocessing of the published networks, as a layer."""

import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.arguments import (
    data_format_or_global,
    finite_number,
    one_of,
    positive_integer,
)
from keras_channel_attn.models.resizing import (
    keras_functions,
    resize_and_crop,
    tensorflow_functions,
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
        standard_deviation: Tuple of floats above zero, the standard deviation
            of the same values. Defaults to that of ImageNet.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`.

    Call arguments:
        inputs: Tensor of images, integers or floats, with values from 0 to
            255. (Multiply images that are scaled to 0 to 1 by 255.) The
            computation uses `float32`; the output has the layer's compute
            dtype. In a `tf.data` pipeline the layer works on every backend.

    Input shape:
        `(batch, height, width, channels)` or, with
        `data_format="channels_first"`, `(batch, channels, height, width)`.
        All but `channels` may be `None`.

    Output shape:
        The input shape with `size` as height and width.

    Raises:
        TypeError, ValueError: If an argument is invalid; when called, if the
            input does not have rank 4, has no pixels, or has another number of
            channels than `mean`.

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

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        # `Layer.__call__` converts the inputs to tensors of the backend, which
        # is impossible for a tensor of a `tf.data` pipeline. The layers of
        # Keras that work there derive from a class that is not public, so
        # this layer does what they do: TensorFlow computes.
        if _is_in_tensorflow_graph(inputs):
            return self._prepare(inputs, tensorflow_functions())
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any) -> Any:
        return self._prepare(inputs, keras_functions())

    def _prepare(self, inputs: Any, functions: Any) -> Any:
        self._check(inputs.shape)
        channels_last = self.data_format == "channels_last"
        # From -128 to 127: see `resizing`.
        x = functions.cast(inputs, "float32") - 128
        if channels_last:
            x = functions.transpose(x, (0, 3, 1, 2))
        x = resize_and_crop(
            x,
            self.size,
            int(self.size / self.crop),
            self.interpolation,
            functions,
        )
        mean, deviation = (
            255 * np.array(shares, "float32")[:, None, None]
            for shares in (self.mean, self.standard_deviation)
        )
        mean = functions.convert_to_tensor(mean - 128)
        deviation = functions.convert_to_tensor(deviation)
        x = functions.cast((x - mean) / deviation, self.compute_dtype)
        return functions.transpose(x, (0, 2, 3, 1)) if channels_last else x

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
        output_shape = [input_shape[0], self.size, self.size]
        output_shape.insert(self._channel_axis, len(self.mean))
        return tuple(output_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "data_format": self.data_format,
        }


def _per_channel(name: str, values: Any, positive: bool) -> tuple[float, ...]:
    if isinstance(values, (str, bytes)) or np.ndim(values) != 1:
        raise TypeError(
            f"`{name}` must be a tuple of numbers, one for each channel. "
            f"Received: {name}={values!r} (of type {type(values).__name__})."
        )
    return tuple(
        finite_number(f"{name}[{index}]", value, positive)
        for index, value in enumerate(values)
    )


def _is_in_tensorflow_graph(inputs: Any) -> bool:
    """Whether Keras has another backend than that of the symbolic `inputs`."""
    tensorflow = sys.modules.get("tensorflow")
    return (
        keras.config.backend() != "tensorflow"
        and tensorflow is not None
        and isinstance(inputs, tensorflow.Tensor)
        and not tensorflow.executing_eagerly()
    )
