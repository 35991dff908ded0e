"""The inputs of a model, made again."""

from typing import Any

import keras

from keras_channel_attn.graph.keras_internals import input_layer_of


def new_input(tensor: Any, shape: Any = None, dtype: Any = None) -> Any:
    """An input with all properties of an input of another model.

    Args:
        tensor: Input of the other model.
        shape: Tuple with the batch axis. Defaults to `None`: that of `tensor`.
        dtype: Name of a dtype. Defaults to `None`: that of `tensor`.

    Returns:
        Symbolic tensor.

    Raises:
        ValueError: If the tensor is ragged.
    """
    if getattr(tensor, "ragged", False):
        raise ValueError(
            f"The input '{tensor.name}' is ragged. Models with ragged inputs "
            "cannot be copied: pass a model with padded inputs and a mask."
        )
    layer = input_layer_of(tensor)
    # Where a user gave no name, the layer and its tensor have different ones.
    new = keras.KerasTensor(
        tensor.shape if shape is None else shape,
        dtype=dtype or tensor.dtype,
        sparse=tensor.sparse,
        name=tensor.name,
    )
    return keras.layers.InputLayer(
        input_tensor=new,
        optional=getattr(layer, "optional", False),
        name=getattr(layer, "name", tensor.name),
    ).output
