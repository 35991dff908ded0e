"""Which attention blocks a network has, and what only looks like one."""

import dataclasses
from typing import Any

from keras_channel_attn.graph import Call, Graph, IdentityMap
from keras_channel_attn.surgery.fusion_conditions import (
    Uses,
    check_training,
    has_all_weights,
)
from keras_channel_attn.surgery.matches import Match, Obstacle
from keras_channel_attn.surgery.mechanisms import MECHANISMS
from keras_channel_attn.surgery.mistakes import mistakes_at
from keras_channel_attn.surgery.normal_operations import (
    Node,
    Value,
    normal_values,
    weights_in_function,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """Attention, or what is nearly attention, in a graph.

    Attributes:
        call: `Call` that computes the output.
        kind: String, the mechanism.
        match: `Match`, or `None` for a mistake.
        arguments: Dictionary of the arguments of the layer that equals it, or
            `None`.
        obstacle: `Obstacle`, why it is not fused, or `None`.
    """

    call: Call
    kind: str
    match: Match | None = None
    arguments: dict[str, Any] | None = None
    obstacle: Obstacle | None = None


def blocks_of(graph: Graph) -> list[Block]:
    """The blocks of a network, nested models included, in order."""
    uses, found = Uses(graph), []
    for inner in graph.nested.values():
        found += _blocks_of_one(inner, uses)
    return found


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
