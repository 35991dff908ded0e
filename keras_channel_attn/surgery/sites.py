"""The places in a network where attention can be inserted."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_channel_attn.graph import Call, Graph
from keras_channel_attn.surgery import residual


@dataclasses.dataclass(frozen=True)
class Site:
    """The output of a layer that attention can be applied to.

    Attributes:
        source: `Call` of the layer.
        tensor: Its output.
        consumer: `Call` that alone gets the attended output, or `None`: all
            consumers get it.
    """

    source: Call
    tensor: Any
    consumer: Call | None = None

    @property
    def layer(self) -> Any:
        return self.source.operation

    @property
    def path(self) -> str:
        return self.source.path


def find_sites(graph: Graph, where: Any) -> list[Site]:
    """The sites that `where` names: see `insert_attention`.

    Returns:
        List of `Site`, not empty, in the order of computation. A shared layer
        has a site for each of its calls.
    """
    if isinstance(where, str):
        _check_residual(where)
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
        named = _layers_named(graph, where)
        sites = _sites_after(graph, lambda operation: operation in named)
    for site in sites:
        _check_rank(site)
    return sites


def _selected_by(predicate: Callable[[Any], Any]) -> Callable[[Any], bool]:
    return lambda operation: bool(
        isinstance(operation, keras.layers.Layer) and predicate(operation)
    )


def _residual_sites(graph: Graph) -> list[Site]:
    sites = []
    for call in graph.all_calls():
        for tensor in residual.branches(call):
            if residual.can_be_attended(call, tensor):
                source = call.graph.source(tensor)
                assert source is not None
                sites.append(Site(source, tensor, call))
    return sites


def _sites_after(
    graph: Graph, is_selected: Callable[[Any], bool]
) -> list[Site]:
    # A predicate is asked once for each layer, shared ones included.
    answers: dict[Any, bool] = {}
    sites = []
    for call in graph.all_calls():
        operation = call.operation
        if operation not in answers:
            answers[operation] = is_selected(operation)
        if answers[operation]:
            if len(call.outputs) != 1:
                raise ValueError(
                    f"`where` names '{call.path}', which has "
                    f"{len(call.outputs)} outputs. Attention is inserted after "
                    "layers with one output."
                )
            sites.append(Site(call, call.outputs[0]))
    return sites


def _check_rank(site: Site) -> None:
    if len(site.tensor.shape) < 3:
        raise ValueError(
            f"No attention can follow '{site.path}': its output has the shape "
            f"{site.tensor.shape}, and attention needs batch, one or more "
            "spatial axes, and channels. Name other layers in `where`."
        )


def _check_residual(where: str) -> None:
    if where != "residual":
        raise ValueError(
            '`where` must be "residual", a list of names of layers, or a '
            f"predicate. Received: where={where!r}. For a single layer "
            f"pass a list: [{where!r}]."
        )


def _no_residual_branch(model: Any) -> str:
    return (
        f"The model '{model.name}' has no residual branches: no addition of a "
        "tensor to one that is computed from it. (An addition inside a layer "
        "cannot be seen.) Pass the names of layers as `where`, or a predicate "
        "such as `lambda layer: isinstance(layer, keras.layers.Conv2D)`."
    )


def _layers_named(graph: Graph, where: Any) -> set[Any]:
    """The layers and operations that a list of names means."""
    if isinstance(where, (type, keras.layers.Layer)):
        raise TypeError(
            '`where` must be "residual", a list of names of layers, or a '
            f"predicate. Received: where={where!r}. For all layers of a class "
            "pass a predicate: `lambda layer: isinstance(layer, ...)`."
        )
    if not isinstance(where, (list, tuple, set)) or not all(
        isinstance(name, str) for name in where
    ):
        raise TypeError(
            '`where` must be "residual", a list of names of layers, or a '
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
    for name in where:
        if name not in known:
            raise ValueError(_unknown_name(graph.model, name, known))
    return {known[name] for name in where}


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
