"""Channels as numbers: what layers do with them, and which ones are coupled.

Each channel that a layer produces gets a number. Arrays of these numbers stand
for the channel axes of tensors and weights. Two convolutions of three filters,
`a` and `b`, and an addition of their outputs, `add([a(x), b(a(x))])`:

    call   role         ids        axes of weights
    a      producers    [0 1 2]    kernel: 3, bias: 0
    b      consumers    [0 1 2]    kernel: 2
    b      producers    [3 4 5]    kernel: 3, bias: 0
    add    passthrough  [0 1 2]    couples 0 with 3, 1 with 4, 2 with 5

Each line is a `ChannelUse`. Coupled channels can only be removed together:

>>> coupling = Coupling()
>>> a, b = coupling.new(3), coupling.new(3)
>>> coupling.couple(a, b, "'add' combines them with channels that stay")
>>> coupling.representatives().tolist()
[0, 1, 2, 0, 1, 2]

So `a` and `b` have one group of three channels. To remove its channel 1 is to
remove the numbers 1 and 4: position 1 along all the axes above. An addition to
an input of the model, whose channels must stay, would lock the group.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_channel_attn.graph import Call, IdentityMap

# A position that holds no channel of any layer, such as one of an input.
FIXED = -1


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels of a tensor.

    Attributes:
        axis: Positive integer, the axis of the tensor.
        ids: Array with a number for each position.
    """

    axis: int
    ids: Any


@dataclasses.dataclass(frozen=True)
class ChannelUse:
    """What a call of a layer or operation does with some channels.

    Attributes:
        path: String, the path of the call.
        operation: The layer or operation.
        role: `"producers"`, `"passthrough"` or `"consumers"`.
        ids: Array with a number for each position.
        axes: List of pairs: the attribute that holds a weight, and an axis of
            it that has these positions. It is not negative.
        config: `None`, or a callable from a boolean array, which positions are
            kept, to the entries of the configuration that depend on it.
    """

    path: str
    operation: Any
    role: str
    ids: Any
    axes: list[tuple[str, int]]
    config: Callable[[Any], dict[str, Any]] | None


class Coupling:
    """The channels of a model, what is done with them, and which are coupled.

    Attributes:
        count: Integer, how many channels there are.
        uses: List of `ChannelUse` in the order of computation. The channels of
            each tensor are those of one of them. An axis of a weight, and the
            configuration of an operation, are in the first use only: all calls
            use the same.
        inputs: `IdentityMap` from the inputs of nested models to `Channels` or
            `None`.
        locks: List of pairs: an array of channels, and a string that says why
            these must stay.
    """

    def __init__(self) -> None:
        self.count = 0
        self.uses: list[ChannelUse] = []
        self.inputs = IdentityMap()
        self.locks: list[tuple[Any, str]] = []
        self._pairs: list[Any] = []
        self._produced: dict[Any, Any] = {}
        # From each axis of a weight and each configuration to its channels.
        self._first: dict[tuple[Any, ...], Any] = {}

    def new(self, size: int) -> Any:
        """Array of channels that did not exist before."""
        ids = np.arange(self.count, self.count + size)
        self.count += size
        return ids

    def produced_by(self, layer: Any, size: int) -> Any:
        """The channels that a layer produces: the same ones at each call."""
        if layer not in self._produced:
            self._produced[layer] = self.new(size)
        return self._produced[layer]

    def use(
        self,
        call: Call,
        role: str,
        ids: Any,
        axes: Mapping[str, Sequence[int]] | None = None,
        config: Callable[[Any], dict[str, Any]] | None = None,
    ) -> None:
        """Record what a call does with channels: see `ChannelUse`.

        Args:
            call: `Call` of the layer or operation.
            role: As in `ChannelUse`.
            ids: As in `ChannelUse`.
            axes: Dictionary from attributes to the axes of their weights, which
                may be negative. A weight that is `None` is left out.
            config: As in `ChannelUse`.
        """
        layer = call.operation
        pairs = [
            (weight, axis % len(getattr(layer, weight).shape))
            for weight, of_weight in (axes or {}).items()
            for axis in of_weight
            if getattr(layer, weight) is not None
        ]
        new = [pair for pair in pairs if self._is_first(call, pair, ids)]
        if config is not None and not self._is_first(call, (), ids):
            config = None
        self.uses.append(ChannelUse(call.path, layer, role, ids, new, config))

    def _is_first(self, call: Call, place: tuple[Any, ...], ids: Any) -> bool:
        """Whether it is the first call, with whose channels others couple."""
        place = (call.operation, *place)
        if place not in self._first:
            self._first[place] = ids
            return True
        first = self._first[place]
        reason = reason_of(call, "is called on tensors whose channels differ")
        if len(first) == len(ids):
            self.couple(first, ids, reason)
        else:
            self.lock(first, reason)
            self.lock(ids, reason)
        return False

    def couple(self, first: Any, second: Any, reason: str) -> None:
        """Couple the channels at the same position of two arrays.

        Those that meet `FIXED` are locked for this reason.
        """
        if first is second:
            return
        pairs = np.stack([first, second])
        self._pairs.append(pairs[:, (pairs != FIXED).all(axis=0)])
        self.lock(pairs[:, (pairs == FIXED).any(axis=0)].ravel(), reason)

    def couple_blocks(self, call: Call, blocks: int, *arrays: Any) -> None:
        """Couple all channels in the same block of arrays in equal blocks."""
        rows = np.concatenate([ids.reshape(blocks, -1) for ids in arrays], 1)
        reason = f"'{call.path}' computes them together with channels that stay"
        for column in rows.T[:-1]:
            self.couple(rows.T[-1], column, reason)

    def lock(self, ids: Any, reason: str) -> None:
        """Say why channels must stay."""
        ids = ids[ids != FIXED]
        if ids.size:
            self.locks.append((ids, reason))

    def lock_inputs(
        self, call: Call, inputs: Sequence[Channels | None], what: str
    ) -> list[Channels | None]:
        """Lock what a call is given.

        Returns:
            List with `None` for each output: none of their channels can go.
        """
        for channels in inputs:
            if channels is not None:
                self.lock(channels.ids, reason_of(call, what))
        return [None] * len(call.outputs)

    def enter(self, tensor: Any, channels: Channels | None, path: str) -> Any:
        """The channels of an input of a nested model, the same in all calls.

        Args:
            tensor: Symbolic tensor, the input of the nested model.
            channels: `Channels` that a call of the model is given, or `None`.
            path: String, the path of this call.
        """
        if channels and tensor.shape[channels.axis : channels.axis + 1] != (
            len(channels.ids),
        ):
            self.lock(channels.ids, f"the model '{path}' changes their axis")
            channels = None
        first = self.inputs.setdefault(tensor, channels)
        reason = f"the model '{path}' is called on tensors of different kinds"
        if first and channels and first.axis == channels.axis:
            self.couple(first.ids, channels.ids, reason)
        elif first is not channels:
            for other in (first, channels):
                if other:
                    self.lock(other.ids, reason)
        return first

    def representatives(self) -> Any:
        """The first of all channels that go with each channel."""
        pairs = np.concatenate([np.zeros((2, 0), int), *self._pairs], axis=1)
        return connected(self.count, pairs)


def reason_of(call: Call, what: str) -> str:
    """Why channels must stay: what a layer or operation is or does."""
    return f"'{call.path}' (of type {type(call.operation).__name__}) {what}"


def connected(count: int, pairs: Any) -> Any:
    """The lowest number that each of the numbers below `count` is paired with.

    Args:
        count: Integer.
        pairs: Array of shape `(2, number of pairs)`.
    """
    lowest = np.arange(count)
    while True:
        first, second = lowest[pairs]
        if (first == second).all():
            return lowest
        lower = np.minimum(first, second)
        np.minimum.at(lowest, first, lower)
        np.minimum.at(lowest, second, lower)
        while (lowest[lowest] != lowest).any():
            lowest = lowest[lowest]
