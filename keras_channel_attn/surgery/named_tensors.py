"""The tensors of a model that a user names or passes."""

import difflib
from typing import Any

import keras

from keras_channel_attn.graph import Changes, Graph
from keras_channel_attn.graph.keras_internals import input_layer_of
from keras_channel_attn.surgery.attention_layers import free_name


class NamedTensors:
    """Finds the tensors that `mask` of `insert_attention` means.

    Args:
        graph: `Graph` of the outermost model. The calls that compute a tensor
            from those of the model are added to it.
        changes: `Changes`, where they get free names.
    """

    def __init__(self, graph: Graph, changes: Changes) -> None:
        self._graph = graph
        self._changes = changes
        self._taken = set(graph.operations())

    def tensor(self, mask: Any) -> Any:
        """The symbolic tensor for a name or for a tensor."""
        if isinstance(mask, str):
            return self._tensor_of_name(mask)
        if not isinstance(mask, keras.KerasTensor):
            raise TypeError(
                "`mask` must be a symbolic tensor, the name of an input or a "
                "layer, or a callable that takes the layer at a site and "
                f"returns one of these or None. Received: mask={mask!r} (of "
                f"type {type(mask).__name__})."
            )
        graphs = list(self._graph.nested.values())
        if any(mask in graph for graph in graphs):
            return mask
        for graph in graphs:
            calls = graph.include(mask)
            for call in calls:
                # Operations in a file have names of another process.
                self._changes.names[call.operation] = free_name(
                    call.operation.name, graph.prefix, self._taken
                )
            if calls:
                return mask
        raise ValueError(
            "`mask` is a tensor that is not computed from the inputs of the "
            f"model '{self._graph.model.name}'. Compute it from `model.inputs` "
            "or from `model.get_layer(...).output`, or pass a name."
        )

    def _tensor_of_name(self, name: str) -> Any:
        known: dict[str, list[Any]] = {}
        for graph in self._graph.nested.values():
            for tensor in graph.model.inputs:
                layer = input_layer_of(tensor)
                path = graph.prefix + getattr(layer, "name", tensor.name)
                known.setdefault(path, []).append(tensor)
            for call in graph.calls:
                known.setdefault(call.path, []).extend(call.outputs)
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=5)
            raise ValueError(
                f"`mask` names '{name}', which is no input and no layer of the "
                f"model '{self._graph.model.name}'. Similar names: {near}. A "
                "layer of a nested model is named 'outer/inner'."
            )
        if len(known[name]) != 1:
            raise ValueError(
                f"`mask` names '{name}', which has {len(known[name])} outputs "
                "in the model. Pass one of its tensors."
            )
        return known[name][0]
