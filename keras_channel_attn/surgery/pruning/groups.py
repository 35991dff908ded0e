"""Groups of channels that can only be removed together."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    arguments_of_model,
    graph_of,
    is_model,
)
from keras_channel_attn.graph.operations import inner_layers, operations_of
from keras_channel_attn.surgery.pruning.flows import flow
from keras_channel_attn.surgery.pruning.reading import (
    Channels,
    Cut,
    Reading,
)
from keras_channel_attn.surgery.pruning.rules import locked
from keras_channel_attn.surgery.pruning.ties import FIXED, connected


@dataclasses.dataclass(frozen=True)
class ChannelSlice:
    """The part of a weight that belongs to the channels of a group.

    Attributes:
        layer: Layer.
        weight: String, the attribute of the layer that holds the weight.
        axis: Integer, axis of the weight.
        positions: Array of integers, positions along this axis.
        channels: Array of integers, the channel of the group that each of
            these positions belongs to.
        role: `"makers"`, `"carriers"` or `"readers"`.
    """

    layer: Any
    weight: str
    axis: int
    positions: Any
    channels: Any
    role: str


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """Channels of a model that can be removed one by one, or must stay.

    Attributes:
        name: String, the path of the first layer that makes them.
        channels: Integer, how many there are. One of them may be several
            channels of each layer that can only go together: with a grouped
            convolution, all of a group.
        makers: List of strings, the paths of the layers that make them.
        carriers: List of strings, the layers and operations that they pass.
        readers: List of strings, the layers that compute others from them.
        locked: `None`, or a string that says why none can be removed.
        slices: List of `ChannelSlice`, the parts of the weights that belong to
            them.
    """

    name: str
    channels: int
    makers: list[str]
    carriers: list[str]
    readers: list[str]
    locked: str | None
    slices: list[ChannelSlice] = dataclasses.field(repr=False)


def channel_groups(model: Any) -> dict[str, ChannelGroup]:
    """The channels of a model that can only be removed together.

    An addition ties the channels of its inputs: channel 3 of one can only be
    removed with channel 3 of the other. All layers whose channels are tied
    form a group. The method is that of
    [DepGraph](https://arxiv.org/abs/2301.12900) (Fang et al., 2023): the graph
    of the model is read, and nothing is computed.

    A group is locked, with a reason in `group.locked`, if its channels are an
    output of the model, or reach something that cannot be followed: a layer of
    the user, a reshape that mixes channels, a normalization over all channels
    together, or an addition to channels that stay.

    Args:
        model: Functional or sequential model of Keras, built. Models in it are
            read too, at any depth.

    Returns:
        Dictionary from the name of each group to a `ChannelGroup` with the
        attributes `name`, `channels` (how many), `makers`, `carriers` and
        `readers` (paths of layers), `locked` and `slices`, in the order of
        computation. A group has the name of the first layer that makes it.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If it has no graph or is not built.

    Examples:

    >>> x = keras.Input((32, 32, 3))
    >>> y = keras.layers.Conv2D(8, 3, name="conv")(x)
    >>> y = keras.layers.GlobalAveragePooling2D(name="pool")(y)
    >>> model = keras.Model(x, keras.layers.Dense(10, name="head")(y))
    >>> groups = channel_groups(model)
    >>> groups["conv"].channels, groups["conv"].readers
    (8, ['head'])
    >>> groups["head"].locked
    'they are an output of the model'
    """
    return Grouping(graph_of(model)).groups


class Grouping:
    """The groups of a model, and what was read to find them.

    Attributes:
        graph: `Graph` of the model.
        reading: `Reading`.
        groups: Dictionary from name to `ChannelGroup`.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reading = _reading_of(graph)
        sources = self.reading.sources
        count = self.reading.ties.count
        representatives = self.reading.ties.representatives()
        source_of = np.repeat(
            np.arange(len(sources)), [len(ids) for _, ids in sources]
        )
        pairs = np.stack([source_of, source_of[representatives]])
        # For each channel of the model: its group, and which one it is there.
        self._group_of = connected(len(sources), pairs)[source_of]
        self._position = np.zeros(count, int)
        sizes = {}
        for group in np.unique(self._group_of):
            members = self._group_of == group
            _, position = np.unique(
                representatives[members], return_inverse=True
            )
            self._position[members] = position
            sizes[int(group)] = int(position.max()) + 1
        self.groups = self._groups(sizes)
        self._number_of = {sources[number][0]: number for number in sizes}

    def kept(self, removed: dict[str, Any]) -> Any:
        """Boolean array, which channels of the model are kept.

        Args:
            removed: Dictionary from the name of each group to a boolean array.
        """
        kept = np.ones(len(self._group_of), bool)
        for name, mask in removed.items():
            members = self._group_of == self._number_of[name]
            kept[members] = ~mask[self._position[members]]
        return kept

    def parts(self, ids: Any) -> dict[str, tuple[Any, Any]]:
        """Where the channels of groups are in an array.

        Returns:
            Dictionary from the name of each group in it to two arrays: its
            positions in `ids`, and the channels of the group at these.
        """
        return {
            self.reading.sources[group][0]: part
            for group, part in self._parts(ids).items()
        }

    def parts_of_groups(self) -> dict[str, list[Any]]:
        """What the tensors of the model have of each group.

        Returns:
            Dictionary from the name of each group to arrays of channels. Each
            is what one tensor has of the group, if that is not all of it: a
            part after a split, or an input of a concatenation.
        """
        arrays = {id(ids): ids for _, ids in self.reading.tensors}
        found: dict[str, dict[bytes, Any]] = collections.defaultdict(dict)
        for ids in arrays.values():
            for name, (_, channels) in self.parts(ids).items():
                part = np.unique(channels)
                if len(part) < self.groups[name].channels:
                    found[name][part.tobytes()] = part
        return {name: list(parts.values()) for name, parts in found.items()}

    def _groups(self, sizes: dict[int, int]) -> dict[str, ChannelGroup]:
        paths: dict[str, dict[int, list[str]]] = {
            role: collections.defaultdict(list)
            for role in ("makers", "carriers", "readers")
        }
        for note in self.reading.notes:
            for group in self._parts(note.ids):
                if note.path not in paths[note.role][group]:
                    paths[note.role][group].append(note.path)
        reasons: dict[int, str] = {}
        for ids, reason in self.reading.ties.locks:
            for group in np.unique(self._group_of[ids]):
                reasons.setdefault(int(group), reason)
        slices = self._slices()
        groups = {}
        for group, size in sizes.items():
            name = self.reading.sources[group][0]
            groups[name] = ChannelGroup(
                name=name,
                channels=size,
                makers=paths["makers"][group],
                carriers=paths["carriers"][group],
                readers=paths["readers"][group],
                locked=reasons.get(group),
                slices=slices[group],
            )
        return groups

    def _slices(self) -> dict[int, list[ChannelSlice]]:
        slices = collections.defaultdict(list)
        for cut in self.reading.cuts.values():
            for group, (positions, channels) in self._parts(cut.ids).items():
                slices[group].append(_slice(cut, positions, channels))
        return slices

    def _parts(self, ids: Any) -> dict[int, tuple[Any, Any]]:
        """From each group in an array to its positions and its channels."""
        positions = np.flatnonzero(ids != FIXED)
        if not positions.size:
            return {}
        ids = ids[positions]
        groups = self._group_of[ids]
        # Channels of one layer are mostly beside each other.
        order = np.argsort(groups, kind="stable")
        found, starts = np.unique(groups[order], return_index=True)
        return {
            int(group): (positions[part], self._position[ids[part]])
            for group, part in zip(
                found, np.split(order, starts[1:]), strict=True
            )
        }


def _slice(cut: Cut, positions: Any, channels: Any) -> ChannelSlice:
    return ChannelSlice(
        cut.layer, cut.weight, cut.axis, positions, channels, cut.role
    )


def _reading_of(graph: Graph) -> Reading:
    reading = Reading()
    unknown = _layers_used_elsewhere(graph)
    inputs = [None] * len(graph.model.inputs)
    outputs = _outputs(reading, graph, inputs, unknown)
    # Of several reasons the first one is shown, and this is the plainest.
    others, reading.ties.locks = reading.ties.locks, []
    for channels in outputs:
        if channels:
            reading.ties.lock(channels.ids, "they are an output of the model")
    reading.ties.locks += others
    return reading


def _outputs(
    reading: Reading,
    graph: Graph,
    inputs: Sequence[Channels | None],
    unknown: set[Any],
) -> list[Channels | None]:
    """The channels of the outputs of a model, for those of its inputs."""
    known = IdentityMap()
    _assign(known, graph.model.inputs, inputs)
    for call in graph.calls:
        if call.inner is not None:
            given = _inputs_of_nested(reading, call, known)
            outputs = _outputs(reading, call.inner, given, unknown)
        else:
            given = [known[tensor] for tensor in call.inputs]
            rule = locked if call.operation in unknown else flow
            outputs = rule(reading, call, given)
            reading.tensors += [(call.path, x.ids) for x in outputs if x]
        _assign(known, call.outputs, outputs)
    return [known[tensor] for tensor in graph.outputs]


def _inputs_of_nested(
    reading: Reading, call: Call, known: IdentityMap
) -> list[Channels | None]:
    """The channels of the inputs of a nested model that is called."""
    arguments = arguments_of_model(call, call.args, call.kwargs)
    return [
        reading.entered(tensor, known.get(argument), call.path)
        for tensor, argument in zip(
            call.operation.inputs, arguments, strict=True
        )
    ]


def _layers_used_elsewhere(graph: Graph) -> set[Any]:
    """Layers that others hold, or whose variables are arguments of calls."""
    arguments = IdentityMap()
    operations = []
    for nested in graph.nested.values():
        operations += operations_of(nested.model)
    for call in graph.all_calls():
        for leaf in keras.tree.flatten((call.args, call.kwargs)):
            if isinstance(leaf, keras.Variable):
                arguments[leaf] = True
    used = set()
    for operation in operations:
        if not isinstance(operation, keras.layers.Layer) or is_model(operation):
            continue
        used |= {inner for place, inner in inner_layers(operation) if place}
        if any(variable in arguments for variable in operation.variables):
            used.add(operation)
    return used


def _assign(
    known: IdentityMap,
    tensors: Sequence[Any],
    values: Sequence[Channels | None],
) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        known[tensor] = value
