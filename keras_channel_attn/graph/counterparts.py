"""What belongs to a model, with what belongs to its copy in its place."""

from typing import Any

import keras

from keras_channel_attn.graph.copying import build_as
from keras_channel_attn.graph.layer_copies import LayerCopies, copy_of_variable
from keras_channel_attn.graph.operations import is_model
from keras_channel_attn.graph.state import LayerPair
from keras_channel_attn.graph.tensors import IdentityMap, replace_tensors


class Counterparts:
    """Tensors, layers and variables of a model, each with that of the copy.

    Args:
        copies: `LayerCopies`, after all calls were made.
        models: Dictionary from each model that was copied call by call to its
            copy.
        tensors: `IdentityMap` from tensors to those of the copy.

    Attributes:
        keeps_sizes: Boolean, whether no layer of the copy has another size.
    """

    def __init__(
        self, copies: LayerCopies, models: dict[Any, Any], tensors: IdentityMap
    ) -> None:
        self.keeps_sizes = copies.keeps_sizes
        self._tensors = tensors
        self._copies = copies
        self._models = models
        self._layers: dict[Any, Any] = {}
        self._pairs: dict[Any, LayerPair] = {}
        self.layer_pairs()

    def layer_pairs(self) -> list[LayerPair]:
        """Pairs of all layers that were copied from their configuration."""
        for original, copy in self._copies.made.items():
            is_layer = isinstance(original, keras.layers.Layer)
            if not is_layer or original in self._pairs:
                continue
            self._layers.setdefault(original, copy)
            if original not in self._models:
                pair = LayerPair(original, copy, self._copies.values)
                self._pairs[original] = pair
                for layer, other in pair.layers:
                    self._layers.setdefault(layer, other)
                for variable, other in pair.variables:
                    self._copies.variables.setdefault(variable, other)
        return list(self._pairs.values())

    def of(self, part: Any, current: Any) -> Any:
        """What the copy has in the place of a part of the original.

        Args:
            part: Symbolic tensor, layer, variable or `SeedGenerator`. A layer
                or variable that is not in the graph is copied.
            current: What the copy has made itself, or `None`.

        Returns:
            Object of the same kind, or `None` if the copy has none.
        """
        if isinstance(part, keras.KerasTensor):
            return self._tensors.get(part, current)
        if type(current) is not type(part):
            current = None
        if isinstance(part, keras.layers.Layer):
            return self._layer(part, current)
        if isinstance(part, keras.random.SeedGenerator):
            new = current or type(part).from_config(part.get_config())
            new.state.assign(keras.ops.copy(part.state.value))
            return new
        if part not in self._copies.variables:
            if current is None:
                current = copy_of_variable(part)
            current.assign(keras.ops.copy(part.value))
            self._copies.variables[part] = current
        return self._copies.variables[part]

    def holds(self, value: Any) -> bool:
        """Whether something is a part of the original."""
        if isinstance(value, keras.KerasTensor):
            return value in self._tensors
        if isinstance(value, keras.Variable):
            return value in self._copies.variables
        return isinstance(value, keras.layers.Layer) and (
            value in self._layers or value in self._models
        )

    def _layer(self, layer: Any, current: Any) -> Any:
        if layer in self._models:
            return self._models[layer]
        if layer not in self._layers:
            if layer in self._copies.in_graph:
                return None
            copy = self._view(layer)
            if copy is None:
                if current is not None:
                    self._copies.made.setdefault(layer, current)
                copy = build_as(layer, self._copies.of(layer))
            self._layers[layer] = copy
        return self._layers[layer]

    def _view(self, model: Any) -> Any:
        """A model on tensors of the copy, if it is one on the original's."""
        if not is_model(model) or isinstance(model, keras.Sequential):
            return None
        ends = (*model.inputs, *model.outputs)
        if any(tensor not in self._tensors for tensor in ends):
            return None
        inputs, outputs = replace_tensors(
            (model.input, model.output), self._tensors
        )
        return keras.Model(inputs, outputs, name=model.name)
