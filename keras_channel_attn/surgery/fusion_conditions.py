"""Whether one layer can stand for the layers of a block."""

import collections
import math
from collections.abc import Iterator
from typing import Any

import keras

from keras_channel_attn.graph import Call, Graph, IdentityMap
from keras_channel_attn.surgery.masked_calls import (
    calls_on_masked_inputs,
    takes_mask_argument,
)
from keras_channel_attn.surgery.matches import Match, Obstacle


class Uses:
    """What uses the tensors and the layers of a network.

    Args:
        graph: `Graph` of the network.
    """

    def __init__(self, graph: Graph) -> None:
        self._times = collections.Counter(
            call.operation for call in graph.all_calls()
        )
        self._users = IdentityMap()
        self._on_masked = calls_on_masked_inputs(graph)
        for call in graph.all_calls():
            for tensor in call.inputs:
                self._users.setdefault(tensor, []).append(call)

    def gets_mask(self, call: Call) -> bool:
        """Whether a call gets a mask."""
        return call in self._on_masked or takes_mask_argument(call)

    def check(self, match: Match) -> None:
        """Raise `Obstacle` if a part of a block is used for something else."""
        members = {match.product, *match.members}
        for call in (match.product, *_calls_inside(match.members)):
            if self.gets_mask(call):
                raise Obstacle("gets a mask with its input", call)
        for call in match.members:
            for tensor in call.outputs:
                if match.values[tensor].node is match.found["x"]:
                    continue
                if call.graph.is_output(tensor):
                    raise Obstacle("is an output of the model", call)
                for user in self._users.get(tensor, []):
                    if user not in members:
                        raise Obstacle(f"is used by '{user.path}' too", call)
        inside = collections.Counter(
            call.operation for call in _calls_inside(match.members)
        )
        for call in _calls_inside(match.members):
            layer = call.operation
            is_weighted = getattr(layer, "weights", ())
            if is_weighted and self._times[layer] > inside[layer]:
                raise Obstacle("has weights that are used elsewhere too", call)


def _calls_inside(members: list[Call]) -> Iterator[Call]:
    """Calls, and those of the models that are called, once for each model."""
    yield from members
    for inner in {call.inner: None for call in members if call.inner}:
        yield from inner.all_calls()


def check_training(match: Match) -> None:
    """Raise `Obstacle` if one layer could not be trained like the block."""
    policy = policy_of(match)
    for call in [*_calls_inside(match.members), match.product]:
        layer = call.operation
        if not isinstance(layer, keras.layers.Layer):
            continue
        if getattr(layer, "activity_regularizer", None) is not None:
            raise Obstacle("has an activity regularizer", call)
        if layer.dtype_policy != policy:
            raise Obstacle("computes with another precision", call)
    if policy.quantization_mode is not None:
        raise Obstacle("is quantized", match.product)
    if match.product.outputs[0].dtype != policy.compute_dtype:
        raise Obstacle("returns another precision", match.product)
    for role, node in match.nodes().items():
        layer = node.layer
        if [x.layer for x in match.nodes().values()].count(layer) > 1:
            raise Obstacle("is several maps at once", node.call)
        is_normal = role == "normalization"
        if not is_normal and len(layer.weights) != 1 + (layer.bias is not None):
            raise Obstacle(
                "has more weights than a kernel and a bias", node.call
            )
    flags = set()
    for weight in match.weights():
        original = weight.original
        if original is None:
            continue
        if "moving" not in weight.name:
            flags |= {original.trainable, weight.call.operation.trainable}
        if len(flags) > 1:
            raise Obstacle("is frozen, and other parts are not", weight.call)
        if weight.factor != 1 and any(
            getattr(original, role, None) is not None
            for role in ("regularizer", "constraint")
        ):
            raise Obstacle(
                "has a weight that is regularized or constrained, and would be "
                "multiplied by a number",
                weight.call,
            )


def has_all_weights(match: Match, arguments: dict[str, Any]) -> bool:
    """Whether a block has each weight of the layer that equals it once."""
    weights, kind = match.weights(), match.mechanism.layer
    if not weights:
        return True
    # Zeros: no random numbers are drawn.
    layer = kind(**arguments, kernel_initializer="zeros", name=kind.__name__)
    layer.build(tuple(match.inputs.shape))
    own: list[Any] = [getattr(layer, weight.name, None) for weight in weights]
    return sorted(map(id, own)) == sorted(map(id, layer.weights)) and all(
        weight.original is None
        or math.prod(weight.original.shape) == math.prod(variable.shape)
        for weight, variable in zip(weights, own, strict=True)
    )


def policy_of(match: Match) -> Any:
    """The dtype policy of the layer that stands for a block."""
    layers = [node.layer for node in match.nodes().values()]
    for layer in [*layers, match.product.operation]:
        if isinstance(layer, keras.layers.Layer):
            return layer.dtype_policy
    return keras.config.dtype_policy()
