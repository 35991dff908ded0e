"""Squeeze-and-Excitation written as several layers, fused into one layer."""

import collections
import dataclasses
import math
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    Changes,
    Graph,
    IdentityMap,
    graph_of,
    is_operation,
    matrix_count,
    rebuild,
)
from keras_channel_attn.graph.keras_internals import argument, mask_of
from keras_channel_attn.layers import SqueezeExcite
from keras_channel_attn.surgery.activation_names import activation_and_factor

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


def fuse_squeeze_excite(model: Any) -> Any:
    """A copy of a network with each Squeeze-and-Excitation as a single layer.

    Keras' own MobileNetV3 and EfficientNet write Squeeze-and-Excitation as a
    global pooling, two dense layers or 1x1 convolutions with their activations
    and a multiplication. The pooling may be `keras.ops.mean` or
    `keras.ops.max`. Each of these blocks becomes one `SqueezeExcite` with
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
            "that one `SqueezeExcite` can replace. Such a block pools over all "
            "positions, by a layer of Keras, `keras.ops.mean` or "
            "`keras.ops.max`, applies two `Dense` layers or 1x1 convolutions "
            "with activations of Keras, and multiplies its own input by the "
            "result. Each part of it is used for nothing else, and all are "
            "trained and computed alike, without masks, constraints, dropout "
            "or quantization. Models inside other layers are not read. "
            "Squeeze-and-Excitation that is one layer needs no fusion."
        )
    changes = Changes()
    for block in blocks:
        changes.replace(
            block.product,
            block.layer(),
            inputs=[block.inputs],
            prepare=block.prepare,
        )
    return rebuild(graph, changes)


@dataclasses.dataclass(frozen=True)
class _Block:
    """Pooling, a linear map, an activation, another map, a gate, a product."""

    inputs: Any  # the tensor that is pooled and multiplied
    pooling: tuple[str, str]  # see `_pooling`
    members: list[Call]  # from the pooling to the gate
    product: Call
    maps: list[Any]  # the two layers with weights
    activations: dict[str, Any]  # these arguments of the layer

    def layer(self) -> SqueezeExcite:
        (pooling, data_format), reduce = self.pooling, self.maps[0]
        return SqueezeExcite(
            bottleneck_units=reduce.kernel.shape[-1],
            use_bias=reduce.use_bias,
            pooling=pooling,
            data_format=data_format,
            kernel_regularizer=reduce.kernel_regularizer,
            bias_regularizer=reduce.bias_regularizer,
            dtype=reduce.dtype_policy,
            name=self.product.operation.name,
            **self.activations,
        )

    def prepare(self, layer: SqueezeExcite) -> None:
        """Give the layer the weights, and what was set on them later."""
        layer.trainable = self.maps[0].trainable
        originals = [
            (linear_map, weight)
            for linear_map in self.maps
            for weight in linear_map.weights
        ]
        for own, (linear_map, weight) in zip(
            layer.weights, originals, strict=True
        ):
            # Without the spatial axes of kernels, whose size is 1. A new
            # array: JAX frees those that a training step was given.
            value = keras.ops.convert_to_numpy(weight)
            own.assign(value.reshape(own.shape))
            for role, kind in _SET_ON_WEIGHTS.items():
                function = getattr(weight, role)
                if function is not getattr(linear_map, f"{weight.name}_{role}"):
                    in_shape = function and kind(function, weight.shape)
                    setattr(own, role, in_shape)


class _RegularizerInShape(keras.regularizers.Regularizer):
    """A regularizer that gets a weight in another shape."""

    def __init__(self, function: Any, shape: Any) -> None:
        self.function = function
        self.shape = shape

    def __call__(self, x: Any) -> Any:
        return self.function(keras.ops.reshape(x, self.shape))


class _ConstraintInShape(keras.constraints.Constraint):
    """A constraint that gets a weight in another shape."""

    def __init__(self, function: Any, shape: Any) -> None:
        self.function = function
        self.shape = shape

    def __call__(self, w: Any) -> Any:
        value = self.function(keras.ops.reshape(w, self.shape))
        return keras.ops.reshape(value, w.shape)


# What may be set on a weight that is built.
_SET_ON_WEIGHTS = {
    "regularizer": _RegularizerInShape,
    "constraint": _ConstraintInShape,
}


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
        if members and (block := _block(inputs, members, product)):
            return block
    return None


def _block(inputs: Any, members: list[Call], product: Call) -> _Block | None:
    """The block that a chain of calls and a product form, or `None`."""
    maps = [call for call in members if matrix_count(call.operation)]
    pooling = _pooling(members[0])
    if (
        pooling is None
        or mask_of(inputs) is not None
        or any(len(call.outputs) != 1 for call in members)
        or len(maps) != 2
        or not all(map(_maps_channels, maps))
        or not _gates_channels(inputs, members[-1].outputs[0], product, pooling)
    ):
        return None
    layers = [call.operation for call in maps]
    if not _act_alike(layers, [*members, product]):
        return None
    activations = _activations(members, maps)
    if activations is None:
        return None
    return _Block(inputs, pooling, members, product, layers, activations)


def _pooling(call: Call) -> tuple[str, str] | None:
    """The pooling over all positions that a call is, and its data format."""
    operation, rank = call.operation, len(call.inputs[0].shape)
    if type(operation) in _POOLINGS:
        return _POOLINGS[type(operation)], operation.data_format
    formats = {
        tuple(range(1, rank - 1)): "channels_last",
        tuple(range(2, rank)): "channels_first",
    }
    for name, pooling in (("mean", "avg"), ("max", "max")):
        if is_operation(operation, name):
            # Without an axis it is computed over all, the batch included.
            axis = argument(operation, "axis")
            axes = np.atleast_1d(0 if axis is None else axis) % rank
            data_format = formats.get(tuple(sorted(axes)))
            if data_format and getattr(operation, "initial", None) is None:
                return pooling, data_format
    return None


def _activations(
    members: list[Call], maps: list[Call]
) -> dict[str, Any] | None:
    """The activations in a chain of calls, as arguments of the layer."""
    first, second = map(members.index, maps)
    before, activation, gate = (
        activation_and_factor(
            getattr(call.operation, "activation", keras.activations.linear),
            call.outputs[0],
            following,
        )
        for call, following in (
            (members[0], members[1:first]),
            (maps[0], members[first + 1 : second]),
            (maps[1], members[second + 1 :]),
        )
    )
    if before != ("linear", 1) or gate is None:
        return None
    if activation is None or activation[1] != 1:
        return None
    return {
        "activation": activation[0],
        "gate_activation": gate[0],
        "identity_start": gate[1] == 2,
        # Its weights are trained.
        "learning_rate_multiplier": 1 if gate[1] == 2 else "auto",
    }


def _gates_channels(
    inputs: Any, gate: Any, product: Call, pooling: tuple[str, str]
) -> bool:
    """Whether the gates are broadcast along the spatial axes alone."""
    shape, gates = inputs.shape, gate.shape
    first = pooling[1] == "channels_first"
    axis = 1 if first else len(shape) - 1
    if len(gates) == 2 and not first:
        # The layer, unlike the operator, inserts the missing axes between.
        merges = isinstance(product.operation, keras.layers.Multiply)
        return merges and gates == (shape[0], shape[axis])
    return gates == tuple(
        size if position in (0, axis) else 1
        for position, size in enumerate(shape)
    )


def _act_alike(maps: list[Any], calls: list[Call]) -> bool:
    """Whether one layer can be trained and computed like all of these."""
    reduce, expand = maps
    policy = reduce.dtype_policy
    return (
        all(map(_is_plain, maps))
        and _training_arguments(reduce) == _training_arguments(expand)
        and policy.quantization_mode is None
        and all(
            getattr(call.operation, "activity_regularizer", None) is None
            and call.operation.dtype_policy == policy
            for call in calls
            if isinstance(call.operation, keras.layers.Layer)
        )
        and calls[-1].outputs[0].dtype == reduce.compute_dtype
    )


def _training_arguments(linear_map: Any) -> tuple[Any, ...]:
    """What one layer has for both of its linear maps."""
    return (
        linear_map.use_bias,
        linear_map.trainable,
        keras.regularizers.serialize(linear_map.kernel_regularizer),
        keras.regularizers.serialize(linear_map.bias_regularizer),
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
    layer, shape = call.operation, call.inputs[0].shape
    if type(layer) not in _MAPS:
        return False
    kernel_shape = layer.kernel.shape
    first = getattr(layer, "data_format", None) == "channels_first"
    channels = shape[1 if first else -1]
    # All numbers of one sample stand along the axis of channels.
    return (
        all(size == 1 for size in kernel_shape[:-2])
        and math.prod(shape[1:]) == channels == kernel_shape[-2]
    )
