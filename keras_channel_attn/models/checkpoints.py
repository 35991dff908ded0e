"""The published checkpoints of timm, and the preprocessing of each."""

import csv
import difflib
import functools
import importlib.resources
from typing import Any

from keras_channel_attn.models.image_preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STANDARD_DEVIATION,
    ImagePreprocessing,
)

_STATISTICS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STANDARD_DEVIATION),
    "half": ((0.5,) * 3, (0.5,) * 3),
}


def preprocessing(
    name: str,
    data_format: str | None = None,
    dtype: Any = None,
    size: int | None = None,
) -> ImagePreprocessing:
    """The layer that prepares images as for the evaluation of a checkpoint.

    The accuracies in the documentation were measured with this preprocessing.
    `keras.Sequential([preprocessing(name), network])` is one model of both.

    Args:
        name: String, a name of timm with a tag, `"seresnet50.ra2_in1k"`, or
            without a tag, `"seresnet50"`, for the checkpoint that
            `weights="pretrained"` loads. Use `"resnet50.tv_in1k"` for
            checkpoints of ECANet, moskomule and torchvision.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of the layer. Defaults to the global policy.
        size: Integer, height and width of the output in pixels. Defaults to
            `None`, those of the evaluation.

    Returns:
        An `ImagePreprocessing`.

    Raises:
        ValueError: If no such checkpoint is published (the message has similar
            names), if `size` is not positive, or if `data_format` is unknown.
        TypeError: If `size` is not an integer, or `data_format` no string.

    Examples:

    >>> preprocessing("seresnet50").size
    288
    """
    row = find_checkpoint(name)
    mean, standard_deviation = _STATISTICS[row["statistics"]]
    return ImagePreprocessing(
        size=int(row["size"]) if size is None else size,
        crop=float(row["crop"]),
        interpolation=row["interpolation"],
        mean=mean,
        standard_deviation=standard_deviation,
        data_format=data_format,
        dtype=dtype,
    )


def without_owner(name: Any) -> str:
    """The name of a checkpoint or a network, from that of a repository.

    Repositories on the Hub are named `timm/seresnet50.ra2_in1k`.
    """
    return str(name).removeprefix("timm/")


def find_checkpoint(name: str) -> dict[str, str]:
    """The row of `checkpoints.csv` for a name with or without a tag."""
    name = without_owner(name)
    rows = checkpoint_rows()
    for checkpoint, row in rows.items():
        # The first row of a network is timm's default checkpoint.
        if name in (checkpoint, checkpoint.partition(".")[0]):
            return row
    near = difflib.get_close_matches(name, rows, n=5, cutoff=0.5)
    raise ValueError(
        f"No checkpoint is published for name={name!r}. Similar names: "
        f"{near}. `models.list_models(pretrained=True)` returns all of them."
    )


def download(row: dict[str, str]) -> str:
    """Path of a checkpoint in the cache of the Hugging Face Hub."""
    try:
        import huggingface_hub

        # Missing, it would raise only after the download.
        import safetensors  # noqa: F401
    except ImportError as error:
        raise ImportError(
            '`weights="pretrained"` needs the packages huggingface_hub and '
            'safetensors: pip install "keras-channel-attn[pretrained]"'
        ) from error
    repository = f"timm/{row['checkpoint']}"
    try:
        return huggingface_hub.hf_hub_download(repository, "model.safetensors")
    except Exception as error:
        # The Hub raises many kinds of errors, few of which say what to do.
        raise ConnectionError(
            f"The checkpoint '{repository}' could not be downloaded from the "
            "Hugging Face Hub or found in its cache. Without an internet "
            "connection, copy its file model.safetensors from another machine "
            f"and pass the path as `weights`. ({error})"
        ) from error


@functools.cache
def checkpoint_rows() -> dict[str, dict[str, str]]:
    """Dictionary from name to row, the default of each network first."""
    table = importlib.resources.files(__package__) / "checkpoints.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    return {row["checkpoint"]: row for row in csv.DictReader(lines)}
