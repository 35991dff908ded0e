"""Patterns of normal operations, put together from a few functions.

A pattern is a function of a node and of what has been found so far, a
dictionary from names to nodes. It yields all ways to match. The same name at
two places stands for the same tensor, or the same layer.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from keras_channel_attn.surgery.normal_nodes import Axis, Node, axes_of

Found = dict[str, Any]
Pattern = Callable[[Node, Found], Iterator[Found]]
# Where an operation takes place: more is found, or `None`.
Place = Callable[[Node, Found], Found | None]

_COMMUTATIVE = ("sum", "product", "maximum", "average")


def tensor(name: str) -> Pattern:
    """Any tensor, the same at each place of the name."""

    def match(node: Node, found: Found) -> Iterator[Found]:
        if found.get(name, node) is node:
            yield {**found, name: node}

    return match


def named(name: str, pattern: Pattern) -> Pattern:
    """A pattern whose result has a name too."""

    def match(node: Node, found: Found) -> Iterator[Found]:
        for more in pattern(node, found):
            yield {**more, name: node}

    return match


def anywhere(node: Node, found: Found) -> Found | None:
    """The place of an operation that may be along any axes."""
    return found


def operation(
    kind: str,
    *inputs: Pattern,
    place: Place = anywhere,
    name: str = "",
    position: int = 0,
) -> Pattern:
    """A node of one kind, or of several: `"mean|max"`.

    Args:
        kind: String.
        *inputs: Patterns of its inputs. Their order is free where the operation
            is commutative.
        place: Which axes it is along. Defaults to any.
        name: String, under which its layer is found. Two places of one name
            have the same layer. Defaults to none.
        position: Integer, which part of a concatenation it is.
    """

    def match(node: Node, found: Found) -> Iterator[Found]:
        if node.kind not in kind.split("|") or node.position != position:
            return
        if name and found.get(name, node).layer is not node.layer:
            return
        for given in _orders(node, len(inputs)):
            partial = [{**found, name: node} if name else found]
            for pattern, tensor_in in zip(inputs, given, strict=True):
                partial = [
                    more for one in partial for more in pattern(tensor_in, one)
                ]
            for one in partial:
                if (more := place(node, one)) is not None:
                    yield more

    return match


def _orders(node: Node, count: int) -> Iterator[tuple[Node, ...]]:
    inputs = node.inputs
    if node.kind not in _COMMUTATIVE:
        return iter([inputs] if len(inputs) == count else [])
    while len(inputs) < count and any(x.kind == node.kind for x in inputs):
        # `a * b * c` is a product of a product.
        nested = next(x for x in inputs if x.kind == node.kind)
        rest = tuple(x for x in inputs if x is not nested)
        inputs = (*nested.inputs, *rest)
    return itertools.permutations(inputs) if len(inputs) == count else iter(())


def activation(name: str, of: Pattern) -> Pattern:
    """An elementwise function, or none: all of them under one name."""

    def match(node: Node, found: Found) -> Iterator[Found]:
        applied = (*found.get(name, ()), node)
        return of(node.base, {**found, name: applied})

    return match


def chain(*last: Pattern, name: str = "chain") -> Pattern:
    """One of some patterns, after any operations of one input each."""

    def match(node: Node, found: Found) -> Iterator[Found]:
        passed: list[Node] = []
        while True:
            for pattern in last:
                yield from pattern(node, {**found, name: tuple(passed)})
            inputs = {*node.inputs}
            if len(inputs) > 1 and node.kind == "elementwise":
                inputs = {node.base}
            if len(inputs) != 1:
                return
            passed.append(node)
            (node,) = inputs

    return match


# Places: `x` is the tensor that is gated.


def _axes(node: Node) -> list[frozenset[Axis]]:
    """The axes of each dimension of a tensor after the batch."""
    return [axes_of((dimension,)) for dimension in node.layout[1:]]


def _with_channels(axes: frozenset[Axis], found: Found) -> Found | None:
    if found.get("channels", axes) != axes or axes not in _axes(found["x"]):
        return None
    if len(axes) != 1:
        # Merged with another axis, as before a recurrent layer.
        return None
    return {**found, "channels": axes}


def over_positions(node: Node, found: Found) -> Found | None:
    """Over all axes of `x` but those of the batch and the channels."""
    everything = axes_of(found["x"].layout[1:])
    if not node.axes < everything:
        return None
    return _with_channels(everything - node.axes, found)


def at_positions(node: Node, found: Found) -> Found | None:
    """Over all positions of `x`, whose channels are known."""
    everything = axes_of(found["x"].layout[1:])
    return found if node.axes == everything - found["channels"] else None


def over_other_positions(node: Node, found: Found) -> Found | None:
    """Over all positions of `x` but those along one axis."""
    kept = [axes for axes in _axes(found["x"]) if not axes & node.axes]
    rest = axes_of(found["x"].layout[1:]).difference(*kept)
    return found if len(kept) == 2 and node.axes == rest else None


def over_its_positions(node: Node, found: Found) -> Found | None:
    """Over all axes of its input but the batch and one more."""
    axes = _axes(node.inputs[0])
    return found if axes and len(node.axes) == len(axes) - 1 else None


def over_channels(node: Node, found: Found) -> Found | None:
    """Over the channels of `x` alone."""
    return _with_channels(node.axes, found)


def along_channels(node: Node, found: Found) -> Found | None:
    """A dense map from the channels of `x`, or of a descriptor."""
    return None if node.windows else _with_channels(node.axes, found)


def of_channels(node: Node, found: Found) -> Found | None:
    """A normalization of numbers that stand for channels."""
    return found if node.axes == found["channels"] else None


def to_all_channels(node: Node, found: Found) -> Found | None:
    """A dense map to as many channels as `x` has."""
    more = along_channels(node, found)
    sizes = dict(sum(found["x"].layout, ()))
    if more is None or {node.units} != {sizes[axis] for axis in node.axes}:
        return None
    return more


def to_one_channel(node: Node, found: Found) -> Found | None:
    """A dense map from the channels of `x` to a single one."""
    return along_channels(node, found) if node.units == 1 else None


def to_one_map(node: Node, found: Found) -> Found | None:
    """A convolution of some maps to one, over the positions of `x`."""
    is_joined = node.units == 1 and all(axis.parts for axis in node.axes)
    is_full = len(node.windows) in (0, len(_axes(found["x"])) - 1)
    return found if is_joined and is_full else None


def across_channels(node: Node, found: Found) -> Found | None:
    """A convolution with one kernel whose windows move along the channels."""
    is_single = node.units == 1 and len(node.windows) == 1
    return _with_channels(frozenset(node.windows), found) if is_single else None


def either(*patterns: Pattern) -> Pattern:
    """What one of several patterns matches."""

    def match(node: Node, found: Found) -> Iterator[Found]:
        for pattern in patterns:
            yield from pattern(node, found)

    return match
