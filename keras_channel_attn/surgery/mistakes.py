"""Mistakes that circulate in copies of attention blocks."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from keras_channel_attn.graph import snake_name
from keras_channel_attn.surgery.activation_names import activation_and_factor
from keras_channel_attn.surgery.mechanisms import (
    X,
    context,
    expand,
    hidden,
    pooling,
    product,
    spatial_gates,
)
from keras_channel_attn.surgery.normal_nodes import Node, axes_of
from keras_channel_attn.surgery.patterns import (
    Found,
    Pattern,
    activation,
    chain,
    either,
    named,
    operation,
    over_its_positions,
    tensor,
    to_one_channel,
)

# What shows a mistake: the mechanism that was meant, the node, and what its
# layer does.
Finding = tuple[str, Node, str]


def mistakes_at(node: Node) -> list[Finding]:
    """The mistakes that a node is the output of, perhaps none.

    A block may show several.
    """
    shown: dict[tuple[str, str], Finding] = {}
    for pattern, findings in _MISTAKES:
        for found in pattern(node, {}):
            for kind, place, text in findings(found):
                shown.setdefault((kind, text), (kind, place, text))
    return list(shown.values())


def _is_gate(node: Node) -> bool:
    pair = activation_and_factor(node)
    return pair is not None and pair[0] in ("sigmoid", "hard_sigmoid")


def _layers(nodes: tuple[Node, ...]) -> set[Any]:
    """The layers with weights among some nodes."""
    return {x.layer for x in nodes if getattr(x.layer, "weights", ())}


def _in_branches(found: Found) -> Iterator[Finding]:
    right, second = found["right"], found["second"]
    if found["first"].kind == second.kind == "mean":
        text = "pools the average once more, where the maximum should be"
        yield "CBAM", second, text
    layers = _layers(found["left"]), _layers(right)
    if all(layers) and layers[0].isdisjoint(layers[1]):
        own = next(node for node in right if node.layer in layers[1])
        yield (
            "CBAM",
            own,
            "has weights of its own: the average and the maximum should share "
            "theirs",
        )
    # The last operations of both branches, and the one after their sum.
    outer, *inner = (found[x][:1] for x in ("chain", "left", "right"))
    if not all(nodes and _is_gate(nodes[0]) for nodes in inner):
        return
    if outer and _is_gate(outer[0]):
        text = "applies a sigmoid to sigmoids, so that the gates are above 0.5"
        yield "CBAM", outer[0], text
    else:
        text = (
            "applies the sigmoid before the sum, so that the gates go up to 2"
        )
        yield "CBAM", right[0], text


def _in_gates_of_positions(found: Found) -> Iterator[Finding]:
    gate = found["gate"][-1]
    if gate.kind == "softmax":
        return
    text = "makes gates of positions without a sigmoid"
    if _is_gate(gate):
        text = (
            "gates the positions alone, without the channels before, for which "
            "there is no layer"
        )
    yield "CBAM", found["spatial"], text


def _is_single(softmax: Node) -> bool:
    """Whether a softmax is computed over one number."""
    sizes = dict(sum(softmax.layout, ()))
    return all(sizes.get(axis, 1) == 1 for axis in softmax.axes)


def _in_softmax_of_one(found: Found) -> Iterator[Finding]:
    if _is_single(found["softmax"]):
        text = "is a softmax of a single number, which is always 1"
        yield "attention", found["softmax"], text


def _in_softmax(found: Found) -> Iterator[Finding]:
    if not _is_single(found["softmax"]):
        yield "SE", found["softmax"], "is a softmax, where a sigmoid should be"


def _in_product(found: Found) -> Iterator[Finding]:
    gate, root, x = found["chain"][:1], found["root"], found["x"]
    if gate and isinstance(gate[0].layer, keras.layers.PReLU):
        yield "SE", gate[0], "is no sigmoid"
    if len(root.layout) > len(x.layout):
        text = "multiplies by gates that have more axes than the input"
        yield "attention", root, text
    elif axes_of(root.layout) != axes_of(x.layout) and not any(
        node.kind == "other" for node in found["chain"]
    ):
        text = "multiplies along another axis than the one of the gates"
        yield "attention", root, text


def _without_pooling(found: Found) -> Iterator[Finding]:
    if len(found["x"].layout) > 2:
        text = "gates each position on its own: nothing is pooled"
        yield "SE", found["expand"], text
    else:
        text = "gates a vector, which has no positions that could be pooled"
        yield "SE", found["reduce"], text


def _in_many_filters(found: Found) -> Iterator[Finding]:
    if len(found["x"].layout) > 2:
        text = "has a filter for each channel, where one should be"
        yield "sSE", found["expand"], text


def _in_other_pooling(found: Found) -> Iterator[Finding]:
    is_softmax = any(node.kind == "softmax" for node in found["chain"])
    is_other = found["y"] is not found["x"]
    if is_other and not is_softmax and _layers(found["chain"]):
        text = "pools another tensor than the one that is multiplied"
        yield "SE", found["pool"], text


def _in_local_pooling(found: Found) -> Iterator[Finding]:
    name = snake_name(found["local"].layer)
    if name.startswith(("average_pool", "max_pool")):
        text = "pools locally, not over all positions"
        yield "attention", found["local"], text


def _with_maps(kind: str, text: str) -> Callable[[Found], Iterable[Finding]]:
    """What the output shows, if there are weights on the way to it."""
    return lambda found: (
        [(kind, found["root"], text)] if _layers(found["chain"]) else []
    )


def _always(
    kind: str, name: str, text: str
) -> Callable[[Found], Iterable[Finding]]:
    return lambda found: [(kind, found[name], text)]


_POOL = pooling("mean|max", "pool")
_OTHER_POOL = operation(
    "mean|max", tensor("y"), place=over_its_positions, name="pool"
)
_BRANCHES = operation(
    "sum",
    chain(pooling("mean|max", "first"), name="left"),
    chain(pooling("mean|max", "second"), name="right"),
)
_SOFTMAX = operation("softmax", tensor("scores"), name="softmax")
_TIMES_SOFTMAX = product(X, chain(_SOFTMAX))
# A layer that keeps the shape may be taken for an activation.
_LOCAL = chain(operation("other|elementwise", X, name="local"))
_PART_OF_LOCAL = operation(
    "part|other",
    chain(operation("concatenation|other", _LOCAL, tensor("other"))),
)

_MISTAKES: tuple[tuple[Pattern, Callable[[Found], Iterable[Finding]]], ...] = (
    (product(X, chain(_BRANCHES)), _in_branches),
    (
        product(product(X, chain(tensor("gates"))), spatial_gates(X)),
        _always(
            "CBAM",
            "spatial",
            "is computed from the input, where it should be computed from what "
            "the gates of the channels return",
        ),
    ),
    (product(X, spatial_gates(X)), _in_gates_of_positions),
    (
        operation(
            "sum|product", X, activation("gate", context("batch_normalization"))
        ),
        _always(
            "global context",
            "normalization",
            "normalizes over the batch, where `GlobalContext` normalizes each "
            "sample",
        ),
    ),
    (
        either(
            _TIMES_SOFTMAX,
            operation("sum", X, chain(operation("total", _TIMES_SOFTMAX))),
        ),
        _in_softmax_of_one,
    ),
    (
        product(X, operation("softmax", chain(_OTHER_POOL), name="softmax")),
        _in_softmax,
    ),
    (product(X, activation("gate", expand(hidden(X)))), _without_pooling),
    (product(X, activation("gate", expand(X))), _in_many_filters),
    (
        named(
            "root",
            product(
                product(X, chain(_POOL)),
                product(
                    X,
                    chain(
                        operation("linear", X, place=to_one_channel), name="at"
                    ),
                ),
            ),
        ),
        _always(
            "scSE",
            "root",
            "multiplies the input by itself: the two products should be added",
        ),
    ),
    (
        named("root", operation("sum", X, chain(_POOL))),
        _with_maps("SE", "adds to the input, which should be multiplied"),
    ),
    (
        product(
            X,
            chain(
                _OTHER_POOL,
                operation(
                    "sum",
                    chain(_OTHER_POOL),
                    chain(operation("mean|max", tensor("y"))),
                ),
            ),
        ),
        _in_other_pooling,
    ),
    (named("root", product(X, chain(_POOL))), _in_product),
    (
        either(
            product(X, _LOCAL),
            product(X, tensor("gates"), chain(_PART_OF_LOCAL)),
        ),
        _in_local_pooling,
    ),
    (
        named(
            "root",
            operation(
                "elementwise", named("gates", chain(_POOL)), tensor("gates")
            ),
        ),
        _with_maps(
            "attention", "multiplies the gates by themselves, not by the input"
        ),
    ),
)
