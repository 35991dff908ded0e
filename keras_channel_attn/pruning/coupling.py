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
>>> a, b = coupling.new("a", 3), coupling.new("b", 3)
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

import keras
import numpy as np

from keras_channel_attn.graph import Call, IdentityMap, is_from_keras

# A position that holds no channel of any layer, such as one of an input.
FIXED = -1
# From the attributes that hold weights to axes of these.
Axes = Mapping[str, Sequence[int]]
# From a boolean array, which positions are kept, to configuration entries.
Config = Callable[[Any], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels of a tensor.

    Attributes:
        axis: Positive integer, the axis of the tensor.
        ids: Array with a number for each position.
    """

    axis: int
    ids: Any


# Of several tensors. `None` stands for a tensor whose channels all stay.
TensorChannels = list[Channels | None]


def ids_along(channels: Channels | None, size: int) -> Any:
    """The numbers along an axis of this size, `FIXED` if its channels stay."""
    return channels.ids if channels else np.full(size, FIXED)


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
    config: Config | None


class Coupling:
    """The channels of a model, what is done with them, and which are coupled.

    Attributes:
        count: Integer, how many channels there are.
        producers: List of pairs: the path of a layer that produces channels,
            and how many.
        uses: List of `ChannelUse` in the order of computation. The channels of
            each tensor are those of one of them. An axis of a weight, and the
            configuration of an operation, are in the first use only: all calls
            use the same.
        inputs: `IdentityMap` from the inputs of nested models to `Channels` or
            `None`.
        locks: List of pairs: an array of channels, and a string that says why
            these must stay.
        produced: Dictionary from each layer to the channels that it produces.
        first: Dictionary from each axis of a weight and each configuration to
            the channels that it has at the first call.
    """

    def __init__(self) -> None:
        self.count = 0
        self.producers: list[tuple[str, int]] = []
        self.uses: list[ChannelUse] = []
        self.inputs = IdentityMap()
        self.locks: list[tuple[Any, str]] = []
        self.produced: dict[Any, Any] = {}
        self.first: dict[tuple[Any, ...], Any] = {}
        self._pairs: list[Any] = []

    def new(self, path: str, size: int) -> Any:
        """Array of channels that did not exist before, of a layer at a path."""
        self.producers.append((path, size))
        ids = np.arange(self.count, self.count + size)
        self.count += size
        return ids

    def couple(self, first: Any, second: Any, reason: str) -> None:
        """Couple the channels at the same position of two arrays.

        Those that meet `FIXED` are locked for this reason, and all of arrays
        of different lengths.
        """
        if first is second:
            return
        if len(first) != len(second):
            self.lock(first, reason)
            self.lock(second, reason)
            return
        pairs = np.stack([first, second])
        self._pairs.append(pairs[:, (pairs != FIXED).all(axis=0)])
        self.lock(pairs[:, (pairs == FIXED).any(axis=0)].ravel(), reason)

    def lock(self, ids: Any, reason: str) -> None:
        """Say why channels must stay."""
        ids = ids[ids != FIXED]
        if ids.size:
            self.locks.append((ids, reason))

    def enter(self, tensor: Any, channels: Channels | None, path: str) -> Any:
        """The channels of an input of a nested model, the same in all calls.

        The call at `path` gives the model these channels.
        """
        if channels and tensor.shape[channels.axis : channels.axis + 1] != (
            len(channels.ids),
        ):
            shape = tuple(tensor.shape)
            what = f"the model '{path}' takes them in the shape {shape}"
            self.lock(channels.ids, what)
            channels = None
        first = self.inputs.setdefault(tensor, channels)
        reason = f"the model '{path}' is called on tensors whose channels stay"
        if first and channels and first.axis == channels.axis:
            self.couple(first.ids, channels.ids, reason)
        elif first is not channels:
            for other in filter(None, (first, channels)):
                self.lock(other.ids, reason)
        return first

    def representatives(self) -> Any:
        """The first of all channels that go with each channel."""
        pairs = np.concatenate([np.zeros((2, 0), int), *self._pairs], axis=1)
        return first_of_each(self.count, pairs)


class NotFollowed(Exception):
    """Raised by a rule: the channels of its inputs must stay.

    The text says what the layer or operation is or does.
    """


class Step:
    """A call of a layer or operation, as a rule for its kind gets it.

    Attributes:
        coupling: `Coupling` of the model.
        call: `Call`.
        operation: The layer or operation.
        inputs: List of the `Channels` of its inputs, with `None` for a tensor
            whose channels all stay.
    """

    def __init__(self, coupling: Coupling, call: Call, inputs: TensorChannels):
        self.coupling = coupling
        self.call = call
        self.operation = call.operation
        self.inputs = inputs

    @property
    def rank(self) -> int:
        """The number of axes of the first input."""
        return len(self.call.inputs[0].shape)

    @property
    def channel_axis(self) -> int:
        """The axis of the channels by the data format of the layer."""
        is_first = self.operation.data_format == "channels_first"
        return 1 if is_first else self.rank - 1

    def first_channels(self) -> Channels:
        """The channels of the first input; those of others are locked."""
        for channels in self.inputs[1:]:
            self.lock("takes them as an argument", channels)
        if self.inputs[0] is None:
            raise NotFollowed("takes a tensor whose channels stay")
        return self.inputs[0]

    def produced_ids(self, size: int) -> Any:
        """The channels that the layer produces: the same ones at each call."""
        produced = self.coupling.produced
        if self.operation not in produced:
            new = self.coupling.new(self.call.path, size)
            produced[self.operation] = new
        return produced[self.operation]

    def use(
        self,
        role: str,
        ids: Any,
        axes: Axes | None = None,
        config: Config | None = None,
    ) -> None:
        """Record what the call does with channels: see `ChannelUse`.

        Axes may be negative, and weights `None`.
        """
        new = []
        for weight, axes_of_weight in (axes or {}).items():
            variable = getattr(self.operation, weight)
            for axis in () if variable is None else axes_of_weight:
                axis %= len(variable.shape)
                # Two attributes may hold the same variable.
                if self._is_first((id(variable), axis), ids):
                    new.append((weight, axis))
                    self._check_functions(weight, variable, axis, ids)
        if config is not None and not self._is_first((), ids):
            config = None
        self.coupling.uses.append(
            ChannelUse(self.call.path, self.operation, role, ids, new, config)
        )

    def _is_first(self, place: tuple[Any, ...], ids: Any) -> bool:
        """Whether no call before has used it; if one has, couple with that."""
        place, first = (self.operation, *place), self.coupling.first
        if place not in first:
            first[place] = ids
            return True
        what = "is called on a tensor whose channels stay, too"
        self.coupling.couple(first[place], ids, self.reason(what))
        return False

    def _check_functions(
        self, weight: str, variable: Any, axis: int, ids: Any
    ) -> None:
        """Lock channels that a regularizer or constraint needs all of.

        A function of a user may do anything, so it is tried. One channel more
        is a size that is never broadcast.
        """
        shape = list(variable.shape)
        shape[axis] += 1
        for kind in ("regularizer", "constraint"):
            function = getattr(variable, kind, None)
            if function is None or is_from_keras(type(function)):
                continue
            try:
                function(keras.ops.ones(shape, variable.dtype))
            except Exception:
                what = f"has a {kind} of its {weight} for these channels only"
                self.lock(what, Channels(axis, ids))

    def couple_blocks(self, blocks: int, *arrays: Any) -> None:
        """Couple all channels in the same block of arrays in equal blocks."""
        rows = np.concatenate([ids.reshape(blocks, -1) for ids in arrays], 1)
        path = self.call.path
        reason = f"'{path}' computes them together with channels that stay"
        for column in rows.T[:-1]:
            self.coupling.couple(rows.T[-1], column, reason)

    def lock(self, what: str, *channels: Channels | None) -> TensorChannels:
        """Lock channels, by default those of all inputs.

        Args:
            what: String, what the layer or operation is or does.
            *channels: `Channels`, or `None` where nothing is to be locked.

        Returns:
            List with `None` for each output: all of their channels stay.
        """
        for locked in channels or self.inputs:
            if locked is not None:
                self.coupling.lock(locked.ids, self.reason(what))
        return [None] * len(self.call.outputs)

    def reason(self, what: str) -> str:
        """Why channels must stay: what the layer or operation is or does."""
        kind = type(self.operation).__name__
        return f"'{self.call.path}' (of type {kind}) {what}"


def first_of_each(count: int, pairs: Any) -> Any:
    """The lowest number that each of the numbers below `count` is paired with.

    `pairs` has the shape `(2, number of pairs)`.
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
