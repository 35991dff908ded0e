"""What a layer computes, found out by calling a copy of it on arrays."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_channel_attn.graph.calls import Call
from keras_channel_attn.graph.copying import copy_of
from keras_channel_attn.graph.random_state import keep_random_state
from keras_channel_attn.graph.rebuilding import copy_of_model
from keras_channel_attn.graph.state import LayerPair
from keras_channel_attn.graph.tensors import IdentityMap


class Probe:
    """A copy of the layer or operation of a call, run on arrays.

    The original is never called: it might record a loss or a new call.

    Args:
        call: `Call`.
        weights: `"same"`, those of the original, or `"random"`. Defaults to
            `"same"`.
    """

    def __init__(
        self, call: Call, weights: Literal["same", "random"] = "same"
    ) -> None:
        self._call = call
        self._weights = weights
        self._copy: Any = None

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """The outputs for arrays in the place of the inputs, in inference."""
        tensors = map(keras.ops.convert_to_tensor, arrays)
        values = IdentityMap(self._call.inputs, tensors)
        args, kwargs = self._call.arguments(values)
        if isinstance(self._call.operation, keras.layers.Layer):
            kwargs = {**kwargs, "training": False}
        if self._copy is None:
            with keep_random_state():
                self._copy = self._new_copy(args, kwargs)
        return keras.ops.convert_to_numpy(self._copy(*args, **kwargs))

    def _new_copy(self, args: Any, kwargs: Any) -> Any:
        operation = self._call.operation
        copy = copy_of(operation, copy_of_model)
        if isinstance(operation, keras.layers.Layer):
            copy(*args, **kwargs)
            if self._weights == "same":
                LayerPair(operation, copy).carry_state()
            else:
                _randomize(copy)
        return copy


def _randomize(layer: Any) -> None:
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        if "float" in keras.backend.standardize_dtype(weight.dtype):
            weight.assign(rng.normal(size=weight.shape).astype("float32"))
