"""What a rule for a kind of layer is, and what all rules share.

A rule takes a `Reading`, a `Call` and the `Channels` of its inputs (`None` for
tensors whose channels all stay), and returns those of its outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Call
from keras_channel_attn.surgery.pruning.reading import Channels, Reading

_layers = keras.layers
Inputs = Sequence[Channels | None]
Outputs = list[Channels | None]
Rule = Callable[[Reading, Call, Inputs], Outputs]

# In `keras.activations` and `keras.ops`; some Keras versions lack a few.
_ELEMENTWISE_NAMES = [
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu"),
    *("silu", "swish", "hard_silu", "hard_swish", "mish", "squareplus"),
    *("sigmoid", "hard_sigmoid", "log_sigmoid", "sparse_sigmoid"),
    *("tanh", "hard_tanh", "tanh_shrink", "hard_shrink", "soft_shrink"),
    *("softplus", "softsign", "sparse_plus", "threshold", "exponential"),
    *("abs", "absolute", "negative", "square", "sqrt", "rsqrt", "reciprocal"),
    *("exp", "expm1", "log", "log1p", "erf", "sign", "sin", "cos"),
]
_ELEMENTWISE_FUNCTIONS = [
    getattr(module, name)
    for module in (keras.activations, keras.ops)
    for name in _ELEMENTWISE_NAMES
    if hasattr(module, name)
]
ELEMENTWISE = [
    *(_layers.ReLU, _layers.LeakyReLU, _layers.ELU, _layers.Identity),
]


def locked(
    reading: Reading,
    call: Call,
    inputs: Inputs,
    what: str = "is of a kind whose channels cannot be followed",
) -> Outputs:
    """All channels of the inputs stay, and all that the call makes."""
    for channels in inputs:
        reading.lock(call, channels, what)
    return [None] * len(call.outputs)


def channel_axis(layer: Any, rank: int) -> int:
    return 1 if layer.data_format == "channels_first" else rank - 1


def input_rank(call: Call) -> int:
    return len(call.inputs[0].shape)


def first_channels(
    reading: Reading, call: Call, inputs: Inputs
) -> Channels | None:
    """The channels of the first input; other tensors must have none."""
    for channels in inputs[1:]:
        reading.lock(call, channels, "takes them as an argument")
    return inputs[0]


def carried_ids(reading: Reading, call: Call, inputs: Inputs, axis: int) -> Any:
    """The channels along the axis of a layer, `None` if all of them stay."""
    channels = first_channels(reading, call, inputs)
    if channels is None or channels.axis != axis:
        reading.lock(call, channels, "has its channels along another axis")
        return None
    reading.note("carriers", call, channels.ids)
    return channels.ids


def tie_within(
    reading: Reading, call: Call, groups: int, *tensors: Any
) -> None:
    """Tie all channels that are in the same part of tensors in equal parts."""
    parts = np.concatenate([ids.reshape(groups, -1) for ids in tensors], axis=1)
    for other in parts.T[:-1]:
        reading.ties.tie(
            parts.T[-1],
            other,
            f"'{call.path}' computes them together with channels that stay",
        )


def check_function(
    reading: Reading, call: Call, channels: Channels, function: Any
) -> None:
    if isinstance(function, _layers.Layer):
        known = type(function) in ELEMENTWISE
    else:
        known = function in _ELEMENTWISE_FUNCTIONS
    if not known:
        name = getattr(function, "__name__", repr(function))
        what = f"has the activation '{name}', which may mix channels"
        reading.lock(call, channels, what)
