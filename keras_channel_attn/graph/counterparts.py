"""What belongs to a model, with what belongs to its copy in its place."""

from typing import Any

import keras

from keras_channel_attn.graph.copying import build_as
from keras_channel_attn.graph.layer_copies import LayerCopies
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
        tensors: As above.
        variables: `IdentityMap` from variables to those of the copy.
    """

    def __init__(
        self, copies: LayerCopies, models: dict[Any, Any], tensors: IdentityMap
    ) -> None:
        self.tensors = tensors
        self.variables = IdentityMap()
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
                    self.variables.setdefault(variable, other)
        return list(self._pairs.values())

    def layer(self, layer: Any, current: Any) -> Any:
        """The copy of a layer that a model holds, in its graph or beside it.

        Args:
            layer: Layer of the original.
            current: Layer that the copy of the model has made itself, or
                `None`.

        Returns:
            Layer, or `None` if the copy has other layers in its place.
        """
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

    def holds(self, value: Any) -> bool:
        """Whether something is a part of the original."""
        if isinstance(value, keras.KerasTensor):
            return value in self.tensors
        if isinstance(value, keras.Variable):
            return value in self.variables
        return isinstance(value, keras.layers.Layer) and (
            value in self._layers or value in self._models
        )

    def _view(self, model: Any) -> Any:
        """A model on tensors of the copy, if it is one on the original's."""
        if not is_model(model) or isinstance(model, keras.Sequential):
            return None
        ends = (*model.inputs, *model.outputs)
        if any(tensor not in self.tensors for tensor in ends):
            return None
        inputs, outputs = replace_tensors(
            (model.input, model.output), self.tensors
        )
        return keras.Model(inputs, outputs, name=model.name)
