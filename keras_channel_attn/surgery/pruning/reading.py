"""What the layers of a model do with channels, collected call by call."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_channel_attn.graph import Call, IdentityMap
from keras_channel_attn.surgery.pruning.ties import FIXED, Ties

# From an array of channels to how many of them are kept.
Count = Callable[[Any], int]


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels that a tensor has.

    Attributes:
        axis: Positive integer, the axis of the tensor.
        ids: Array with a channel for each position: see `Ties`.
    """

    axis: int
    ids: Any


@dataclasses.dataclass(frozen=True)
class Cut:
    """An axis of a weight from which channels can be cut out.

    Attributes:
        layer: Layer.
        weight: String, the attribute that holds the weight.
        axis: Integer, not negative.
        ids: Array with a channel for each position.
        role: `"makers"`, `"carriers"` or `"readers"`.
    """

    layer: Any
    weight: str
    axis: int
    ids: Any
    role: str


@dataclasses.dataclass(frozen=True)
class Note:
    """That a layer makes, carries or reads some channels."""

    role: str
    path: str
    ids: Any


class Reading:
    """What is known of the channels of a model.

    Attributes:
        ties: `Ties`.
        sources: List of pairs: the path of a layer that makes channels, and
            the array of them.
        cuts: Dictionary from layer, weight and axis to `Cut`.
        sizes: Dictionary from an operation to pairs of the channels that its
            configuration depends on, and a dictionary from each entry to a
            callable that returns its value.
        inputs: `IdentityMap` from the inputs of nested models to `Channels` or
            `None`.
        notes: List of `Note`.
        tensors: List of pairs: the path of a call, and the array of channels
            of one of its outputs.
    """

    def __init__(self) -> None:
        self.ties = Ties()
        self.sources: list[tuple[str, Any]] = []
        self.cuts: dict[tuple[Any, str, int], Cut] = {}
        self.sizes: dict[Any, tuple[Any, dict[str, Callable[[Count], Any]]]]
        self.sizes = {}
        self.inputs = IdentityMap()
        self.notes: list[Note] = []
        self.tensors: list[tuple[str, Any]] = []
        self._made: dict[Any, Any] = {}

    def made(self, call: Call, size: int) -> Any:
        """The channels that a layer makes: the same ones at each call."""
        operation = call.operation
        if operation not in self._made:
            self._made[operation] = self.ties.new(size)
            self.sources.append((call.path, self._made[operation]))
            self.note("makers", call, self._made[operation])
        return self._made[operation]

    def read(
        self, call: Call, channels: Channels | None, axis: int, size: int
    ) -> Any:
        """The channels along the axis of a tensor that a layer reads."""
        ids = self.along(call, channels, axis, size)
        self.note("readers", call, ids)
        return ids

    def along(
        self, call: Call, channels: Channels | None, axis: int, size: int
    ) -> Any:
        """The channels of a tensor along an axis, `FIXED` if it has none."""
        if channels is not None and channels.axis == axis:
            return channels.ids
        self.lock(call, channels, "has its channels along another axis")
        return np.full(size, FIXED)

    def note(self, role: str, call: Call, ids: Any) -> None:
        self.notes.append(Note(role, call.path, ids))

    def cut(
        self, call: Call, weight: str, axis: int, ids: Any, role: str
    ) -> None:
        """Say which channels the positions along an axis of a weight have."""
        layer = call.operation
        variable = getattr(layer, weight)
        if variable is None:
            return
        axis %= len(variable.shape)
        key = (layer, weight, axis)
        cut = self.cuts.setdefault(key, Cut(layer, weight, axis, ids, role))
        self._tie_calls(call, cut.ids, ids)

    def resize(
        self, call: Call, ids: Any, **entries: Callable[[Count], Any]
    ) -> None:
        """Say how entries of the configuration depend on channels.

        Args:
            call: `Call` of the layer or operation.
            ids: Array of channels.
            **entries: For each entry, a callable that takes a function from
                channels to how many are kept, and returns the value.
        """
        first, _ = self.sizes.setdefault(call.operation, (ids, entries))
        self._tie_calls(call, first, ids)

    def entered(self, tensor: Any, channels: Channels | None, path: str) -> Any:
        """The channels of an input of a nested model, in all its calls."""
        if channels and tensor.shape[channels.axis : channels.axis + 1] != (
            len(channels.ids),
        ):
            self.ties.lock(
                channels.ids, f"the model '{path}' changes their axis"
            )
            channels = None
        first = self.inputs.setdefault(tensor, channels)
        reason = f"the model '{path}' is called on tensors of different kinds"
        if first and channels and first.axis == channels.axis:
            self.ties.tie(first.ids, channels.ids, reason)
        elif first is not channels:
            for other in (first, channels):
                if other:
                    self.ties.lock(other.ids, reason)
        return first

    def lock(self, call: Call, channels: Channels | None, what: str) -> None:
        """Say that the channels of a tensor must stay, because of a call."""
        if channels is not None:
            self.ties.lock(channels.ids, because_of(call, what))

    def _tie_calls(self, call: Call, first: Any, second: Any) -> None:
        if first is second:
            return
        what = "is called on tensors whose channels differ"
        if len(first) == len(second):
            self.ties.tie(first, second, because_of(call, what))
        else:
            for ids in (first, second):
                self.ties.lock(ids, because_of(call, what))


def because_of(call: Call, what: str) -> str:
    return f"'{call.path}' (of type {type(call.operation).__name__}) {what}"
