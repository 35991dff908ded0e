"""Squeeze-and-Excitation written as several layers, fused into one layer."""

import collections
import dataclasses
import inspect
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    Changes,
    Graph,
    IdentityMap,
    Probe,
    graph_of,
    is_from_keras,
    is_operation,
    matrix_count,
    rebuild,
)
from keras_channel_attn.graph.keras_internals import mask_of
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
# Those that are 0.5 at zero: an identity start doubles them.
_DOUBLED_GATES = ("sigmoid", "hard_sigmoid")


def fuse_squeeze_excite(model: Any) -> Any:
    """A copy of a network with each Squeeze-and-Excitation as a single layer.

    Keras' own MobileNetV3 and EfficientNet write Squeeze-and-Excitation as a
    global pooling, two dense layers or 1x1 convolutions with their activations
    and a multiplication. Each of these blocks becomes one `SqueezeExcite` with
    the same weights and the name of its multiplication. The copy computes what
    the original does; its attention can be looked at, removed, or replaced: see
    `replace_attention`. This is the inverse of `expand_attention`: gates that
    are doubled become `identity_start=True`.

    A block is left alone where one layer could not do the same: if its parts
    are used elsewhere too, are not trained, regularized or computed alike (a
    single frozen bias included), if a layer of it acts in training only or is
    not from Keras, if a gradient is stopped in it, if it is quantized, or if a
    mask comes with its input.

    Everything else is kept as `insert_attention` keeps it. The result is not
    compiled.

    Args:
        model: Functional or sequential model of Keras, built.

    Returns:
        A model of the same class, or a plain functional model where that class
        is not constructed from inputs and outputs.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If it has no graph, is not built, or has no such block; if
            its class or one of its layers cannot be copied: see
            `insert_attention`.

    Warns:
        UserWarning: If an attribute of the model is not carried over.

    Examples:

    >>> model = keras.applications.MobileNetV3Small(
    ...     weights=None, include_top=False, input_shape=(64, 64, 3)
    ... )
    >>> fused = fuse_squeeze_excite(model)
    >>> sum(isinstance(layer, SqueezeExcite) for layer in fused.layers)
    9
    """
    graph = graph_of(model)
    blocks = _fusible_blocks(graph)
    if not blocks:
        raise ValueError(
            f"`fuse_squeeze_excite` found no block in the model '{model.name}' "
            "that pools over all positions, applies two linear maps and "
            "multiplies its own input by the result, and is used for nothing "
            "else. Squeeze-and-Excitation that is one layer needs no fusion."
        )
    changes = Changes()
    for block in blocks:
        changes.replace(
            block.product,
            block.layer(),
            inputs=[block.inputs],
            weights=block.weights(),
            trainable=block.reduce.trainable,
        )
    return rebuild(graph, changes)


@dataclasses.dataclass(frozen=True)
class _Block:
    """Pooling, a linear map, an activation, another map, a gate, a product."""

    inputs: Any  # the tensor that is pooled and multiplied
    members: list[Call]  # from the pooling to the gate
    product: Call
    reduce: Any  # the layer of the first map
    expand: Any  # the layer of the second map
    activation: str
    gate_activation: str
    identity_start: bool

    def layer(self) -> SqueezeExcite:
        pooling = self.members[0].operation
        return SqueezeExcite(
            bottleneck_units=self.reduce.kernel.shape[-1],
            activation=self.activation,
            use_bias=self.reduce.use_bias,
            gate_activation=self.gate_activation,
            pooling=_POOLINGS[type(pooling)],
            identity_start=self.identity_start,
            data_format=pooling.data_format,
            kernel_regularizer=self.reduce.kernel_regularizer,
            bias_regularizer=self.reduce.bias_regularizer,
            dtype=self.reduce.dtype_policy,
            name=self.product.operation.name,
        )

    def weights(self) -> list[Any]:
        arrays = []
        for linear_map in (self.reduce, self.expand):
            arrays.append(_matrix(linear_map.kernel))
            if linear_map.use_bias:
                arrays.append(keras.ops.convert_to_numpy(linear_map.bias))
        return arrays


def _fusible_blocks(graph: Graph) -> list[_Block]:
    """The blocks whose layers are called once and used for nothing else."""
    calls = list(graph.all_calls())
    times_called = collections.Counter(call.operation for call in calls)
    times_used = IdentityMap()
    for call in calls:
        for tensor in call.inputs:
            times_used[tensor] = times_used.get(tensor, 0) + 1

    def is_used_by_the_block_alone(call: Call) -> bool:
        output = call.outputs[0]
        return (
            times_called[call.operation] == 1
            and times_used[output] == 1
            and not call.graph.is_output(output)
        )

    return [
        block
        for call in calls
        if times_called[call.operation] == 1
        and (block := _block_ending_with(call))
        and all(map(is_used_by_the_block_alone, block.members))
    ]


def _block_ending_with(product: Call) -> _Block | None:
    operation = product.operation
    multiplies = type(operation) is keras.layers.Multiply or is_operation(
        operation, "multiply"
    )
    if not multiplies or len(product.inputs) != 2:
        return None
    first, second = product.inputs
    for inputs, gates in ((first, second), (second, first)):
        members = product.graph.chain(gates, inputs)
        if members and (block := _parsed(inputs, members, product)):
            return block
    return None


def _parsed(inputs: Any, members: list[Call], product: Call) -> _Block | None:
    """The block that a chain of calls and a product form, or `None`."""
    if type(members[0].operation) not in _POOLINGS:
        return None
    if mask_of(inputs) is not None:
        return None
    if any(len(call.outputs) != 1 for call in members):
        return None
    maps = [
        position
        for position, call in enumerate(members)
        if matrix_count(call.operation)
    ]
    if len(maps) != 2 or not all(_maps_channels(members[at]) for at in maps):
        return None
    if not _gates_channels(inputs, members, product):
        return None
    first, second = maps
    reduce, expand = members[first].operation, members[second].operation
    if not _act_alike(reduce, expand, [*members, product]):
        return None
    before = _name_of_composition(
        members[1:first], members[0].outputs[0], keras.activations.linear
    )
    activation = _name_of_activation(members[first:second])
    gates = members[second:]
    gate_activation = _name_of_activation(gates)
    identity_start = gate_activation is None
    if identity_start:
        gate_activation = _name_of_activation(gates, _DOUBLED_GATES, factor=2)
    if before != "linear" or activation is None or gate_activation is None:
        return None
    return _Block(
        inputs,
        members,
        product,
        reduce,
        expand,
        activation,
        gate_activation,
        identity_start,
    )


def _gates_channels(inputs: Any, members: list[Call], product: Call) -> bool:
    """Whether the gates are broadcast along the spatial axes alone."""
    shape, gates = inputs.shape, members[-1].outputs[0].shape
    first = members[0].operation.data_format == "channels_first"
    axis = 1 if first else len(shape) - 1
    if len(gates) == 2 and not first:
        # The layer, unlike the operator, inserts the missing axes between.
        merges = isinstance(product.operation, keras.layers.Multiply)
        return merges and gates == (shape[0], shape[axis])
    return gates == tuple(
        size if position in (0, axis) else 1
        for position, size in enumerate(shape)
    )


def _act_alike(reduce: Any, expand: Any, calls: list[Call]) -> bool:
    """Whether one layer can be trained and computed like all of these."""
    layers = [
        call.operation
        for call in calls
        if isinstance(call.operation, keras.layers.Layer)
    ]
    return (
        reduce.use_bias == expand.use_bias
        and all(_is_plain(linear_map) for linear_map in (reduce, expand))
        and reduce.trainable == expand.trainable
        and _regularizers(reduce) == _regularizers(expand)
        and all(
            getattr(layer, "activity_regularizer", None) is None
            and layer.dtype_policy == reduce.dtype_policy
            for layer in layers
        )
        and reduce.dtype_policy.quantization_mode is None
        and all(
            tensor.dtype == reduce.compute_dtype for tensor in calls[-1].outputs
        )
    )


def _is_plain(linear_map: Any) -> bool:
    """Whether it has a kernel, perhaps a bias, and nothing that constrains."""
    return (
        len(linear_map.weights) == 1 + linear_map.use_bias
        and linear_map.kernel_constraint is None
        and linear_map.bias_constraint is None
        # A single weight can be frozen too.
        and all(
            weight.trainable == linear_map.trainable
            for weight in linear_map.weights
        )
    )


def _maps_channels(call: Call) -> bool:
    """Whether a call is one matrix for a vector of channels."""
    layer, tensor = call.operation, call.inputs[0]
    return (
        type(layer) in _MAPS
        and all(size == 1 for size in layer.kernel.shape[:-2])
        and _channels(tensor, layer) == layer.kernel.shape[-2]
    )


def _channels(tensor: Any, layer: Any) -> int | None:
    """All numbers of one sample, if they stand along the axis of channels."""
    first = getattr(layer, "data_format", None) == "channels_first"
    channels = tensor.shape[1 if first else -1]
    return channels if math.prod(tensor.shape[1:]) == channels else None


def _matrix(kernel: Any) -> Any:
    array = keras.ops.convert_to_numpy(kernel)
    return array.reshape(array.shape[-2:])


def _regularizers(layer: Any) -> list[Any]:
    return [
        keras.regularizers.serialize(regularizer)
        for regularizer in (layer.kernel_regularizer, layer.bias_regularizer)
    ]


def _name_of_activation(
    calls: list[Call],
    names: Sequence[str] = _ACTIVATIONS,
    factor: float = 1,
) -> str | None:
    """Name of the function that follows the matrix of the first call."""
    linear_map, *others = calls
    return _name_of_composition(
        others,
        linear_map.outputs[0],
        linear_map.operation.activation,
        names,
        factor,
    )


def _name_of_composition(
    calls: list[Call],
    tensor: Any,
    activation: Any,
    names: Sequence[str] = _ACTIVATIONS,
    factor: float = 1,
) -> str | None:
    """Name of the elementwise function that a chain of calls computes.

    Networks write one function in many ways: it is recognized by its values,
    which are `factor` times those of the function.
    """
    if not all(map(_is_seen_through, calls)):
        return None
    if not _has_its_own_gradient(activation, tensor):
        return None
    points = _points(tensor.shape)
    try:
        # NumPy warns of what is infinite far from zero.
        with np.errstate(over="ignore", invalid="ignore"):
            values = _composed(calls, activation, points, tensor.shape[0])
    except Exception:
        # It is no function of any such tensor.
        return None
    if values.shape[0] != len(points) or values.size != points.size:
        return None
    tolerance = 1e-5 if values.dtype == "float32" else 2e-3
    values = values.astype("float32").reshape(points.shape)
    for name in names:
        with np.errstate(over="ignore", invalid="ignore"):
            expected = keras.activations.get(name)(
                keras.ops.convert_to_tensor(points)
            )
        if np.allclose(
            values,
            factor * keras.ops.convert_to_numpy(expected),
            rtol=tolerance,
            atol=tolerance**2,
        ):
            return name
    return None


def _is_seen_through(call: Call) -> bool:
    """Whether the values of a call in inference tell all that it does.

    A user's layer may do something else in training. One that drops at random
    has variables.
    """
    operation, tensor = call.operation, call.inputs[0]
    functions = [
        value
        for name, value in vars(operation).items()
        if inspect.isfunction(value) and not hasattr(type(operation), name)
    ]
    return (
        is_from_keras(type(operation))
        and not getattr(operation, "variables", ())
        and not is_operation(operation, "stop_gradient")
        and all(_has_its_own_gradient(one, tensor) for one in functions)
    )


def _has_its_own_gradient(function: Any, tensor: Any) -> bool:
    """Whether no gradient is stopped inside it, as far as Keras sees."""
    if is_from_keras(function):
        return True
    try:
        inputs = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype)
        graph = keras.Function(inputs, function(inputs))
    except Exception:
        # It is written with something else than `keras.ops`.
        return False
    return not any(
        is_operation(operation, "stop_gradient")
        for operation in graph.operations
    )


def _composed(
    calls: list[Call], activation: Any, points: Any, batch_size: int | None
) -> Any:
    """The outputs of a chain of calls, batch by batch if its size is fixed."""
    probes = [Probe(call) for call in calls]
    parts = [points]
    if batch_size:
        parts = np.split(points, len(points) // batch_size)
    results = []
    for part in parts:
        values = keras.ops.convert_to_numpy(
            activation(keras.ops.convert_to_tensor(part))
        )
        for probe in probes:
            values = probe([values])
        results.append(values)
    return np.concatenate(results)


def _points(shape: Any) -> Any:
    """Numbers to try a function on, different ones for each channel.

    Two functions that differ near zero, or far from it, are not the same.
    """
    sizes = np.geomspace(1e-4, 1e4, 151)
    points = np.concatenate([-sizes[::-1], [0], sizes]).astype("float32")
    if shape[0]:
        points = np.resize(points, -(-len(points) // shape[0]) * shape[0])
    channels = np.arange(math.prod(shape[1:]))[None]
    steps = np.arange(len(points))[:, None] + channels
    return points[steps % len(points)].reshape(-1, *shape[1:])
