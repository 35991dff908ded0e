"""Published checkpoints: what there is, and how their images were prepared."""

import csv
import difflib
import functools
import importlib.resources

from keras_channel_attn.models.image_preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STANDARD_DEVIATION,
    ImagePreprocessing,
)

_STATISTICS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STANDARD_DEVIATION),
    "half": ((0.5,) * 3, (0.5,) * 3),
}


def preprocessing(name, data_format=None, dtype=None):
    """The layer that prepares images as a checkpoint was evaluated.

    With it a network has the accuracy that timm measured, see the table in the
    documentation. It can stand in front of the network in one model:
    `keras.Sequential([preprocessing(name), network])`.

    Args:
        name: String, a name of timm with a tag, `"seresnet50.ra2_in1k"`, or
            without, `"seresnet50"`, for the checkpoint that
            `weights="pretrained"` loads. For the networks of ECANet, moskomule
            and torchvision: `"resnet50.tv_in1k"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of the layer. Defaults to the global policy.

    Returns:
        An `ImagePreprocessing`.

    Raises:
        ValueError: If there is no such checkpoint; with the nearest names.

    Examples:

    >>> preprocessing("seresnet50").size
    288
    """
    row = find_checkpoint(name)
    mean, standard_deviation = _STATISTICS[row["statistics"]]
    return ImagePreprocessing(
        size=int(row["size"]),
        crop=float(row["crop"]),
        interpolation=row["interpolation"],
        mean=mean,
        standard_deviation=standard_deviation,
        data_format=data_format,
        dtype=dtype,
    )


def find_checkpoint(name):
    """The row of the table for a name of timm, with a tag or without."""
    rows = _rows()
    for checkpoint, row in rows.items():
        # The first of a network is timm's own choice.
        if name in (checkpoint, checkpoint.partition(".")[0]):
            return row
    near = difflib.get_close_matches(str(name), rows, n=5, cutoff=0.5)
    raise ValueError(
        f"No checkpoint is published for name={name!r}. Near it: {near}. "
        "docs/models.md lists all."
    )


def download(row):
    """Path of a checkpoint from the Hugging Face Hub, in its cache."""
    try:
        import huggingface_hub
        import safetensors  # noqa: F401, before a file is fetched in vain
    except ImportError as error:
        raise ImportError(
            '`weights="pretrained"` needs the packages huggingface_hub and '
            'safetensors: pip install "keras-channel-attn[pretrained]"'
        ) from error
    repository = f"timm/{row['checkpoint']}"
    try:
        return huggingface_hub.hf_hub_download(repository, "model.safetensors")
    except Exception as error:
        # Its errors are of a dozen kinds, of which few say what to do.
        raise ConnectionError(
            f"The checkpoint '{repository}' could not be had from the cache or "
            "the Hugging Face Hub. Without a network, copy its "
            "file model.safetensors from a machine that has one, and pass "
            f"`weights=` its path. ({error})"
        ) from error


@functools.cache
def _rows():
    """Dictionary from name to row, the default of each network first."""
    table = importlib.resources.files(__package__) / "checkpoints.csv"
    with table.open(newline="", encoding="utf-8") as file:
        return {row["checkpoint"]: row for row in csv.DictReader(file)}
