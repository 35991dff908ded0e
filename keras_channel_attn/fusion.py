"""Squeeze-and-Excitation written as several layers, made one layer again."""

import math

import keras
import numpy as np

from keras_channel_attn import graph
from keras_channel_attn.insertion import checked_model
from keras_channel_attn.layers import SqueezeExcite

_POOLINGS = {
    getattr(keras.layers, f"Global{name}Pooling{rank}D"): pooling
    for name, pooling in (("Average", "avg"), ("Max", "max"))
    for rank in (1, 2, 3)
}
_MAPS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)
_ACTIVATIONS = (
    "linear",
    "relu",
    "relu6",
    "silu",
    "hard_silu",
    "gelu",
    "elu",
    "leaky_relu",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
)


def fuse_squeeze_excite(model):
    """A copy of a network with each Squeeze-and-Excitation as a single layer.

    Keras' own MobileNetV3 and EfficientNet write Squeeze-and-Excitation as a
    global pooling, two dense layers or 1x1 convolutions with their activations
    and a multiplication. Each of these blocks becomes one `SqueezeExcite` with
    the same weights and the name of its multiplication. The copy computes what
    the original does; its attention can be looked at, removed, or replaced: see
    `replace_attention`.

    All other layers keep their names, weights and `trainable` flags. The result
    is not compiled.

    Args:
        model: Functional or sequential model of Keras, built.

    Returns:
        A model of the same class, or a plain functional model where that class
        cannot be made from inputs and outputs.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If it has no graph, is not built, or has no such block.

    Examples:

    >>> model = keras.applications.MobileNetV3Small(
    ...     weights=None, include_top=False, input_shape=(64, 64, 3)
    ... )
    >>> fused = fuse_squeeze_excite(model)
    >>> sum(isinstance(layer, SqueezeExcite) for layer in fused.layers)
    9
    """
    found = []

    def rewrite(call):
        block = _block(call)
        if block is None:
            return None
        found.append(call.path)
        return block.fused()

    copy = graph.rebuild(checked_model(model), rewrite)
    if not found:
        raise ValueError(
            f"`fuse_squeeze_excite` found no block in the model '{model.name}' "
            "that pools over all positions, maps twice and multiplies what it "
            "has pooled. Squeeze-and-Excitation that is one layer needs no "
            "fusion."
        )
    return copy


def _block(call):
    """The block that ends with a call, or `None`."""
    if type(call.operation).__name__ != "Multiply" or len(call.inputs) != 2:
        return None
    first, second = call.inputs
    for inputs, gates in ((first, second), (second, first)):
        calls = call.graph.chain(gates, inputs)
        if calls:
            block = _Block(call, inputs, calls)
            if block.matches():
                return block
    return None


class _Block:
    """Pooling, a map, an activation, another map, a gate."""

    def __init__(self, call, inputs, calls):
        self.name = call.operation.name
        self.inputs = inputs
        self.calls = calls
        self.maps = [
            position
            for position, one in enumerate(calls)
            if graph.kernels(one.operation)
        ]

    def matches(self):
        if type(self.calls[0].operation) not in _POOLINGS:
            return False
        if len(self.maps) != 2 or not self._gates_channels():
            return False
        if not all(self._maps_channels(self.calls[one]) for one in self.maps):
            return False
        first, second = self.maps
        reshaping = _composed(
            self.calls[1:first],
            self.calls[0].outputs[0],
            keras.activations.linear,
        )
        self.activation = _activation(
            self.calls[first], self.calls[first + 1 : second]
        )
        self.gate_activation = _activation(
            self.calls[second], self.calls[second + 1 :]
        )
        return (
            reshaping == "linear"
            and self.activation is not None
            and self.gate_activation is not None
        )

    def _gates_channels(self):
        """Whether the gates are broadcast along the spatial axes alone."""
        shape = list(self.inputs.shape)
        pooling = self.calls[0].operation
        axis = 1 if pooling.data_format == "channels_first" else -1
        expected = [1] * len(shape)
        expected[0], expected[axis] = shape[0], shape[axis]
        return list(self.calls[-1].outputs[0].shape) == expected

    def _maps_channels(self, call):
        """Whether a call is one matrix for a vector of channels."""
        layer, tensor = call.operation, call.inputs[0]
        return (
            type(layer) in _MAPS
            and all(size == 1 for size in layer.kernel.shape[:-2])
            and _channels(tensor, layer) == layer.kernel.shape[-2]
        )

    def fused(self):
        reduce, expand = (self.calls[one].operation for one in self.maps)
        pooling = self.calls[0].operation
        use_bias = reduce.use_bias or expand.use_bias
        layer = SqueezeExcite(
            bottleneck_units=reduce.kernel.shape[-1],
            activation=self.activation,
            use_bias=use_bias,
            gate_activation=self.gate_activation,
            pooling=_POOLINGS[type(pooling)],
            data_format=pooling.data_format,
            kernel_regularizer=reduce.kernel_regularizer,
            bias_regularizer=reduce.bias_regularizer,
            dtype=reduce.dtype_policy,
            name=self.name,
        )
        outputs = layer(self.inputs)
        weights = []
        for one in (reduce, expand):
            weights.append(_matrix(one.kernel))
            if use_bias:
                weights.append(_bias(one))
        layer.set_weights(weights)
        layer.trainable = reduce.trainable
        return outputs


def _channels(tensor, layer):
    """All numbers of one sample, if they stand along the axis of channels."""
    first = getattr(layer, "data_format", None) == "channels_first"
    channels = tensor.shape[1 if first else -1]
    return channels if math.prod(tensor.shape[1:]) == channels else None


def _matrix(kernel):
    array = keras.ops.convert_to_numpy(kernel)
    return array.reshape(array.shape[-2:])


def _bias(layer):
    if layer.use_bias:
        return keras.ops.convert_to_numpy(layer.bias)
    return np.zeros(layer.kernel.shape[-1])


def _activation(mapping, calls):
    """Name of what follows the matrix of a map, or `None`."""
    return _composed(calls, mapping.outputs[0], mapping.operation.activation)


def _composed(calls, tensor, activation):
    """Name of the elementwise function that a chain of calls computes.

    Networks write one function in many ways: it is known by its values.
    """
    # A layer that drops at random has no weights, but variables.
    if any(getattr(call.operation, "variables", ()) for call in calls):
        return None
    points = _points(tensor.shape[1:])
    values = keras.ops.convert_to_numpy(
        activation(keras.ops.convert_to_tensor(points))
    )
    for call in calls:
        values = call.evaluate([values])
    tolerance = 1e-5 if values.dtype == "float32" else 5e-3
    values = values.astype("float32").reshape(len(points), -1)
    for name in _ACTIVATIONS:
        expected = keras.ops.convert_to_numpy(
            keras.activations.get(name)(keras.ops.convert_to_tensor(points))
        )
        if np.allclose(
            values,
            expected.reshape(values.shape),
            rtol=tolerance,
            atol=tolerance,
        ):
            return name
    return None


def _points(shape):
    """Numbers to try a function on, other ones for each channel.

    Far ones too: some functions agree near zero only.
    """
    near = np.linspace(-8, 8, 81)
    far = [scale * 10.0**power for power in (1, 2, 3, 4) for scale in (-1, 1)]
    points = np.concatenate([near, far]).astype("float32")
    channels = np.arange(math.prod(shape))[None]
    steps = np.arange(len(points))[:, None] + channels
    return points[steps % len(points)].reshape(-1, *shape)
