"""Factors of channels, carried through layers that commute with them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    is_from_keras,
    is_operation,
    rules_by_name,
    stated_channel_axis,
)

# Whether functions of each channel alone are linear. The others are linear for
# factors that are not negative.
_IS_LINEAR = rules_by_name(
    (True, "Identity Dropout GaussianDropout SpatialDropout{}D"),
    (True, "AveragePooling{}D GlobalAveragePooling{}D UpSampling{}D"),
    (True, "ZeroPadding{}D Cropping{}D Reshape Flatten Permute"),
    (False, "ReLU LeakyReLU PReLU Activation"),
    (False, "MaxPooling{}D GlobalMaxPooling{}D"),
)
# Layers whose channels are the last axis, most without a data format.
_CHANNELS_LAST = ("UpSampling1D", "ZeroPadding1D", "Cropping1D")
_HOMOGENEOUS_FUNCTIONS = [
    getattr(keras.activations, name)
    for name in ("relu", "leaky_relu")
    if hasattr(keras.activations, name)
]


class NotFolded(Exception):
    """Why a factor does not become part of weights: half a sentence."""


class Scale(NamedTuple):
    """A number for each position along one axis of a tensor.

    Attributes:
        axis: Positive integer.
        factors: Array with what the positions are multiplied by.
        terms: Array with what is added to them afterwards.
    """

    axis: int
    factors: Any
    terms: Any

    @property
    def adds(self) -> bool:
        """Whether something is added."""
        return bool(np.any(self.terms))


def scale_beside(call: Call, scale: Scale, is_forward: bool) -> Scale:
    """The scale on the other side of a call that has the effect of one.

    Args:
        call: `Call`.
        scale: `Scale` of its input if `is_forward`, or else of its output.
        is_forward: Boolean, whether the scale of the output is returned, or
            that of the input.

    Raises:
        NotFolded: If there is none.
    """
    _check_commutes(call, scale)
    pool = call.operation
    if not type(pool).__name__.startswith("Global"):
        return _rearranged(call, scale, is_forward)
    axis = channel_axis(pool, call.inputs[0])
    axes = axis, axis if pool.keepdims else 1
    own, other = axes if is_forward else axes[::-1]
    if scale.axis != own:
        elsewhere = "has its channels elsewhere"
        what = "pools the channels" if is_forward else elsewhere
        raise NotFolded(f"'{call.path}' {what}")
    return Scale(other, scale.factors, scale.terms)


def channel_axis(layer: Any, tensor: Any) -> int:
    """The axis of a tensor that is the channels for a layer: if none, last."""
    rank = len(tensor.shape)
    axis = stated_channel_axis(layer, rank)
    return rank - 1 if axis is None else axis


def check_function(call: Call, function: Any, scale: Scale) -> None:
    """Raise `NotFolded` if an activation does not commute with a scale."""
    if function in (None, keras.activations.linear):
        return
    if function not in _HOMOGENEOUS_FUNCTIONS:
        name = getattr(function, "__name__", type(function).__name__)
        raise NotFolded(f"'{call.path}' has the activation '{name}'")
    _check_positive(call, scale)


def is_layer_of_keras(operation: Any) -> bool:
    """Whether it is a layer that computes what its class of Keras computes."""
    return (
        isinstance(operation, keras.layers.Layer)
        and is_from_keras(type(operation))
        and "call" not in vars(operation)
    )


def _check_commutes(call: Call, scale: Scale) -> None:
    operation, name = call.operation, type(call.operation).__name__
    if scale.adds:
        raise NotFolded(f"numbers are added, and '{call.path}' is between")
    if len(call.inputs) != 1 or len(call.outputs) != 1:
        raise NotFolded(f"'{call.path}' combines several tensors")
    if is_operation(operation, "relu"):
        return _check_positive(call, scale)
    if not (is_layer_of_keras(operation) and name in _IS_LINEAR):
        raise NotFolded(f"'{call.path}' (of type {name}) does not commute")
    if operation.activity_regularizer is not None:
        raise NotFolded(f"'{call.path}' has an activity regularizer")
    if name == "Activation":
        check_function(call, operation.activation, scale)
    elif not _IS_LINEAR[name]:
        _check_positive(call, scale)
    if name == "ReLU" and (
        operation.max_value is not None or operation.threshold
    ):
        raise NotFolded(f"'{call.path}' has a threshold or a maximum")


def _check_positive(call: Call, scale: Scale) -> None:
    if (np.asarray(scale.factors) < 0).any():
        raise NotFolded(f"'{call.path}' is not linear for negative gates")


def _rearranged(call: Call, scale: Scale, is_forward: bool) -> Scale:
    """The scale on the other side of a layer that keeps or moves axes."""
    move = _movement(call)
    if move is None:
        layer = call.operation
        has_format = hasattr(layer, "data_format")
        is_last = type(layer).__name__ in _CHANNELS_LAST
        axis = channel_axis(layer, call.inputs[0])
        if (has_format or is_last) and scale.axis != axis:
            raise NotFolded(f"'{call.path}' has its channels elsewhere")
        return scale
    before, after = (
        tuple(tensor.shape[1:]) for tensor in (*call.inputs, *call.outputs)
    )
    if None in (*before, *after):
        raise NotFolded(f"'{call.path}' has unknown sizes")
    # Where each number of the output comes from.
    origins = move(np.arange(np.prod(before, dtype=int)).reshape(before))
    if is_forward:
        positions = _positions_along(before, scale.axis)[origins.reshape(-1)]
        shape = after
    else:
        positions = np.empty(origins.size, int)
        positions[origins.reshape(-1)] = _positions_along(after, scale.axis)
        shape = before
    positions = positions.reshape(shape)
    for axis in sorted(range(len(shape)), key=lambda axis: shape[axis])[::-1]:
        rows = np.moveaxis(positions, axis, 0).reshape(shape[axis], -1)
        if (rows == rows[:, :1]).all():
            return Scale(
                axis + 1, scale.factors[rows[:, 0]], scale.terms[rows[:, 0]]
            )
    raise NotFolded(f"'{call.path}' mixes channels with other axes")


def _movement(call: Call) -> Callable[[Any], Any] | None:
    """What a layer does with an array of one sample, if it moves axes."""
    layer, name = call.operation, type(call.operation).__name__
    if name == "Permute":
        return lambda array: array.transpose([axis - 1 for axis in layer.dims])
    if name == "Flatten" and layer.data_format == "channels_first":
        return lambda array: np.moveaxis(array, 0, -1).reshape(-1)
    if name in ("Flatten", "Reshape"):
        shape = tuple(call.outputs[0].shape[1:])
        return lambda array: array.reshape(shape)
    return None


def _positions_along(shape: tuple[int, ...], axis: int) -> Any:
    """For each number of an array, flat, its position along an axis."""
    return np.indices(shape)[axis - 1].reshape(-1)
