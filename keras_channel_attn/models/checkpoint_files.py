"""Reading torch checkpoints from files or mappings into NumPy arrays.

The packages that a file format needs are imported only for such a file.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

_BY_NAME = (
    "For a published checkpoint by its name: "
    '`keras_channel_attn.models.from_timm(name, weights="pretrained")`.'
)
_TORCH = (
    "torch: pip install torch. Or convert the file to .safetensors on a "
    "machine that has torch."
)
# What each kind of file needs.
_PACKAGES = {
    ".safetensors": "the package safetensors: "
    'pip install "keras-channel-attn[pretrained]"',
    **dict.fromkeys((".pth", ".pt", ".bin", ".tar"), _TORCH),
}


def read_checkpoint(
    weights: str | os.PathLike[str] | Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Dictionary from the names in a checkpoint to NumPy arrays."""
    if isinstance(weights, Mapping):
        return _arrays(weights)
    if not isinstance(weights, (str, os.PathLike)):
        raise TypeError(
            "`weights` must be a mapping from names to arrays, or the path of "
            f"a file. Received: weights={weights!r} (of type "
            f"{type(weights).__name__}). {_BY_NAME}"
        )
    path = pathlib.Path(weights).expanduser()
    if path.suffix not in _PACKAGES:
        raise ValueError(
            f"`weights` must be a file that ends in one of {list(_PACKAGES)}; "
            "use `model.load_weights` for a `.weights.h5`. Received: "
            f"weights={str(weights)!r}. {_BY_NAME}"
        )
    if not path.is_file():
        raise FileNotFoundError(
            "`weights` must be the path of an existing file. Received: "
            f"weights={str(weights)!r}."
        )
    try:
        return _arrays(_read(path))
    except ImportError as error:
        raise ImportError(
            f"Reading '{path}' needs {_PACKAGES[path.suffix]}"
        ) from error
    except PermissionError:
        raise
    except Exception as error:
        # torch's own message explains how to run the code in the file.
        raise ValueError(
            f"'{path}' cannot be read as a checkpoint: it is damaged, or "
            "contains other objects than names and arrays. If you trust the "
            "file, load it with torch yourself and pass its state dict as "
            "`weights`."
        ) from error


def _arrays(mapping: Mapping[str, Any]) -> dict[str, np.ndarray]:
    # Training scripts save the state dict together with other values.
    for name in ("state_dict", "model"):
        if isinstance(mapping.get(name), Mapping):
            mapping = mapping[name]
    return {str(name): _array(value) for name, value in mapping.items()}


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # A bfloat16 tensor of torch cannot be converted to NumPy.
        value = value.float() if value.is_floating_point() else value
    value = np.asarray(value)
    # NumPy stores the bfloat16 of other packages as a void type.
    return value.astype("float32") if value.dtype.kind == "V" else value


def _read(path: pathlib.Path) -> Mapping[str, Any]:
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)
