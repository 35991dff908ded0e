"""A mechanism that was found in a network, and the layer that equals it."""

import dataclasses
import inspect
from typing import Any

import keras

from keras_channel_attn.graph import Call, IdentityMap
from keras_channel_attn.layers import (
    ConvolutionalBlockAttention,
    CoordinateAttention,
)
from keras_channel_attn.surgery.activation_names import activation_and_factor
from keras_channel_attn.surgery.mechanisms import Mechanism
from keras_channel_attn.surgery.normal_nodes import Layout, Node, axes_of
from keras_channel_attn.surgery.patterns import Found

# The layers with weights in the patterns. A weight of the new layer is named
# after its role, `reduce_kernel`, unless the layer has no other.
_ROLES = (
    *("reduce", "expand", "spatial", "context", "normalization"),
    *("expand_0", "expand_1", "expand_2", "map", "taps"),
)
_WITHOUT_PREFIX = ("normalization", "map", "taps")
GATES = ("sigmoid", "hard_sigmoid", "tanh")


class Obstacle(Exception):
    """Why a block cannot be one layer: what the call that shows it does."""

    def __init__(self, reason: str, call: Call) -> None:
        super().__init__(f"'{call.path}' {reason}")


@dataclasses.dataclass(frozen=True)
class Weight:
    """A weight of a new layer, from one of a layer of the block.

    Attributes:
        name: String, the attribute of the new layer.
        call: `Call` of the layer that has the original.
        original: Variable, or `None` for a bias of zeros.
        factor: Number that its value is multiplied by.
        is_reversed: Boolean, whether its last axis but one is reversed.
    """

    name: str
    call: Call
    original: Any
    factor: float = 1
    is_reversed: bool = False


@dataclasses.dataclass(frozen=True)
class Match:
    """A mechanism that was found in a graph.

    Attributes:
        mechanism: `Mechanism`.
        found: Dictionary from the names in its pattern to nodes.
        product: `Call` that computes the output.
        inputs: Tensor that is attended to.
        members: List of the calls between `inputs` and the output.
        values: `IdentityMap` from tensors to `Value`.
    """

    mechanism: Mechanism
    found: Found
    product: Call
    inputs: Any
    members: list[Call]
    values: IdentityMap

    @property
    def _layout(self) -> Layout:
        return self.values[self.inputs].layout

    def nodes(self) -> dict[str, Node]:
        """From the names of layers with weights to their nodes."""
        return {x: self.found[x] for x in _ROLES if x in self.found}

    def arguments(self) -> dict[str, Any]:
        """The arguments of the layer that are not its defaults.

        Raises:
            Obstacle: If the layer cannot compute the same.
        """
        given = {
            **self._sizes(),
            **self._biases(),
            **self._activations(),
            **self._pooling(),
            **self.mechanism.arguments,
            "data_format": self._data_format(),
        }
        parameters = inspect.signature(self.mechanism.layer).parameters
        defaults = {name: parameters[name].default for name in given}
        defaults["data_format"] = keras.config.image_data_format()
        return {
            name: value
            for name, value in given.items()
            # The width is stated in any case.
            if name == "reduction" or _plain(value) != _plain(defaults[name])
        }

    def _sizes(self) -> dict[str, Any]:
        found, sizes = self.found, {}
        if "reduce" in found:
            (axis,) = found["channels"]
            channels = dict(sum(self._layout, ()))[axis]
            units = found["reduce"].units
            reduction = channels // units
            sizes = {"bottleneck_units": units}
            # Rounded to a multiple of the divisor, the width may be another.
            is_whole = reduction and channels // reduction == units
            if is_whole and self.mechanism.layer is not CoordinateAttention:
                sizes = {"reduction": reduction}
        name = "spatial" if "refined" in found else "taps"
        if name in found:
            sizes["kernel_size"] = self._kernel_size(found[name])
        return sizes

    def _kernel_size(self, node: Node) -> int:
        sizes = {*node.windows.values()} or {1}
        taps = {x for x in getattr(node.layer, "kernel_size", ()) if x > 1}
        if sizes != (taps or {1}) or len(taps) > 1:
            raise Obstacle(
                "is dilated, or has windows of several sizes", node.call
            )
        order, expected = (
            [axis for axis, _ in sum(layout, ()) if axis in node.windows]
            for layout in (node.layout, self._layout)
        )
        if order != expected:
            raise Obstacle("convolves axes in another order", node.call)
        (size,) = sizes
        if size % 2 == 0:
            raise Obstacle(f"has a kernel of even size, {size}", node.call)
        return size

    def _biases(self) -> dict[str, Any]:
        nodes, layer = self.nodes(), self.mechanism.layer
        is_cbam = layer is ConvolutionalBlockAttention
        node = nodes.pop("spatial" if is_cbam else "taps", None)
        if node is not None and node.layer.bias is not None:
            raise Obstacle(
                f"has a bias, which `{layer.__name__}` has not", node.call
            )
        norm = nodes.pop("normalization", None)
        if norm and (norm.layer.gamma is None or norm.layer.beta is None):
            raise Obstacle("has no scale, or no offset", norm.call)
        biases = {x.layer.bias is not None for x in nodes.values()}
        arguments = {"use_bias": True in biases} if biases else {}
        if layer in (CoordinateAttention, ConvolutionalBlockAttention):
            arguments["batch_normalization"] = norm is not None
        return arguments

    def _activations(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for role in ("activation", "gate", "term"):
            nodes = self.found.get(role, ())
            pairs = {activation_and_factor(node) for node in nodes}
            if not pairs:
                continue
            call = nodes[-1].call
            if len(pairs) > 1:
                raise Obstacle(f"is one of several {role}s", call)
            (pair,) = pairs
            if pair is None:
                raise Obstacle(
                    f"makes the {role} with what is no activation of Keras, or "
                    "does something else in training",
                    call,
                )
            name, factor = pair
            if role == "gate" and name not in GATES:
                raise Obstacle(
                    "makes gates without a sigmoid"
                    if name == "linear"
                    else f"makes the gates with `{name}`, not with a sigmoid",
                    call,
                )
            combination = self.found.get("combination")
            kind = None if combination is None else combination.kind
            # The layer halves the sum of gates that are doubled.
            wrong = (
                [(2, "sum"), (1, "average")] if role == "gate" else [(2, kind)]
            )
            if (factor, kind) in wrong:
                raise Obstacle(f"multiplies the {role} by {factor}", call)
            if role == "term" and name != "linear":
                raise Obstacle(f"applies `{name}` before the sum", call)
            if role != "term":
                argument = "gate_activation" if role == "gate" else role
                arguments[argument] = name
            if factor == 2:
                arguments["identity_start"] = True
                # The weights are trained: they are stored as they are.
                arguments["learning_rate_multiplier"] = 1
        return arguments

    def _pooling(self) -> dict[str, Any]:
        kinds = {"mean": "avg", "max": "max", "average": "avg_max_mean"}
        if "pool" in self.found:
            name = kinds[self.found["pool"].kind]
        elif "average" in self.found:
            name = "avg_max_separate"
        else:
            return {}
        if "pooling" in inspect.signature(self.mechanism.layer).parameters:
            return {"pooling": name}
        expected = "avg_max_separate" if "refined" in self.found else "avg"
        if name != expected:
            raise Obstacle("pools in another way", self.product)
        return {}

    def _data_format(self) -> str:
        (axis,) = self.found["channels"]
        axes = [[axis for axis, _ in dimension] for dimension in self._layout]
        positions = {1: "channels_first", len(axes) - 1: "channels_last"}
        name = positions.get(axes.index([axis]))
        if name is None:
            raise Obstacle(
                "has channels on an axis in the middle", self.product
            )
        return name

    def weights(self) -> list[Weight]:
        """The weights of the layer."""
        is_biased = self._biases().get("use_bias", False)
        weights = []
        for role, node in self.nodes().items():
            names = ["kernel", "bias"] if is_biased else ["kernel"]
            if role == "normalization":
                names = ["gamma", "beta"]
                if node.kind == "batch_normalization":
                    names += ["moving_mean", "moving_variance"]
            if role == "spatial" and "refined" in self.found:
                names = ["kernel"]
            weights += [
                Weight(
                    self._name(role).format(name),
                    node.call,
                    getattr(node.layer, name),
                    self._factor(role, name),
                    role == "spatial" and "reversed" in self.found,
                )
                for name in names
            ]
        return weights

    def _name(self, role: str) -> str:
        """The pattern of the names of weights, by the order of the axes."""
        if role in _WITHOUT_PREFIX:
            return "{}"
        if not role.startswith("expand_"):
            return f"{role}_{{}}"
        mean = self.found["mean" + role.removeprefix("expand")]
        first = self._data_format() == "channels_first"
        spatial = self._layout[2:] if first else self._layout[1:-1]
        kept = [not axes_of((x,)) & mean.axes for x in spatial]
        return f"expand_{{}}_{kept.index(True)}"

    def _factor(self, role: str, name: str) -> float:
        """What a weight is multiplied by, so that the outputs are the same."""
        found = self.found
        if (role, name) == ("expand", "bias") and "sum_of_hidden" in found:
            # Added to the sum of both descriptors, it counts once.
            return 0.5
        if "normalization" not in found:
            return 1
        # With another epsilon, numbers of another size are normalized alike.
        ratio = self.mechanism.epsilon / found["normalization"].layer.epsilon
        powers = {"moving_mean": 0.5, "moving_variance": 1.0}
        before = "spatial" if "refined" in found else "reduce"
        power = 0.5 if role == before else powers.get(name, 0.0)
        return ratio**power


def _plain(value: Any) -> Any:
    """A value that can be compared: activations have several names."""
    try:
        return keras.activations.get(value) if isinstance(value, str) else value
    except ValueError:
        return value
