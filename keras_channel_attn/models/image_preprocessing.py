"""From photographs to what a published network was trained on."""

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

    The shorter side becomes `floor(size / crop)` pixels, with antialiasing, and
    the middle `size x size` is taken, pixel by pixel as timm and torchvision
    do it with Pillow, up to a step of 255 at ties. Images that are more than
    twice as tall as wide differ a little from Pillow 13, which takes their
    height first.

    Args:
        size: Integer, height and width of the result in pixels. Defaults to
            `224`.
        crop: Float above 0 and up to 1, the share of the shorter side that the
            crop keeps. Defaults to `0.875`.
        interpolation: `"bilinear"` or `"bicubic"`. Defaults to `"bicubic"`.
        mean: Tuple of floats, one for each channel, for values between 0 and
            1. Defaults to ImageNet's.
        standard_deviation: As `mean`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`.

    Call arguments:
        inputs: Tensor of images with values from 0 to 255, integers or floats:
            multiply by 255 what is scaled to 0 to 1. They are computed with in
            `float32`, and the result has the layer's compute dtype. In a
            `tf.data` pipeline on the TensorFlow backend only.

    Input shape:
        `(batch, height, width, channels)` or, with
        `data_format="channels_first"`, `(batch, channels, height, width)`.
        All but `channels` may be `None`.

    Output shape:
        The input's, with `size` for height and width.

    Raises:
        TypeError, ValueError: For an argument that is not one of the above; on
            a call, if the input has another rank or another number of
            channels than `mean`.

    Examples:

    >>> photographs = np.zeros((2, 300, 400, 3), "uint8")
    >>> tuple(ImagePreprocessing(224)(photographs).shape)
    (2, 224, 224, 3)
    """

    def __init__(
        self,
        size=224,
        crop=0.875,
        interpolation="bicubic",
        mean=IMAGENET_MEAN,
        standard_deviation=IMAGENET_STANDARD_DEVIATION,
        data_format=None,
        **kwargs,
    ):
        # Pixels above 256 have no place in the smaller floating point formats.
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

    def call(self, inputs):
        self._check(inputs.shape)
        x = self._resize_and_crop(ops.cast(inputs, "float32"))
        x = (x - self._pixels(self.mean)) / self._pixels(
            self.standard_deviation
        )
        return ops.cast(x, self.compute_dtype)

    def _pixels(self, shares):
        """A number for each channel, as a tensor that meets images."""
        shape = [1, 1, 1, 1]
        shape[self._channel_axis] = len(shares)
        pixels = 255 * np.reshape(np.array(shares, "float32"), shape)
        return ops.convert_to_tensor(pixels)

    def _resize_and_crop(self, x):
        """Both in one step: only pixels that are kept are computed."""
        shape = list(ops.shape(x))
        sides = {axis: shape[axis] for axis in self._spatial_axes}
        least = _minimum(*sides.values())
        shorter = int(self.size / self.crop)
        # As Pillow: the width first, and whole pixels after each of the two.
        for axis in reversed(self._spatial_axes):
            side = sides[axis]
            # The rules of torchvision.
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
            # A half goes up, as in Pillow, and not to the even neighbour.
            x = ops.floor(ops.clip(x, 0.0, 255.0) + 0.5)
        return x

    def _check(self, shape):
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
                f"{type(self).__name__} needs images of one pixel or more. "
                f"Received an input of shape {tuple(shape)}."
            )

    def compute_output_shape(self, input_shape):
        self._check(input_shape)
        output_shape = list(input_shape)
        for axis in self._spatial_axes:
            output_shape[axis] = self.size
        return tuple(output_shape)

    def get_config(self):
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


def _per_channel(name, values, positive):
    if isinstance(values, (str, bytes)) or np.ndim(values) != 1:
        raise TypeError(
            f"`{name}` must be a tuple of numbers, one for each channel. "
            f"Received: {name}={values!r} (of type {type(values).__name__})."
        )
    return tuple(finite_number(name, value, positive) for value in values)


def _minimum(one, other):
    """Of two sizes, which are tensors where TensorFlow does not know them."""
    if isinstance(one, int) and isinstance(other, int):
        return min(one, other)
    return ops.minimum(one, other)


def _vector(size):
    return ops.reshape(ops.cast(size, "float32"), (1,))
