"""Which attention blocks a network has, and what only looks like one."""

import dataclasses
import inspect
from typing import Any

from keras_channel_attn.graph import Call, Graph, IdentityMap, graph_of
from keras_channel_attn.surgery.fusion_conditions import (
    Uses,
    check_training,
    has_all_weights,
)
from keras_channel_attn.surgery.matches import Match, Obstacle
from keras_channel_attn.surgery.mechanisms import MECHANISMS
from keras_channel_attn.surgery.mistakes import mistakes_at
from keras_channel_attn.surgery.normal_nodes import Node, Value
from keras_channel_attn.surgery.normal_operations import (
    normal_values,
    weights_in_function,
)


@dataclasses.dataclass(frozen=True)
class AttentionBlock:
    """Attention that is written as several layers: see `attention_blocks`.

    Attributes:
        path: String, the name of the layer or operation that computes the
            output, preceded by the names of the models around it.
        kind: String, the short name of the mechanism, such as `"SE"`.
        layer: String, the layer of this library that equals it, as code:
            `"SqueezeExcite(16, use_bias=True)"`; `None` if there is none.
        reason: String, why `fuse_attention` leaves it alone, with the path of
            the layer that shows it; `None` if it is fused.
    """

    path: str
    kind: str
    layer: str | None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class AttentionBlocks:
    """The attention blocks of a model: see `attention_blocks`.

    Attributes:
        name: String, the name of the model.
        blocks: List of `AttentionBlock`, in the order of computation. Those
            of a nested model are where it is called first.
    """

    name: str
    blocks: list[AttentionBlock]

    def __str__(self) -> str:
        count = len(self.blocks)
        noun = "block that is" if count == 1 else "blocks that are"
        lines = [
            f"{self.name}: {count or 'no'} attention {noun} written as layers"
        ]
        for block in self.blocks:
            equal = f", equals {block.layer}" if block.layer else ""
            lines.append(f"  {block.path}: {block.kind}{equal}")
            if block.reason:
                lines.append(f"    not fused: {block.reason}")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Block:
    """Attention, or what is nearly attention, in a graph.

    Attributes:
        call: `Call` that computes the output.
        kind: String, the mechanism.
        match: `Match`, or `None` for a mistake.
        arguments: Dictionary of the arguments of the layer that equals it, or
            `None`. It is known where there is no obstacle.
        obstacle: `Obstacle`, why it is not fused, or `None`.
    """

    call: Call
    kind: str
    match: Any = None
    arguments: Any = None
    obstacle: Obstacle | None = None


def attention_blocks(model: Any) -> AttentionBlocks:
    """The attention in a network that is written as several layers.

    It says what `fuse_attention` does with a network, and why it leaves some
    blocks alone: weights that are shared with another part of the network,
    tensors that are used elsewhere, and the mistakes that circulate in copies
    of attention blocks, such as an average in the place of the maximum. Print
    the result. Nothing is copied or changed.

    Args:
        model: Functional or sequential model of Keras, built.

    Returns:
        `AttentionBlocks`.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If it has no graph or is not built.

    Examples:

    >>> x = keras.Input((32, 32, 64), name="x")
    >>> y = keras.layers.GlobalAveragePooling2D()(x)
    >>> y = keras.layers.Dense(4, "relu")(y)
    >>> y = keras.layers.Dense(64, "sigmoid")(y)
    >>> y = keras.layers.Multiply(name="se")([x, y])
    >>> print(attention_blocks(keras.Model(x, y, name="network")))
    network: 1 attention block that is written as layers
      se: SE, equals SqueezeExcite(16, use_bias=True)
    """
    graph = graph_of(model)
    blocks = [
        AttentionBlock(
            block.call.path,
            block.kind,
            _code(block),
            None if block.obstacle is None else str(block.obstacle),
        )
        for block in blocks_of(graph)
    ]
    return AttentionBlocks(model.name, blocks)


def blocks_of(graph: Graph) -> list[Block]:
    """The blocks of a network, nested models included, in order."""
    uses, found = Uses(graph), []
    for inner in graph.nested.values():
        found += _blocks_of_one(inner, uses)
    positions = {call: index for index, call in enumerate(graph.all_calls())}
    return sorted(found, key=lambda block: positions[block.call])


def _code(block: Block) -> str | None:
    """The call of a layer: `SqueezeExcite(16, use_bias=True)`."""
    if block.arguments is None:
        return None
    kind, arguments = block.match.mechanism.layer, dict(block.arguments)
    first = next(iter(inspect.signature(kind).parameters))
    shown = [repr(arguments.pop(first))] if first in arguments else []
    shown += [f"{name}={value!r}" for name, value in arguments.items()]
    return f"{kind.__name__}({', '.join(shown)})"


def _blocks_of_one(graph: Graph, uses: Uses) -> list[Block]:
    values = normal_values(graph)
    found: list[Block] = []
    taken: set[Call] = set()
    for call in reversed(_ends(graph, values)):
        if call in taken:
            continue
        match = _match_at(call, values)
        if match is None:
            found += _mistakes_at(call, values)
            continue
        block = _judged(match, uses)
        found.append(block)
        if block.obstacle is None:
            taken.update(match.members)
    return found[::-1]


def _ends(graph: Graph, values: IdentityMap) -> list[Call]:
    """The calls that compute something: not those that move its axes."""
    seen: set[Node] = set()
    ends = []
    for call in graph.calls:
        nodes = [values[tensor].node for tensor in call.outputs]
        if call.inner is None and len(nodes) == 1 and nodes[0] not in seen:
            ends.append(call)
        seen.update(nodes)
    return ends


def _judged(match: Match, uses: Uses) -> Block:
    arguments = obstacle = None
    try:
        arguments = match.arguments()
        uses.check(match)
        check_training(match)
        if not has_all_weights(match, arguments):
            name, arguments = match.mechanism.layer.__name__, None
            reason = f"has not the weights of one `{name}`"
            raise Obstacle(reason, match.product)
    except Obstacle as found:
        obstacle = found
    kind = match.mechanism.kind
    return Block(match.product, kind, match, arguments, obstacle)


def _mistakes_at(call: Call, values: IdentityMap) -> list[Block]:
    found = [
        Block(call, kind, obstacle=Obstacle(text, node.call))
        for kind, node, text in mistakes_at(values[call.outputs[0]].node)
    ]
    if weights_in_function(call):
        text = "computes with weights that are neither trained nor saved"
        found.append(Block(call, "attention", obstacle=Obstacle(text, call)))
    return found


def _match_at(product: Call, values: IdentityMap) -> Match | None:
    value = values[product.outputs[0]]
    if len(value.layout) < 3:
        return None
    for mechanism in MECHANISMS:
        for found in mechanism.pattern(value.node, {}):
            region = _region(product, found["x"], value, values)
            if region is not None:
                return Match(mechanism, found, product, *region, values)
    return None


def _region(
    product: Call, x: Node, value: Value, values: IdentityMap
) -> tuple[Any, list[Call]] | None:
    """The tensor `x` in the layout of the product, and the calls after it."""
    graph, inputs = product.graph, None
    members: dict[Call, None] = {}
    waiting = [product]
    while waiting:
        call = waiting.pop()
        members[call] = None
        for tensor in call.inputs:
            if values[tensor].node is x:
                if values[tensor].layout == value.layout:
                    inputs = tensor
                continue
            source = graph.source(tensor)
            if source is None:
                return None
            if source not in members:
                waiting.append(source)
    del members[product]
    return None if inputs is None else (inputs, list(members))
