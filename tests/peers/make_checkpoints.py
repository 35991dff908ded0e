"""Write the table of published checkpoints that the package ships.

    python tests/peers/make_checkpoints.py RESULTS

RESULTS is `results/results-imagenet.csv` of timm's repository: the accuracies
that timm has measured. Everything else comes from the installed timm. Run it
when a newer timm brings more checkpoints.
"""

import csv
import math
import pathlib
import sys

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_pretrained_cfg, list_models

import keras_channel_attn
from keras_channel_attn.models.timm import timm_networks

FOLDER = pathlib.Path(keras_channel_attn.__file__).parent
TABLE = FOLDER / "models" / "checkpoints.csv"
STATISTICS = {
    (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD): "imagenet",
    ((0.5,) * 3, (0.5,) * 3): "half",
}


def rows():
    """Dictionaries, without the accuracies."""
    for name in timm_networks():
        default = get_pretrained_cfg(name)
        tags = [
            full.partition(".")[2]
            for full in list_models(f"{name}.*", pretrained=True)
        ]
        # The default first: that is how the package knows it.
        for tag in sorted(tags, key=lambda tag: (tag != default.tag, tag)):
            known = get_pretrained_cfg(f"{name}.{tag}")
            if not known.num_classes:
                continue  # Features alone.
            assert known.crop_mode == "center"
            # Where the package looks for it; the oldest have an address only.
            assert known.hf_hub_id in (None, f"timm/{name}.{tag}")
            yield {
                "checkpoint": f"{name}.{tag}",
                "parameters": parameters(name, known.num_classes),
                "classes": known.num_classes,
                "size": (known.test_input_size or known.input_size)[1],
                "crop": known.test_crop_pct or known.crop_pct,
                "interpolation": known.interpolation,
                "statistics": STATISTICS[known.mean, known.std],
                "license": known.license or "",
            }


def parameters(name, classes):
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=classes)
    return sum(parameter.numel() for parameter in network.parameters())


def accuracies(path):
    """Dictionary from (checkpoint, size, crop) to top-1 in percent."""
    with open(path, newline="") as file:
        return {
            (
                row["model"],
                int(row["img_size"]),
                float(row["crop_pct"]),
            ): row["top1"]
            for row in csv.DictReader(file)
        }


def main():
    known = accuracies(sys.argv[1])
    table = list(rows())
    for row in table:
        key = row["checkpoint"], row["size"], row["crop"]
        row["top1"] = known.get(key, "")
        assert row["top1"] == "" or math.isfinite(float(row["top1"]))
    with open(TABLE, "w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
