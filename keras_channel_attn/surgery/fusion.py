"""Squeeze-and-Excitation written as several layers, made one layer again."""

import collections
import math

import keras
import numpy as np

from keras_channel_attn import graph
from keras_channel_attn.layers import SqueezeExcite
from keras_channel_attn.surgery.insertion import checked_model

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

    A block is left alone where one layer could not do the same: if its parts
    are used elsewhere too, are not trained, regularized or computed alike, if
    it drops at random, is quantized, or if a mask comes with its input.

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
    blocks = _blocks(checked_model(model))
    if not blocks:
        raise ValueError(
            f"`fuse_squeeze_excite` found no block in the model '{model.name}' "
            "that pools over all positions, maps twice and multiplies what it "
            "has pooled, and is used for nothing else. Squeeze-and-Excitation "
            "that is one layer needs no fusion."
        )

    def rewrite(call):
        block = blocks.get(id(call.operation))
        return block and block.fused(call)

    return graph.rebuild(model, rewrite)


def _blocks(model):
    """Dictionary from the `id` of a multiplication to the block it ends.

    Only blocks that are called once and used for nothing else.
    """
    calls, ends = graph.trace(model)
    times_called = collections.Counter(id(call.operation) for call in calls)
    times_used = collections.Counter(
        id(tensor) for call in calls for tensor in call.inputs
    )
    found = {}
    for call in calls:
        block = _block(call) if times_called[id(call.operation)] == 1 else None
        if block and all(
            times_called[id(one.operation)] == 1
            and times_used[id(one.outputs[0])] == 1
            and id(one.outputs[0]) not in ends
            for one in block.calls
        ):
            found[id(call.operation)] = block
    return found


def _block(call):
    """The block that ends with a call, or `None`."""
    operation = call.operation
    multiplies = type(operation) is keras.layers.Multiply or graph.is_operation(
        operation, "Multiply"
    )
    if not multiplies or len(call.inputs) != 2:
        return None
    for position in (0, 1):
        calls = call.graph.chain(
            call.inputs[1 - position], call.inputs[position]
        )
        if calls:
            block = _Block(call, position, calls)
            if block.matches():
                return block
    return None


class _Block:
    """Pooling, a map, an activation, another map, a gate.

    `position` is that of the tensor, not of its gates, in the multiplication.
    """

    def __init__(self, call, position, calls):
        self.call = call
        self.position = position
        self.inputs = call.inputs[position]
        self.calls = calls
        self.maps = [
            position
            for position, one in enumerate(calls)
            if graph.kernels(one.operation)
        ]

    def matches(self):
        if type(self.calls[0].operation) not in _POOLINGS:
            return False
        if any(len(one.outputs) != 1 for one in self.calls):
            return False
        if len(self.maps) != 2 or not self._gates_channels():
            return False
        if not all(self._maps_channels(self.calls[one]) for one in self.maps):
            return False
        if not self._is_alike() or _has_mask(self.inputs):
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
        shape, gates = self.inputs.shape, self.calls[-1].outputs[0].shape
        first = self.calls[0].operation.data_format == "channels_first"
        axis = 1 if first else len(shape) - 1
        if len(gates) == 2 and not first:
            # The layer, unlike the operator, puts the missing axes between.
            merges = isinstance(self.call.operation, keras.layers.Multiply)
            return merges and gates == (shape[0], shape[axis])
        return gates == tuple(
            size if position in (0, axis) else 1
            for position, size in enumerate(shape)
        )

    def _is_alike(self):
        """Whether one layer can be trained and computed as all of these."""
        reduce, expand = (self.calls[one].operation for one in self.maps)
        members = [
            one.operation
            for one in (*self.calls, self.call)
            if isinstance(one.operation, keras.layers.Layer)
        ]
        return (
            reduce.use_bias == expand.use_bias
            and reduce.trainable == expand.trainable
            and all(
                len(map_.weights) == 1 + map_.use_bias
                for map_ in (reduce, expand)
            )
            and _regularizers(reduce) == _regularizers(expand)
            and not any(_is_constrained(map_) for map_ in (reduce, expand))
            and all(
                getattr(one, "activity_regularizer", None) is None
                and one.dtype_policy == reduce.dtype_policy
                for one in members
            )
            and reduce.dtype_policy.quantization_mode is None
            and all(
                one.dtype == reduce.compute_dtype for one in self.call.outputs
            )
        )

    def _maps_channels(self, call):
        """Whether a call is one matrix for a vector of channels."""
        layer, tensor = call.operation, call.inputs[0]
        return (
            type(layer) in _MAPS
            and all(size == 1 for size in layer.kernel.shape[:-2])
            and _channels(tensor, layer) == layer.kernel.shape[-2]
        )

    def fused(self, call):
        """The outputs of one layer, at the same call in another copy."""
        reduce, expand = (self.calls[one].operation for one in self.maps)
        pooling = self.calls[0].operation
        layer = SqueezeExcite(
            bottleneck_units=reduce.kernel.shape[-1],
            activation=self.activation,
            use_bias=reduce.use_bias,
            gate_activation=self.gate_activation,
            pooling=_POOLINGS[type(pooling)],
            data_format=pooling.data_format,
            kernel_regularizer=reduce.kernel_regularizer,
            bias_regularizer=reduce.bias_regularizer,
            dtype=reduce.dtype_policy,
            name=self.call.operation.name,
        )
        outputs = layer(call.inputs[self.position])
        weights = []
        for one in (reduce, expand):
            weights.append(_matrix(one.kernel))
            if one.use_bias:
                weights.append(keras.ops.convert_to_numpy(one.bias))
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


def _regularizers(layer):
    return [
        keras.regularizers.serialize(one)
        for one in (layer.kernel_regularizer, layer.bias_regularizer)
    ]


def _is_constrained(layer):
    return not (layer.kernel_constraint is None is layer.bias_constraint)


def _has_mask(tensor):
    # Not public, and the only trace of a mask that Keras carries along.
    return getattr(tensor, "_keras_mask", None) is not None


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
    points = _points(tensor.shape)
    try:
        # NumPy warns of what is infinite far from zero.
        with np.errstate(over="ignore", invalid="ignore"):
            values = _applied(calls, activation, points, tensor.shape[0])
    except Exception:
        # It is no function of any such tensor.
        return None
    if values.shape[0] != len(points) or values.size != points.size:
        return None
    tolerance = 1e-5 if values.dtype == "float32" else 2e-3
    values = values.astype("float32").reshape(points.shape)
    for name in _ACTIVATIONS:
        with np.errstate(over="ignore", invalid="ignore"):
            expected = keras.activations.get(name)(
                keras.ops.convert_to_tensor(points)
            )
        if np.allclose(
            values,
            keras.ops.convert_to_numpy(expected),
            rtol=tolerance,
            atol=tolerance**2,
        ):
            return name
    return None


def _applied(calls, activation, points, batch):
    """What a chain of calls makes of points, batch by batch if it is fixed."""
    results = []
    for part in np.split(points, len(points) // batch) if batch else [points]:
        values = keras.ops.convert_to_numpy(
            activation(keras.ops.convert_to_tensor(part))
        )
        for call in calls:
            values = call.evaluate([values])
        results.append(values)
    return np.concatenate(results)


def _points(shape):
    """Numbers to try a function on, other ones for each channel.

    Functions that differ near zero, or far from it, are not the same.
    """
    sizes = np.geomspace(1e-4, 1e4, 151)
    points = np.concatenate([-sizes[::-1], [0], sizes]).astype("float32")
    if shape[0]:
        points = np.resize(points, -(-len(points) // shape[0]) * shape[0])
    channels = np.arange(math.prod(shape[1:]))[None]
    steps = np.arange(len(points))[:, None] + channels
    return points[steps % len(points)].reshape(-1, *shape[1:])
