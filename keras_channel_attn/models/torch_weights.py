"""Checkpoints of torch in models of Keras.

A checkpoint is a mapping from names to arrays, and torch is not needed to read
one. The layers of `models` have the names of torch's modules with underscores
for dots; what remains is the order of axes, and the names that other people
have given to the same modules.
"""

import os
import pathlib
import re
from collections.abc import Mapping

import keras
import numpy as np

from keras_channel_attn.arguments import boolean
from keras_channel_attn.layers import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
)

# Other people's names for the modules of timm's ResNets: Cadene's and timm's
# older networks, ECANet, moskomule, and timm's EfficientNet for a layer alone.
_RENAMINGS = (
    (r"^layer0\.(conv1|bn1)\.", r"\1."),
    (r"^last_linear\.", "fc."),
    (r"\.(se_module|eca)\.", ".se."),
    (r"(^|\.se\.)fc\.0\.", r"\1fc1."),
    (r"(^|\.se\.)fc\.2\.", r"\1fc2."),
    (r"(^|\.)conv_reduce\.", r"\1fc1."),
    (r"(^|\.)conv_expand\.", r"\1fc2."),
)
_LAYERS = (SqueezeExcite, LinearSqueezeExcite, EfficientChannelAttention)
_PUBLISHED = (
    "For a published checkpoint by its name: "
    '`keras_channel_attn.models.from_timm(name, weights="pretrained")`.'
)
# The three convolutions that Cadene's SENet-154 begins with.
_DEEP_STEM = {
    "layer0.conv1": "conv1.0",
    "layer0.bn1": "conv1.1",
    "layer0.conv2": "conv1.3",
    "layer0.bn2": "conv1.4",
    "layer0.conv3": "conv1.6",
    "layer0.bn3": "bn1",
}


def load_torch_weights(model, weights, include_top=True):
    """Load a checkpoint of torch into a model, or into a layer alone.

    It is strict: every array has to have a place, every weight has to get an
    array, and all shapes have to be equal. Otherwise nothing is changed.

    Names are those of timm's ResNets. Those of timm's older SENets and of
    Cadene, of ECANet (with or without `module.`) and of moskomule are
    understood too.

    Args:
        model: A network of `keras_channel_attn.models`; or a built
            `SqueezeExcite`, `LinearSqueezeExcite` or
            `EfficientChannelAttention`, for the weights of one module of torch.
        weights: Mapping from names to arrays or tensors, or the path of a file:
            `.safetensors`, which needs the package of this name, or `.pth`,
            `.pt`, `.bin` or `.tar`, which needs torch and is read without
            running any code in it.
        include_top: Boolean, whether the dense layer of a network's checkpoint
            is to be loaded. If `False`, it is left out. Defaults to `True`.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If anything is missing, left over or of another shape: one
            error lists it all; if a file cannot be read.
        FileNotFoundError: If there is no such file.
        ImportError: If a package is missing that a file needs.

    Examples:

    >>> layer = EfficientChannelAttention(kernel_size=3)
    >>> layer.build((None, 7, 7, 64))
    >>> load_torch_weights(layer, {"conv.weight": np.ones((1, 1, 3))})
    """
    boolean("include_top", include_top)
    places = _places(model)
    arrays, originals = _renamed(_read(weights))
    if isinstance(model, keras.Model):
        _check_origin(model, originals)
        if not include_top:
            # A layer alone has no top: there `fc` is the map of timm's eSE.
            for name in [one for one in arrays if one.startswith("fc.")]:
                del arrays[name]
    values, problems = _fitted(places, arrays, originals)
    if problems:
        raise ValueError(
            f"The checkpoint does not fit '{model.name}', which stays as it "
            f"was. {len(problems)} problems:\n  " + "\n  ".join(problems)
        )
    for weight, value in values:
        weight.assign(value)


def _fitted(places, arrays, originals):
    """Pairs of weights and their values, and a list of what does not fit."""
    problems = [f"missing: {name}" for name in places if name not in arrays]
    values = []
    for name, array in arrays.items():
        # As the checkpoint has it, and as what it was understood.
        told = originals[name]
        if told != name:
            told = f"{told} (as {name})"
        if name not in places:
            problems.append(f"left over: {told}")
            continue
        if array.dtype.kind not in "fiu":
            problems.append(f"dtype: {told} is {array.dtype}, not numbers")
            continue
        weight, arrange = places[name]
        value = arrange(array)
        if value is None or value.shape != tuple(weight.shape):
            problems.append(
                f"shape: {told} is {array.shape}, which does not fit the "
                f"weight {weight.path} of shape {tuple(weight.shape)}"
            )
            continue
        # A copy: JAX would go on to use the memory of the checkpoint.
        values.append((weight, np.array(value, dtype="float32")))
    return values, problems


def _check_origin(model, originals):
    """Refuse weights of SENet's Caffe networks where they fit and are wrong."""
    caffe = {"last_linear.weight", "layer0.conv1.weight"}
    pools = [one for one in model.layers if one.name == "maxpool_pad"]
    as_in_caffe = [one for one in pools if one.padding == ((0, 1), (0, 1))]
    if caffe <= set(originals.values()) and not as_in_caffe:
        raise ValueError(
            "The checkpoint has the names of SENet's own networks, whose "
            "pooling and strides are not those of "
            f"'{model.name}': it would answer something else without a word. "
            'Build the network with `from_timm("legacy_...")`, or `ResNet` '
            'with `stem_pool="max_ceil"`, and `stride_first=True` for '
            "SE-ResNet-50, 101 and 152."
        )


def _places(model):
    """Dictionary from torch's names to (weight, function of the array)."""
    if isinstance(model, _LAYERS):
        if not model.built:
            raise ValueError(
                f"The layer '{model.name}' has no weights yet. Call its "
                "`build` with an input shape first."
            )
        return _places_of_layer(model, "")
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a network of `keras_channel_attn.models`, or a "
            f"layer: {', '.join(one.__name__ for one in _LAYERS)}. "
            f"Received: model={model!r} (of type {type(model).__name__})."
        )
    places = {}
    for layer in model.layers:
        if layer.weights:
            prefix = layer.name.replace("_", ".") + "."
            places.update(_places_of_layer(layer, prefix))
    return places


def _places_of_layer(layer, prefix):
    if isinstance(layer, SqueezeExcite):
        places = {
            "fc1.weight": (layer.reduce_kernel, _matrix),
            "fc1.bias": (layer.reduce_bias, np.asarray),
            "fc2.weight": (layer.expand_kernel, _matrix),
            "fc2.bias": (layer.expand_bias, np.asarray),
        }
    elif isinstance(layer, LinearSqueezeExcite):
        places = {
            "fc.weight": (layer.kernel, _matrix),
            "fc.bias": (layer.bias, np.asarray),
        }
    elif isinstance(layer, EfficientChannelAttention):
        arrange = np.transpose if layer.shared_kernel else _taps
        places = {"conv.weight": (layer.kernel, arrange)}
    elif isinstance(layer, keras.layers.BatchNormalization):
        places = {
            "weight": (layer.gamma, np.asarray),
            "bias": (layer.beta, np.asarray),
            "running_mean": (layer.moving_mean, np.asarray),
            "running_var": (layer.moving_variance, np.asarray),
        }
    elif isinstance(layer, keras.layers.Conv2D):
        places = {
            "weight": (layer.kernel, _kernel),
            "bias": (layer.bias, np.asarray),
        }
    elif isinstance(layer, keras.layers.Dense):
        places = {
            "weight": (layer.kernel, _matrix),
            "bias": (layer.bias, np.asarray),
        }
    else:
        raise TypeError(
            f"`load_torch_weights` knows no torch module like the layer "
            f"'{layer.name}' (of type {type(layer).__name__}). It loads the "
            "networks of `keras_channel_attn.models`."
        )
    return {
        prefix + name: place
        for name, place in places.items()
        if place[0] is not None
    }


def _kernel(array):
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else None


def _taps(array):
    """`(channels, 1, taps)`, a grouped convolution, transposed."""
    if array.ndim != 3 or array.shape[1] != 1:
        return None
    return array[:, 0].T


def _matrix(array):
    """`(outputs, inputs)`, or a 1x1 convolution of these, transposed."""
    if any(size != 1 for size in array.shape[2:]) or array.ndim < 2:
        return None
    return array.reshape(array.shape[:2]).T


def _renamed(arrays):
    """The arrays under the names of timm's ResNets, without counters.

    And a dictionary from these names to those that they had.
    """
    # What was trained on several devices, or compiled, has this in front.
    plain = [
        (re.sub(r"^(module\.|_orig_mod\.)+", "", name), array)
        for name, array in arrays.items()
        if not name.endswith("num_batches_tracked")
    ]
    deep = any(name.startswith("layer0.conv3.") for name, _ in plain)
    renamed, originals = {}, {}
    for original, array in plain:
        name = original
        if deep and name.startswith("layer0."):
            module, _, weight = name.rpartition(".")
            name = f"{_DEEP_STEM.get(module, module)}.{weight}"
        for pattern, replacement in _RENAMINGS:
            name = re.sub(pattern, replacement, name)
        if name in renamed:
            raise ValueError(
                f"The checkpoint has two arrays for '{name}', one of them "
                f"named '{original}'."
            )
        renamed[name], originals[name] = array, original
    return renamed, originals


def _read(weights):
    """A dictionary from names to NumPy arrays."""
    if isinstance(weights, Mapping):
        return _arrays(weights)
    if not isinstance(weights, (str, os.PathLike)):
        raise TypeError(
            "`weights` must be a mapping from names to arrays, or the path of "
            f"a file. Received: weights={weights!r} (of type "
            f"{type(weights).__name__}). {_PUBLISHED}"
        )
    path = pathlib.Path(weights).expanduser()
    read = _READERS.get(path.suffix)
    if read is None:
        raise ValueError(
            f"`weights` must be a file that ends in one of {list(_READERS)}; "
            "a `.weights.h5` is read by `model.load_weights`. Received: "
            f"weights={str(weights)!r}. {_PUBLISHED}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'.")
    try:
        return _arrays(read(path))
    except ImportError:
        raise
    except Exception as error:
        # Not as torch words it, which is how to run the code in the file.
        raise ValueError(
            f"'{path}' cannot be read as a checkpoint: it is damaged, or holds "
            "more than names and arrays. If you trust it, take its dictionary "
            "of weights with torch yourself, and pass that."
        ) from error


def _arrays(mapping):
    # Training scripts put the weights beside other things.
    for name in ("state_dict", "model"):
        if isinstance(mapping.get(name), Mapping):
            mapping = mapping[name]
    return {str(name): _array(value) for name, value in mapping.items()}


def _read_safetensors(path):
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(
            f"Reading '{path}' needs the package safetensors: "
            'pip install "keras-channel-attn[pretrained]"'
        ) from error
    return load_file(path)


def _read_torch(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading '{path}' needs torch: pip install torch. Or convert it "
            "to .safetensors where there is torch."
        ) from error
    return torch.load(path, map_location="cpu", weights_only=True)


_READERS = {
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".bin": _read_torch,
    ".tar": _read_torch,
}


def _array(value):
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy has no bfloat16 of its own.
        value = value.float() if value.is_floating_point() else value
    value = np.asarray(value)
    return value.astype("float32") if value.dtype.kind == "V" else value
