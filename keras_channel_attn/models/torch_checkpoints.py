"""Saving a network as a torch checkpoint that timm loads."""

import difflib
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_channel_attn.graph import Graph, graph_of, is_model
from keras_channel_attn.graph.keras_internals import keep_names
from keras_channel_attn.graph.random_state import keep_random_state
from keras_channel_attn.layers.torch_arrays import array_for_torch
from keras_channel_attn.models.checkpoint_names import caffe_names
from keras_channel_attn.models.checkpoints import without_owner
from keras_channel_attn.models.layer_names import pools_as_caffe
from keras_channel_attn.models.paired_layers import pair_layers
from keras_channel_attn.models.safetensors_files import (
    path_of_new_file,
    write_arrays,
)
from keras_channel_attn.models.timm import from_timm, timm_networks
from keras_channel_attn.models.torch_targets import targets_of_network
from keras_channel_attn.models.torch_weights import listing

_POOLINGS = {
    keras.layers.GlobalAveragePooling2D: "avg",
    keras.layers.GlobalMaxPooling2D: "max",
}


def save_torch_checkpoint(
    network: keras.Model,
    path: str | os.PathLike[str],
    name: str | None = None,
) -> None:
    """Save the weights of a network in a file that timm loads.

    With this file `timm.create_model(name, checkpoint_path=path)` returns a
    network with the same logits. Pass `num_classes` to it if there are not 1000
    classes, `num_classes=0` if there is no dense layer, and `in_chans` if the
    images do not have three channels.

    The network must have the layers that `from_timm` gives it, with other names
    if you like: the last one may be a dense layer of your own. The numbers in
    the file are float32 in every precision of the network.

    Args:
        network: A network that `from_timm` can build, trained or not.
        path: Path of the file, which ends in `.safetensors`. A file that
            exists is replaced. After an error it is as it was.
        name: String, the name of the network in timm, such as `"seresnet50"`.
            Defaults to `None`, the name of the model.

    Raises:
        TypeError: If `network` is no model, if it holds the network as a
            layer, or if `path` is no path.
        ValueError: If the network has no graph (subclassed) or is not built, if
            the name is not one of timm, if the network differs from timm's
            network of that name (the error lists the first ten differences), or
            if the path has another ending.
        OSError: If the file cannot be written, for example into a folder that
            does not exist.

    Examples:

    >>> import tempfile
    >>> network = from_timm("seresnet18", input_shape=(64, 64, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/seresnet18.safetensors"
    ...     save_torch_checkpoint(network, path)
    ...     again = from_timm("seresnet18", path)
    """
    path = path_of_new_file(path)
    graph = _graph(network)
    name = _known_name(network, name)
    with keep_names(), keep_random_state():
        reference = from_timm(name, dtype="float32", **_options(graph))
    layers, problems = pair_layers(network, reference)
    if problems:
        raise ValueError(
            f"'{network.name}' differs from timm's {name!r}, and was not "
            f"saved. {listing(problems)}\nRemove what differs "
            "(`remove_attention` removes attention that was inserted), or "
            "save the network with `network.save`."
        )
    write_arrays(path, torch_arrays(reference, layers))


def torch_arrays(
    reference: keras.Model, layers: Mapping[Any, Any]
) -> dict[str, np.ndarray]:
    """Dictionary from timm's names to the arrays of a network.

    Args:
        reference: The network as `from_timm` builds it.
        layers: Mapping from its layers to those whose weights are taken.
    """
    targets = targets_of_network(
        (layer.name, layers[layer])
        for layer in reference.layers
        if layer in layers
    )
    arrays = {}
    for name, (weight, arrange, multiplier) in targets.items():
        value = keras.ops.convert_to_numpy(weight)
        if multiplier != 1:
            # The product is rounded once.
            value = value.astype("float64") * multiplier
        arrays[name] = array_for_torch(value.astype("float32"), arrange)
        module, _, kind = name.rpartition(".")
        if kind == "running_mean":
            # torch has it, and computes with it only without a momentum.
            arrays[f"{module}.num_batches_tracked"] = np.zeros((), "int64")
    if not pools_as_caffe(reference):
        return arrays
    names = caffe_names(arrays)
    return {names[name]: array for name, array in arrays.items()}


def _graph(network: Any) -> Graph:
    """The graph of what may be a network of timm, or an error."""
    if not isinstance(network, keras.Model):
        raise TypeError(
            "`network` must be a network of `from_timm`. Received: "
            f"network={network!r} (of type {type(network).__name__})."
        )
    graph = graph_of(network)
    for call in graph.calls:
        if is_model(call.operation):
            inner = call.operation.name
            raise TypeError(
                "`save_torch_checkpoint` saves one network, without models "
                f"around it. Received: a model that holds '{inner}'. If that "
                f"is the network, pass `model.get_layer({inner!r})`."
            )
    return graph


def _known_name(network: keras.Model, name: Any) -> str:
    """The name of a network in timm, without the tag of a checkpoint."""
    given = network.name if name is None else name
    known = without_owner(given).partition(".")[0]
    if known not in timm_networks():
        near = difflib.get_close_matches(known, timm_networks(), n=5)
        similar = f" Similar names: {near}." if near else ""
        raise ValueError(
            f"`name` must be the name in timm of the network '{network.name}', "
            f"such as name='seresnet50'. Received: name={name!r}.{similar} "
            "`models.list_models()` returns all of them."
        )
    return known


def _options(graph: Graph) -> dict[str, Any]:
    """Arguments of `from_timm` for a network with the same input and top."""
    data_format = min(graph.data_formats(), default="channels_last")
    return {
        "data_format": data_format,
        "input_shape": _input_shape(graph.model.inputs[0], data_format),
        **_options_of_top(graph),
    }


def _input_shape(tensor: Any, data_format: str) -> tuple[Any, ...] | None:
    """The shape for images of any size with the same number of channels."""
    if len(tensor.shape) != 4:
        return None
    if data_format == "channels_first":
        return (tensor.shape[1], None, None)
    return (None, None, tensor.shape[3])


def _options_of_top(graph: Graph) -> dict[str, Any]:
    dense = [
        call.operation
        for call in graph.calls
        if isinstance(call.operation, keras.layers.Dense)
    ]
    if dense:
        return {
            "classes": dense[-1].units,
            "classifier_activation": dense[-1].activation,
        }
    last = graph.source(graph.outputs[0])
    pooling = _POOLINGS.get(type(last and last.operation))
    return {"include_top": False, "pooling": pooling}
