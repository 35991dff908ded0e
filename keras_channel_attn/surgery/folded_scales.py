"""Factors of channels that become part of the weights of a layer nearby."""

import collections
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    Changes,
    Graph,
    IdentityMap,
    is_model,
    rules_by_name,
)
from keras_channel_attn.surgery.scales import (
    NotFolded,
    Scale,
    channel_axis,
    check_function,
    is_layer_of_keras,
    scale_beside,
)

# The name of a weight, the array that it is multiplied by, and what is added.
Change = tuple[str, Any, Any]
# Of a layer and the scale of its output or input.
Rule = Callable[[Any, Scale], Iterator[Change]]


class FoldedScales:
    """Multiplies factors into the weights of a copy of a model.

    Args:
        graph: `Graph` of the model.
        changes: `Changes`, whose `values` get the new weights.
    """

    def __init__(self, graph: Graph, changes: Changes) -> None:
        self._changes = changes
        self._calls: dict[Any, int] = collections.Counter()
        # From each variable to the layers and operations that use it.
        self._users = IdentityMap()
        for call in graph.all_calls():
            self._calls[call.operation] += 1
            for variable in _variables(call):
                self._users.setdefault(variable, set()).add(call.operation)

    def fold(self, call: Call, scale: Scale) -> None:
        """Multiply weights before or after a call that will be removed.

        Args:
            call: `Call`, which multiplies its input by the scale.
            scale: `Scale`.

        Raises:
            NotFolded: If neither is exact. Nothing is changed then.
        """
        try:
            self._multiply(*_producer(call, scale))
        except NotFolded as before:
            try:
                self._multiply(*_consumer(call, scale))
            except NotFolded as after:
                raise NotFolded(f"{before}, and {after}") from after

    def _multiply(self, call: Call, scale: Scale, rule: Rule) -> None:
        layer = call.operation
        if self._calls[layer] > 1:
            raise NotFolded(f"'{call.path}' is called several times")
        if layer.dtype_policy.quantization_mode is not None or getattr(
            layer, "lora_enabled", False
        ):
            raise NotFolded(f"'{call.path}' is quantized or has LoRA weights")
        found = []
        for name, factor, term in rule(layer, scale):
            variable = getattr(layer, name)
            if len(self._users[variable]) > 1:
                raise NotFolded(f"'{call.path}' shares its weight '{name}'")
            if variable.constraint is not None:
                raise NotFolded(f"'{call.path}' has a constraint")
            found.append((variable, factor, term))
        for variable, factor, term in found:
            value = self._changes.values.get(variable)
            if value is None:
                value = keras.ops.convert_to_numpy(variable)
            # A half of 16 bits is multiplied in 64.
            value = np.asarray(value, "float64") * factor + term
            self._changes.values[variable] = value


def _producer(call: Call, scale: Scale) -> tuple[Call, Scale, Rule]:
    """The layer before a call whose weights can be multiplied."""
    graph, tensor = call.graph, call.inputs[0]
    while True:
        source = graph.source(tensor)
        if source is None:
            raise NotFolded("no layer of the model is before it")
        if len(_uses(graph, tensor)) != 1 or graph.is_output(tensor):
            raise NotFolded(f"the output of '{source.path}' is used elsewhere")
        rule = _rule(_PRODUCERS, source.operation)
        if rule is not None:
            break
        scale = scale_beside(source, scale, is_forward=False)
        (tensor,) = source.inputs
    layer = source.operation
    check_function(source, getattr(layer, "activation", None), scale)
    if scale.adds and getattr(layer, "activation", None) not in _NO_ACTIVATION:
        raise NotFolded(f"'{source.path}' has an activation")
    if layer.activity_regularizer is not None:
        raise NotFolded(f"'{source.path}' has an activity regularizer")
    if scale.axis != channel_axis(layer, tensor):
        raise NotFolded(f"'{source.path}' has its channels elsewhere")
    return source, scale, rule


def _consumer(call: Call, scale: Scale) -> tuple[Call, Scale, Rule]:
    """The layer after a call whose weights can be multiplied."""
    if scale.adds:
        raise NotFolded("numbers are added")
    graph, tensor = call.graph, call.outputs[0]
    while True:
        users = _uses(graph, tensor)
        if len(users) != 1 or graph.is_output(tensor):
            raise NotFolded("the output is used several times")
        (user,) = users
        rule = _rule(_CONSUMERS, user.operation)
        if rule is not None:
            break
        scale = scale_beside(user, scale, is_forward=True)
        (tensor,) = user.outputs
    if scale.axis != channel_axis(user.operation, tensor):
        raise NotFolded(f"'{user.path}' has its channels elsewhere")
    return user, scale, rule


def _uses(graph: Graph, tensor: Any) -> list[Call]:
    """The calls that take a tensor, once for each time."""
    return [call for call in graph.calls for x in call.inputs if x is tensor]


def _variables(call: Call) -> list[Any]:
    """The variables that a call uses, without those of a nested model."""
    leaves = keras.tree.flatten((call.args, call.kwargs))
    found = [leaf for leaf in leaves if isinstance(leaf, keras.Variable)]
    if not is_model(call.operation):
        found += getattr(call.operation, "variables", [])
    return found


# The tables: of layers by class, which weights are multiplied by what.


def _rule(table: dict[str, Rule], operation: Any) -> Rule | None:
    known = table if is_layer_of_keras(operation) else {}
    return known.get(type(operation).__name__)


def _output_of_kernel(name: str, axis: int) -> Rule:
    """The rule for a layer whose kernel has the output along an axis."""

    def rule(layer: Any, scale: Scale) -> Iterator[Change]:
        yield from _offset(layer, "bias", scale)
        yield name, _along(axis, scale.factors), 0

    return rule


def _input_of_kernel(name: str, axis: int) -> Rule:
    """The rule for a layer whose kernel has the input along an axis."""

    def rule(layer: Any, scale: Scale) -> Iterator[Change]:
        factors, groups = (
            _along(axis, scale.factors),
            getattr(layer, "groups", 1),
        )
        if groups > 1:
            # Each filter has the channels of its group.
            factors = scale.factors.reshape(groups, -1).T
            factors = factors.repeat(layer.filters // groups, axis=1)
        yield name, factors, 0

    return rule


def _depthwise(layer: Any, scale: Scale) -> Iterator[Change]:
    """The rule for the output of a depthwise convolution."""
    yield from _offset(layer, "bias", scale)
    yield "kernel", scale.factors.reshape(layer.kernel.shape[-2:]), 0


def _normalization(layer: Any, scale: Scale) -> Iterator[Change]:
    if layer.gamma is None:
        raise NotFolded(f"'{layer.name}' has no scale")
    yield "gamma", scale.factors, 0
    yield from _offset(layer, "beta", scale)


def _offset(layer: Any, name: str, scale: Scale) -> Iterator[Change]:
    """The change of what a layer adds to its output."""
    if getattr(layer, name) is not None:
        yield name, scale.factors, scale.terms
    elif scale.adds:
        raise NotFolded(f"'{layer.name}' has no bias")


def _along(axis: int, factors: Any) -> Any:
    """Factors along the last axis of a kernel, or the last but one."""
    return factors if axis == -1 else factors[:, None]


_NO_ACTIVATION = (None, keras.activations.linear)
_PRODUCERS = rules_by_name(
    (_output_of_kernel("kernel", -1), "Conv{}D Dense"),
    (_output_of_kernel("kernel", -2), "Conv{}DTranspose"),
    (_output_of_kernel("pointwise_kernel", -1), "SeparableConv{}D"),
    (_depthwise, "DepthwiseConv{}D"),
    (_normalization, "BatchNormalization GroupNormalization"),
)
_CONSUMERS = rules_by_name(
    (_input_of_kernel("kernel", -2), "Conv{}D DepthwiseConv{}D Dense"),
    (_input_of_kernel("kernel", -1), "Conv{}DTranspose"),
    (_input_of_kernel("depthwise_kernel", -2), "SeparableConv{}D"),
)
