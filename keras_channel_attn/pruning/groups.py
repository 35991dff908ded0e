"""Groups of channels that can only be removed together."""

import collections
import dataclasses
import difflib
from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Graph, graph_of, is_model
from keras_channel_attn.pruning.coupling import FIXED, first_of_each
from keras_channel_attn.pruning.propagation import coupling_of, held_model


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
        role: `"producers"`, `"passthrough"` or `"consumers"`.
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
        name: String, the path of the first layer that produces them.
        channels: Integer, how many there are. Where several channels of a
            layer can only be removed together, such as all channels in a group
            of a grouped convolution, they count as one.
        producers: List of strings, the paths of the layers that produce them.
        passthrough: List of strings, the layers and operations that return the
            same channels, such as activations, normalization and attention.
        consumers: List of strings, the layers that compute others from them.
        locked: `None`, or a string that says why none can be removed.
        slices: List of `ChannelSlice`, the parts of the weights that belong to
            them.
    """

    name: str
    channels: int
    producers: list[str]
    passthrough: list[str]
    consumers: list[str]
    locked: str | None
    slices: list[ChannelSlice] = dataclasses.field(repr=False)


def path_of_key(key: str, paths: Collection[str]) -> str:
    """The path of a call, from its key in scores or costs.

    The key of the second call of a layer has the number 1 behind its path.
    """
    return key if key in paths else key.rpartition(":")[0]


def channel_groups(model: Any) -> dict[str, ChannelGroup]:
    """The channels of a model that can only be removed together.

    An addition couples the channels of its inputs: channel 3 of one can only be
    removed with channel 3 of the other. All layers whose channels are coupled
    form a group. The method is that of
    [DepGraph](https://arxiv.org/abs/2301.12900) (Fang et al., 2023): the graph
    of the model is read, and nothing is computed.

    A group is locked, with a reason in `group.locked`, if its channels are an
    output of the model, or reach something that cannot be followed: a layer of
    the user, a reshape that mixes channels, a normalization over all channels
    together, or an addition to channels that stay. A regularizer or constraint
    of the user is tried on another number of channels.

    Args:
        model: Functional or sequential model of Keras, built. Models that it
            calls are read too, at any depth. A model inside another layer,
            such as `TimeDistributed`, is not: pass that model, and wrap the
            result again.

    Returns:
        Dictionary from the name of each group to a `ChannelGroup` with the
        attributes `name`, `channels` (how many), `producers`, `passthrough`
        and `consumers` (paths of layers), `locked` and `slices`, in the order
        of computation. A group has the name of the first layer that produces
        its channels.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If it has no graph or is not built.

    Examples:

    >>> x = keras.Input((32, 32, 3))
    >>> y = keras.layers.Conv2D(8, 3, name="conv")(x)
    >>> y = keras.layers.GlobalAveragePooling2D(name="pool")(y)
    >>> model = keras.Model(x, keras.layers.Dense(10, name="head")(y))
    >>> groups = channel_groups(model)
    >>> groups["conv"].channels, groups["conv"].consumers
    (8, ['head'])
    >>> groups["head"].locked
    'they are an output of the model'
    """
    return Grouping(graph_of(model)).groups


class Grouping:
    """The groups of a model, and what was read to find them.

    Attributes:
        graph: `Graph` of the model.
        coupling: `Coupling`.
        groups: Dictionary from name to `ChannelGroup`.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.coupling = coupling_of(graph)
        names = [path for path, _ in self.coupling.producers]
        sizes = [size for _, size in self.coupling.producers]
        producer_of = np.repeat(np.arange(len(names)), sizes)
        representatives = self.coupling.representatives()
        pairs = np.stack([producer_of, producer_of[representatives]])
        # For each channel of the model: its group, and which one it is there.
        # `FIXED` is the index of the last entry.
        group_of = first_of_each(len(names), pairs)[producer_of]
        self._group_of = np.append(group_of, -1)
        self._position = np.zeros(self.coupling.count + 1, int)
        self._names = {
            int(group): names[group] for group in np.unique(group_of)
        }
        counts = {}
        for group, name in self._names.items():
            members = np.flatnonzero(group_of == group)
            channels, self._position[members] = np.unique(
                representatives[members], return_inverse=True
            )
            counts[name] = len(channels)
        self.groups = self._groups(counts)

    def _groups(self, counts: dict[str, int]) -> dict[str, ChannelGroup]:
        reasons: dict[str, str] = {}
        for ids, reason in self.coupling.locks:
            for group in np.unique(self._group_of[ids]):
                reasons.setdefault(self._names[group], reason)
        groups = {
            name: ChannelGroup(name, count, [], [], [], reasons.get(name), [])
            for name, count in counts.items()
        }
        for use in self.coupling.uses:
            for name, (positions, channels) in self.parts(use.ids).items():
                paths = getattr(groups[name], use.role)
                if use.path not in paths:
                    paths.append(use.path)
                groups[name].slices.extend(
                    ChannelSlice(
                        use.operation, *place, positions, channels, use.role
                    )
                    for place in use.axes
                )
        return groups

    def parts(self, ids: Any) -> dict[str, tuple[Any, Any]]:
        """Where the channels of groups are in an array.

        Returns by the name of each group in it two arrays: its positions in
        `ids`, and the channels of the group at these.
        """
        groups, found = self._group_of[ids], {}
        for group in np.unique(groups[ids != FIXED]):
            places = np.flatnonzero(groups == group)
            found[self._names[group]] = places, self._position[ids[places]]
        return found

    def parts_of_groups(self) -> dict[str, list[Any]]:
        """What the tensors of the model have of each group.

        Each array is what one tensor has of the group, if that is not all of
        it: a part after a split, or an input of a concatenation.
        """
        found: dict[str, dict[bytes, Any]] = collections.defaultdict(dict)
        for use in self.coupling.uses:
            for name, (_, channels) in self.parts(use.ids).items():
                part = np.unique(channels)
                if len(part) < self.groups[name].channels:
                    found[name][part.tobytes()] = part
        return {name: list(parts.values()) for name, parts in found.items()}

    def kept(self, removed: dict[str, Any]) -> Any:
        """Boolean array, which channels of the model are kept.

        Its last entry is true, and that of `FIXED`: -1 is the last index.
        """
        kept = np.ones(self.coupling.count + 1, bool)
        for group, name in self._names.items():
            if name in removed:
                members = self._group_of == group
                kept[members] = ~removed[name][self._position[members]]
        return kept

    def about_layers_inside(self) -> str:
        """What to do about models inside other layers; empty without them."""
        layers = {
            call.path: call.operation
            for call in self.graph.all_calls()
            if isinstance(call.operation, keras.layers.Layer)
            and not is_model(call.operation)
        }
        return "".join(
            f" The model '{model.name}' inside '{path}' (of type "
            f"{type(layer).__name__}) is not read: prune that model, and wrap "
            "the result again."
            for path, layer in layers.items()
            if (model := held_model(layer))
        )

    def free_groups(self) -> list[ChannelGroup]:
        """The groups that are not locked."""
        return [group for group in self.groups.values() if not group.locked]

    def free_group(self, name: Any, argument: str) -> ChannelGroup:
        """The group of a name in an argument, which must not be locked."""
        groups = self.groups
        if name not in groups:
            free = [group.name for group in self.free_groups()]
            near = difflib.get_close_matches(str(name), free, n=5) or free[:5]
            raise ValueError(
                f"`{argument}` names the group '{name}', and the model has no "
                f"group of that name. Near it: {near}. `channel_groups(model)` "
                f"returns all of them.{self.about_layers_inside()}"
            )
        if groups[name].locked:
            raise ValueError(
                f"`{argument}` names the group '{name}', whose channels must "
                f"stay: {groups[name].locked}."
            )
        return groups[name]
