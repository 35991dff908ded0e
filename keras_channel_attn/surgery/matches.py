"""A mechanism that was found in a network, and the layer that equals it."""

import dataclasses
from typing import Any

import keras

from keras_channel_attn.graph import Call, IdentityMap
from keras_channel_attn.surgery.activation_names import activation_and_factor
from keras_channel_attn.surgery.mechanisms import Mechanism
from keras_channel_attn.surgery.patterns import Found

GATES = ("sigmoid", "hard_sigmoid", "tanh")


class Obstacle(Exception):
    """Why a block cannot be one layer, and the call that shows it."""

    def __init__(self, reason: str, call: Call) -> None:
        super().__init__(reason)
        self.reason = reason
        self.call = call


@dataclasses.dataclass(frozen=True)
class Weight:
    """A weight of a new layer, from one of a layer of the block.

    Attributes:
        name: String, the attribute of the new layer.
        layer: The layer that has the original.
        original: Variable, or `None` for a bias of zeros.
        factor: Number that its value is multiplied by.
    """

    name: str
    layer: Any
    original: Any
    factor: float


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
    def layers(self) -> list[Any]:
        """The layers with weights."""
        return [self.found[name].layer for name in self.mechanism.weights]

    def arguments(self) -> dict[str, Any]:
        """The arguments of the layer that are not its defaults.

        Raises:
            Obstacle: If the layer cannot compute the same.
        """
        return {
            **self._sizes(),
            **self._activations(),
            **self._pooling(),
            **self._data_format(),
        }

    def _sizes(self) -> dict[str, Any]:
        found, sizes = self.found, {}
        if "reduce" in found:
            units, channels = found["reduce"].units, self._channels()
            reduction = channels // units
            sizes = {"bottleneck_units": units}
            if reduction and channels // reduction == units:
                sizes = {"reduction": reduction}
        if "taps" in found:
            (size,) = found["taps"].windows.values()
            if size % 2 == 0:
                raise Obstacle(
                    f"has a kernel of even size, {size}, so that the gates are "
                    "shifted by half a channel",
                    found["taps"].call,
                )
            sizes["kernel_size"] = size
            if found["taps"].layer.bias is not None:
                raise Obstacle(
                    "has a bias, which `EfficientChannelAttention` has not",
                    found["taps"].call,
                )
        elif any(layer.bias is not None for layer in self.layers):
            sizes["use_bias"] = True
        return sizes

    def _channels(self) -> int:
        (axis,) = self.found["channels"]
        pairs = sum(self.values[self.inputs].layout, ())
        return dict(pairs)[axis]

    def _activations(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for role in ("activation", "gate"):
            nodes = self.found.get(role, ())
            names = {activation_and_factor(node) for node in nodes}
            if not names:
                continue
            call = nodes[0].call
            if len(names) > 1:
                raise Obstacle(f"is one of several {role}s", call)
            (pair,) = names
            if pair is None or (role == "activation" and pair[1] != 1):
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
            default = "relu" if role == "activation" else "sigmoid"
            if name != default:
                argument = "gate_activation" if role == "gate" else role
                arguments[argument] = name
            if factor == 2:
                arguments["identity_start"] = True
        return arguments

    def _pooling(self) -> dict[str, Any]:
        kinds = {"mean": "avg", "max": "max", "average": "avg_max_mean"}
        name = "avg_max_separate"
        if "pool" in self.found:
            name = kinds[self.found["pool"].kind]
        return {} if name == "avg" else {"pooling": name}

    def _data_format(self) -> dict[str, Any]:
        layout = self.values[self.inputs].layout
        (axis,) = self.found["channels"]
        axes = [[axis for axis, _ in dimension] for dimension in layout]
        positions = {1: "channels_first", len(layout) - 1: "channels_last"}
        name = positions.get(axes.index([axis]))
        if name is None or len(layout) < 3:
            raise Obstacle(
                "has channels on an axis in the middle", self.product
            )
        is_default = name == keras.config.image_data_format()
        return {} if is_default else {"data_format": name}

    def weights(self) -> list[Weight]:
        """The weights of the layer."""
        is_biased = "use_bias" in self._sizes()
        return [
            Weight(
                pattern.format(name),
                layer,
                getattr(layer, name),
                # Added to the sum of two descriptors, it counts once.
                0.5 if (role, name) == self._halved() else 1,
            )
            for role, pattern in self.mechanism.weights.items()
            for name in (("kernel", "bias") if is_biased else ("kernel",))
            for layer in [self.found[role].layer]
        ]

    def _halved(self) -> tuple[str, str] | None:
        return ("expand", "bias") if "sum_of_hidden" in self.found else None
