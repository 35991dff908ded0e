"""What a layer computes, found out by calling a copy of it on arrays."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_channel_attn.graph.calls import Call
from keras_channel_attn.graph.copying import carry_state, copy_of
from keras_channel_attn.graph.tensors import TensorMap, with_tensors_replaced


class Probe:
    """A copy of the layer or operation of a call, run on arrays.

    The original is never called: it might record a loss or a new call.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._copy: Any = None

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """The outputs for arrays in the place of the inputs, in inference."""
        tensors = TensorMap()
        for tensor, array in zip(self._call.inputs, arrays, strict=True):
            tensors[tensor] = keras.ops.convert_to_tensor(array)
        args, kwargs = with_tensors_replaced(
            (self._call.args, self._call.kwargs), tensors
        )
        operation = self._call.operation
        is_layer = isinstance(operation, keras.layers.Layer)
        if is_layer:
            kwargs = {**kwargs, "training": False}
        if self._copy is None:
            self._copy = copy_of(operation)
            if is_layer:
                self._copy(*args, **kwargs)
                carry_state(operation, self._copy)
        return keras.ops.convert_to_numpy(self._copy(*args, **kwargs))
