"""The mask of a sequence or an image after a convolution or a pooling."""

import functools
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import is_sequence, one_of, positive_integer


def mask_after_convolution(
    mask: Tensor,
    kernel_size: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = "valid",
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """The mask that belongs to the output of a convolution or a pooling.

    The convolutions and poolings of Keras drop the mask. This function computes
    the positions that the layer would have if the sample came alone, without
    its padding:

    - without padding of the layer (`"valid"`): positions whose whole window is
      in the mask;
    - with explicit or causal padding: positions whose window is in the mask,
      apart from the padding;
    - with `"same"`: positions whose first `strides` inputs hold one that is in
      the mask, which is the mask itself without strides.

    Masked positions of the input must be zero where the layer is called, since
    windows overlap: multiply the input by its mask.

    With `padding="same"` and strides, Keras chooses where the first window
    begins by the size of the input. The output then depends on how far a batch
    is padded. Pad to multiples of the product of all strides, or explicitly:
    `keras.layers.ZeroPadding1D(1)` and then a layer with `padding="valid"`,
    for which `padding=1` is the argument here.

    Args:
        mask: Boolean tensor or array `(batch, *spatial)`, `True` at the
            positions that belong to the sample. It may be a symbolic tensor.
        kernel_size: Integer or one integer for each spatial axis, the
            `kernel_size` or `pool_size` of the layer.
        strides: Integer or one integer for each spatial axis. Defaults to `1`.
        padding: `"valid"`, `"same"` or `"causal"`, as the layer has it; or an
            integer, or one for each spatial axis: the number of zeros that are
            added on both sides before a layer with `padding="valid"`. Defaults
            to `"valid"`.
        dilation_rate: Integer or one integer for each spatial axis. Defaults
            to `1`.

    Returns:
        Boolean tensor `(batch, *new_spatial)`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has the wrong value or number of values, or
            if `padding` is half of a window or more.

    Examples:

    A convolution with a kernel of size 3 and strides of 2, on signals of 5 and
    3 positions:

    >>> mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    >>> shorter = mask_after_convolution(mask, 3, strides=2)
    >>> keras.ops.convert_to_numpy(shorter).tolist()
    [[True, True], [True, False]]
    """
    if not hasattr(mask, "shape"):
        raise TypeError(
            "`mask` must be an array or a tensor of shape (batch, *spatial). "
            f"Received: {mask!r} (of type {type(mask).__name__})."
        )
    rank = len(mask.shape) - 1
    if rank < 1:
        raise ValueError(
            "`mask` must have the shape (batch, *spatial), with one or more "
            f"spatial axes. Received: a mask of shape {tuple(mask.shape)}."
        )
    sizes = _one_for_each_axis("kernel_size", kernel_size, rank)
    steps = _one_for_each_axis("strides", strides, rank)
    rates = _one_for_each_axis("dilation_rate", dilation_rate, rank)
    pads = _one_for_each_axis("padding", padding, rank, _standardize_padding)
    mask = ops.convert_to_tensor(mask)
    if keras.backend.standardize_dtype(mask.dtype) != "bool":
        mask = ops.cast(mask, "bool")
    for axis in range(rank):
        mask = _after_axis(
            mask, axis + 1, sizes[axis], steps[axis], pads[axis], rates[axis]
        )
    return mask


def _after_axis(
    mask: Tensor, axis: int, size: int, step: int, padding: Any, rate: int
) -> Tensor:
    def part(start: int, stop: int | None) -> Any:
        return (*[slice(None)] * axis, slice(start, stop, step))

    if padding == "same":
        # Ends with `False`, so that each part has the same length.
        widths = [[0, 0] for _ in mask.shape]
        widths[axis][1] = step - 1
        mask = ops.pad(mask, widths)
        taps, combine = list(range(step)), ops.logical_or
        window = step
    else:
        extent = (size - 1) * rate + 1
        ends = extent - 1 if padding == "causal" else 2 * padding
        # The positions of a window that are not in the padding at either end.
        window = extent - ends
        if window < 1:
            raise ValueError(
                "`padding` must be less than half of a window, which is "
                f"{extent} positions wide. Received: padding={padding}."
            )
        taps, combine = (
            [*range(0, window - 1, rate), window - 1],
            ops.logical_and,
        )
    parts = [
        mask[part(tap, tap + 1 - window if tap + 1 < window else None)]
        for tap in taps
    ]
    return functools.reduce(combine, parts)


def _one_for_each_axis(
    name: str, value: Any, rank: int, check: Any = positive_integer
) -> list[Any]:
    if not is_sequence(value):
        return [check(name, value)] * rank
    if len(value) != rank:
        raise ValueError(
            f"`{name}` must be one value, or one for each of the {rank} "
            f"spatial axes of `mask`. Received: {name}={value!r}."
        )
    return [check(name, entry) for entry in value]


def _standardize_padding(name: str, value: Any) -> Any:
    """A string, or the number of zeros on each side."""
    if isinstance(value, str):
        value = one_of(name, value, ("valid", "same", "causal"))
        return 0 if value == "valid" else value
    is_integer = isinstance(value, numbers.Integral)
    if not is_integer or isinstance(value, bool) or value < 0:
        raise (ValueError if is_integer else TypeError)(
            "`padding` must be 'valid', 'same', 'causal', or the number of "
            f"zeros on each side. Received: padding={value!r} (of type "
            f"{type(value).__name__})."
        )
    return operator.index(value)
