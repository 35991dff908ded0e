"""Mistakes that circulate in copies of attention blocks."""

import dataclasses
from collections.abc import Callable
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
    spatial_gates,
)
from keras_channel_attn.surgery.normal_operations import Node, axes_of
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


@dataclasses.dataclass(frozen=True)
class Mistake:
    """What nearly is attention, and why it is none.

    Attributes:
        kind: String, the mechanism that was meant.
        text: String, what the layer does that shows it.
        pattern: Pattern of the output.
        shows: Function from what was found to the node that shows the mistake,
            or `None`: then it is not there.
    """

    kind: str
    text: str
    pattern: Pattern
    shows: Callable[[Found], Node | None]


def _node(name: str) -> Callable[[Found], Node | None]:
    return lambda found: found[name]


def _is_sigmoid(node: Node) -> bool:
    pair = activation_and_factor(node)
    return pair is not None and pair[0] in ("sigmoid", "hard_sigmoid")


def _layers(nodes: tuple[Node, ...]) -> set[Any]:
    """The layers with weights among some nodes."""
    return {x.layer for x in nodes if getattr(x.layer, "weights", ())}


def _second_average(found: Found) -> Node | None:
    is_same = found["first"].kind == found["second"].kind == "mean"
    return found["second"] if is_same else None


def _second_maps(found: Found) -> Node | None:
    left, right = _layers(found["left"]), _layers(found["right"])
    if not left or not right or left & right:
        return None
    return next(x for x in found["right"] if x.layer in right)


def _gate_of_branch(found: Found) -> Node | None:
    branches = found["left"][:1], found["right"][:1]
    are_gates = all(nodes and _is_sigmoid(nodes[0]) for nodes in branches)
    return branches[1][0] if are_gates else None


def _outer_gate(found: Found) -> Node | None:
    outer = found["chain"][:1]
    is_gate = outer and _is_sigmoid(outer[0])
    return outer[0] if is_gate and _gate_of_branch(found) else None


def _softmax_of_one(found: Found) -> Node | None:
    node = found["softmax"]
    sizes = [size for axis, size in sum(node.layout, ()) if axis in node.axes]
    return node if all(size == 1 for size in sizes) else None


def _with_maps(found: Found) -> Node | None:
    """The output, if there are weights on the way to it."""
    return found["root"] if _layers(found["chain"]) else None


def _other_pooling(found: Found) -> Node | None:
    is_softmax = any(node.kind == "softmax" for node in found["chain"])
    if is_softmax or found["y"] is found["x"] or not _layers(found["chain"]):
        return None
    return found["pool"]


def _higher_rank(found: Found) -> Node | None:
    ranks = [len(found[name].layout) for name in ("root", "x")]
    return found["root"] if ranks[0] > ranks[1] else None


def _other_axes(found: Found) -> Node | None:
    if any(node.kind == "other" for node in found["chain"]):
        return None
    axes = [axes_of(found[name].layout) for name in ("root", "x")]
    return found["root"] if axes[0] != axes[1] else None


def _gates_of_positions(is_right: bool) -> Callable[[Found], Node | None]:
    def shows(found: Found) -> Node | None:
        gate = found["gate"][-1]
        if gate.kind == "softmax":
            return None
        is_gate = _is_sigmoid(gate)
        return found["spatial"] if is_gate == is_right else None

    return shows


def _trained_gate(found: Found) -> Node | None:
    gate = found["chain"][:1]
    is_trained = gate and isinstance(gate[0].layer, keras.layers.PReLU)
    return gate[0] if is_trained else None


def _local_pooling(found: Found) -> Node | None:
    name = snake_name(found["local"].layer)
    is_pooling = name.startswith(("average_pool", "max_pool"))
    return found["local"] if is_pooling else None


def _without_positions(found: Found) -> Node | None:
    return found["reduce"] if len(found["x"].layout) < 3 else None


def _at_each_position(found: Found) -> Node | None:
    return found["expand"] if len(found["x"].layout) > 2 else None


def _product(*factors: Pattern) -> Pattern:
    return operation("product", *factors)


_POOL = pooling("mean|max", "pool")
_OTHER_POOL = operation(
    "mean|max", tensor("y"), place=over_its_positions, name="pool"
)
_BRANCHES = _product(
    X,
    chain(
        operation(
            "sum",
            chain(pooling("mean|max", "first"), name="left"),
            chain(pooling("mean|max", "second"), name="right"),
        )
    ),
)
_SOFTMAX = operation("softmax", tensor("scores"), name="softmax")
# A layer that keeps the shape may be taken for an activation.
_LOCAL = operation("other|elementwise", X, name="local")

# A block may show several.
MISTAKES = (
    Mistake(
        "CBAM",
        "pools the average once more, where the maximum should be",
        _BRANCHES,
        _second_average,
    ),
    Mistake(
        "CBAM",
        "has weights of its own: the average and the maximum should share "
        "theirs",
        _BRANCHES,
        _second_maps,
    ),
    Mistake(
        "CBAM",
        "applies a sigmoid to sigmoids, so that the gates are above 0.5",
        _BRANCHES,
        _outer_gate,
    ),
    Mistake(
        "CBAM",
        "applies the sigmoid before the sum, so that the gates go up to 2",
        _BRANCHES,
        lambda found: None if _outer_gate(found) else _gate_of_branch(found),
    ),
    Mistake(
        "CBAM",
        "is computed from the input, where it should be computed from what "
        "the gates of the channels return",
        _product(_product(X, chain(tensor("gates"))), spatial_gates(X)),
        _node("spatial"),
    ),
    Mistake(
        "CBAM",
        "makes gates of positions without a sigmoid",
        _product(X, spatial_gates(X)),
        _gates_of_positions(is_right=False),
    ),
    Mistake(
        "CBAM",
        "gates the positions alone, without the channels before, for which "
        "there is no layer",
        _product(X, spatial_gates(X)),
        _gates_of_positions(is_right=True),
    ),
    Mistake(
        "global context",
        "normalizes over the batch, where `GlobalContext` normalizes each "
        "sample",
        operation(
            "sum|product", X, activation("gate", context("batch_normalization"))
        ),
        _node("normalization"),
    ),
    Mistake(
        "attention",
        "is a softmax of a single number, which is always 1",
        either(
            _product(X, chain(_SOFTMAX)),
            operation(
                "sum",
                X,
                chain(operation("total", _product(X, chain(_SOFTMAX)))),
            ),
        ),
        _softmax_of_one,
    ),
    Mistake(
        "SE",
        "is a softmax, where a sigmoid should be",
        _product(
            X,
            operation("softmax", chain(_OTHER_POOL), name="softmax"),
        ),
        lambda found: None if _softmax_of_one(found) else found["softmax"],
    ),
    Mistake("SE", "is no sigmoid", _product(X, chain(_POOL)), _trained_gate),
    Mistake(
        "SE",
        "gates each position on its own: nothing is pooled",
        _product(X, activation("gate", expand(hidden(X)))),
        _at_each_position,
    ),
    Mistake(
        "SE",
        "gates a vector, which has no positions that could be pooled",
        _product(X, activation("gate", expand(hidden(X)))),
        _without_positions,
    ),
    Mistake(
        "sSE",
        "has a filter for each channel, where one should be",
        _product(X, activation("gate", expand(X))),
        _at_each_position,
    ),
    Mistake(
        "scSE",
        "multiplies the input by itself: the two products should be added",
        named(
            "root",
            _product(
                _product(X, chain(_POOL)),
                _product(
                    X,
                    chain(
                        operation("linear", X, place=to_one_channel), name="at"
                    ),
                ),
            ),
        ),
        _node("root"),
    ),
    Mistake(
        "SE",
        "adds to the input, which should be multiplied",
        named("root", operation("sum", X, chain(_POOL))),
        _with_maps,
    ),
    Mistake(
        "SE",
        "pools another tensor than the one that is multiplied",
        _product(
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
        _other_pooling,
    ),
    Mistake(
        "attention",
        "multiplies by gates that have more axes than the input",
        named("root", _product(X, chain(_POOL))),
        _higher_rank,
    ),
    Mistake(
        "attention",
        "multiplies along another axis than the one of the gates",
        named("root", _product(X, chain(_POOL))),
        lambda found: None if _higher_rank(found) else _other_axes(found),
    ),
    Mistake(
        "attention",
        "pools locally, not over all positions",
        either(
            _product(X, chain(_LOCAL)),
            _product(
                X,
                tensor("gates"),
                chain(
                    operation(
                        "part|other",
                        chain(
                            operation(
                                "concatenation|other",
                                chain(_LOCAL),
                                tensor("other"),
                            )
                        ),
                    )
                ),
            ),
        ),
        _local_pooling,
    ),
    Mistake(
        "attention",
        "multiplies the gates by themselves, not by the input",
        named(
            "root",
            operation(
                "elementwise", named("gates", chain(_POOL)), tensor("gates")
            ),
        ),
        _with_maps,
    ),
)
