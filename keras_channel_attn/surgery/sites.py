"""The places in a network where attention can be inserted."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_channel_attn.graph import Call, Graph
from keras_channel_attn.surgery.residual import ResidualBranches


@dataclasses.dataclass(frozen=True)
class Site:
    """The output of a layer that attention can be applied to.

    Attributes:
        source: `Call` of the layer.
        position: Integer, which of its outputs.
        consumer: `Call` that alone gets the attended output, or `None`: all
            consumers get it.
    """

    source: Call
    position: int = 0
    consumer: Call | None = None

    @property
    def layer(self) -> Any:
        return self.source.operation

    @property
    def tensor(self) -> Any:
        return self.source.outputs[self.position]

    @property
    def path(self) -> str:
        """The path of the layer, `"path:1"` for the second of its outputs."""
        if len(self.source.outputs) == 1:
            return self.source.path
        return f"{self.source.path}:{self.position}"

    @property
    def key(self) -> Any:
        """What sites with one attention layer share.

        A layer with weights that is called several times is followed by one
        attention layer. One without weights, such as a ReLU, only happens to
        be the same object: each of its calls has an attention layer.
        """
        layer = self.layer
        if getattr(layer, "weights", ()):
            return layer, self.position
        return self.source, self.position


def find_sites(graph: Graph, where: Any) -> list[Site]:
    """The sites that `where` names: see `insert_attention`.

    Returns:
        List of `Site`, not empty, in the order of computation. A shared layer
        has a site for each of its calls.
    """
    if isinstance(where, str) and where != "residual":
        where = [where]
    if isinstance(where, str):
        sites = _residual_sites(graph)
        if not sites:
            raise ValueError(_no_residual_branch(graph.model))
    elif callable(where) and not isinstance(where, (type, keras.layers.Layer)):
        sites = _sites_after(graph, _selected_by(where))
        if not sites:
            raise ValueError(
                "The predicate `where` is true for no layer of the model "
                f"'{graph.model.name}'. It is called with each layer except "
                "the inputs, those of nested models included."
            )
    else:
        # Compared as objects: a model may be nested in several places.
        named = _outputs_named(graph, where)
        sites = _sites_after(graph, lambda operation: named.get(operation, ()))
    for site in sites:
        _check_rank(site)
    return sites


def _selected_by(predicate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def positions(operation: Any) -> Any:
        if isinstance(operation, keras.layers.Layer) and predicate(operation):
            return (None,)
        return ()

    return positions


def _residual_sites(graph: Graph) -> list[Site]:
    residual, sites = ResidualBranches(graph), []
    for call in graph.all_calls():
        for tensor in residual.ends(call):
            source = call.graph.source(tensor)
            if source is not None:
                position = [x is tensor for x in source.outputs].index(True)
                sites.append(Site(source, position, call))
    return sites


def _sites_after(
    graph: Graph, positions_of: Callable[[Any], Iterable[int | None]]
) -> list[Site]:
    """Sites after all calls of some layers.

    Args:
        graph: `Graph`.
        positions_of: Callable from a layer to the positions of its outputs;
            `None` stands for the only output.
    """
    # A predicate is asked once for each layer, shared ones included.
    answers: dict[Any, list[int | None]] = {}
    sites = []
    for call in graph.all_calls():
        if call.operation not in answers:
            answers[call.operation] = list(positions_of(call.operation))
        for position in answers[call.operation]:
            sites.append(_site_after(call, position))
    return sites


def _site_after(call: Call, position: int | None) -> Site:
    count = len(call.outputs)
    if position is None and count != 1:
        names = [f"{call.path}:{number}" for number in range(count)]
        raise ValueError(
            f"`where` names '{call.path}', which has {count} outputs. Name one "
            f"of them: {names}."
        )
    if position is not None and position >= count:
        raise ValueError(
            f"`where` names '{call.path}:{position}', but the layer has "
            f"{count} outputs, counted from 0."
        )
    return Site(call, position or 0)


def _check_rank(site: Site) -> None:
    if len(site.tensor.shape) < 3:
        raise ValueError(
            f"No attention can follow '{site.path}': its output has the shape "
            f"{site.tensor.shape}, and attention needs batch, one or more "
            "spatial axes, and channels. Name other layers in `where`."
        )


def _no_residual_branch(model: Any) -> str:
    return (
        f"The model '{model.name}' has no residual branches: no addition of a "
        "tensor to one that is computed from it by a convolution. (An addition "
        "inside a layer cannot be seen, and those around the attention or the "
        "dense layers of a transformer do not count.) Pass the names of layers "
        "as `where`, or a predicate such as "
        "`lambda layer: isinstance(layer, keras.layers.Conv2D)`."
    )


def _outputs_named(graph: Graph, where: Any) -> dict[Any, list[int | None]]:
    """From each layer that a list names to the positions of its outputs."""
    if isinstance(where, (type, keras.layers.Layer)):
        raise TypeError(
            '`where` must be "residual", one or several names of layers, or a '
            f"predicate. Received: where={where!r}. For all layers of a class "
            "pass a predicate: `lambda layer: isinstance(layer, ...)`."
        )
    if not isinstance(where, (list, tuple, set)) or not all(
        isinstance(name, str) for name in where
    ):
        raise TypeError(
            '`where` must be "residual", one or several names of layers, or a '
            f"predicate. Received: where={where!r}."
        )
    if not where:
        raise ValueError(
            "`where` is an empty list. Name at least one layer, or pass "
            '"residual" or a predicate.'
        )
    known = {
        path: operation
        for path, operation in graph.operations().items()
        if not isinstance(operation, keras.layers.InputLayer)
    }
    named: dict[Any, list[int | None]] = {}
    for name in where:
        path, position = name, None
        if name not in known:
            path, _, number = name.rpartition(":")
            if path not in known or not number.isdecimal():
                raise ValueError(_unknown_name(graph.model, name, known))
            position = int(number)
        positions = named.setdefault(known[path], [])
        if position not in positions:
            positions.append(position)
    return named


def _unknown_name(model: Any, name: str, known: Iterable[str]) -> str:
    inner = sorted(path for path in known if path.endswith("/" + name))
    near = inner or difflib.get_close_matches(name, sorted(known), n=5)
    hint = (
        f"Similar names: {near}." if near else "`model.summary()` lists them."
    )
    return (
        f"The model '{model.name}' has no layer '{name}' that attention could "
        f"follow. {hint} A layer of a nested model is named 'outer/inner'."
    )
