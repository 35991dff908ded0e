"""The places in a network where attention can be inserted."""

import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterable
from typing import Any

import keras

from keras_channel_attn.graph import Call, Graph
from keras_channel_attn.surgery.attention_calls import attention_of
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
    def has_attention(self) -> bool:
        """Whether attention makes the tensor, or is applied to it."""
        calls = [self.source]
        if self.consumer is None:
            calls += [
                call
                for call in self.source.graph.calls
                if any(x is self.tensor for x in call.inputs[:1])
            ]
        return any(attention_of(call) is not None for call in calls)

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
    if isinstance(where, str) and where == "residual":
        sites = _residual_sites(graph)
    else:
        # Compared as objects: a model may be nested in several places.
        positions = _positions_of_outputs(graph, where)
        sites = [
            _site_after(call, position)
            for call in graph.all_calls()
            for position in positions.get(call.operation, ())
        ]
    for site in sites:
        _check_rank(site)
    return sites


def _residual_sites(graph: Graph) -> list[Site]:
    residual, sites = ResidualBranches(), []
    for call in graph.all_calls():
        for tensor in residual.ends(call):
            source = call.graph.source(tensor)
            if source is not None:
                position = [x is tensor for x in source.outputs].index(True)
                sites.append(Site(source, position, call))
    if not sites:
        raise ValueError(_no_residual_branch(graph.model))
    return sites


# From each layer to the positions of its outputs; `None` is the only output.
_Positions = dict[Any, list[int | None]]


def _positions_of_outputs(graph: Graph, where: Any) -> _Positions:
    known = {
        path: operation
        for path, operation in graph.operations().items()
        if not isinstance(operation, keras.layers.InputLayer)
    }
    if isinstance(where, (str, type)):
        where = [where]
    if isinstance(where, Collection):
        return _positions_of_names(graph.model, where, known)
    if isinstance(where, keras.layers.Layer) or not callable(where):
        raise TypeError(_wrong_type(where))
    found = _layers_for_which(where, known)
    if not found:
        raise ValueError(
            "The predicate `where` is true for no layer of the model "
            f"'{graph.model.name}'. It is called with each layer except "
            "the inputs, those of nested models included."
        )
    return found


def _layers_for_which(
    predicate: Callable[[Any], Any], known: dict[str, Any]
) -> _Positions:
    # A predicate is asked once for each layer, shared ones included.
    layers = dict.fromkeys(known.values())
    return {
        layer: [None]
        for layer in layers
        if isinstance(layer, keras.layers.Layer) and predicate(layer)
    }


def _positions_of_names(
    model: Any, where: Collection[Any], known: dict[str, Any]
) -> _Positions:
    """The outputs that a list of names and classes names."""
    names = [name for name in where if isinstance(name, str)]
    classes = tuple(kind for kind in where if _is_class_of_layers(kind))
    if len(names) + len(classes) < len(where):
        raise TypeError(_wrong_type(where))
    if not names and not classes:
        raise ValueError(
            "`where` is an empty list. Name at least one layer, or pass "
            '"residual", a class of layers or a predicate.'
        )
    found = _layers_for_which(lambda layer: isinstance(layer, classes), known)
    for name in names:
        path, position = name, None
        if name not in known:
            path, _, number = name.rpartition(":")
            if path not in known or not number.isdecimal():
                raise ValueError(_unknown_name(model, name, known))
            position = int(number)
        positions = found.setdefault(known[path], [])
        if position not in positions:
            positions.append(position)
    if not found:
        kinds = ", ".join(kind.__name__ for kind in classes)
        raise ValueError(
            f"The model '{model.name}' has no layer of these classes: {kinds}. "
            "Layers of nested models are searched, too; layers inside other "
            "layers are not part of the graph."
        )
    return found


def _is_class_of_layers(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, keras.layers.Layer)


def _wrong_type(where: Any) -> str:
    return (
        '`where` must be "residual", one or several classes of layers, one or '
        "several names of layers, or a predicate. "
        f"Received: where={where!r}."
    )


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
        "as `where`, a class such as `keras.layers.Conv2D`, or a predicate."
    )


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
