"""Writes the tables of docs/models.md from the package's checkpoints.csv.

python tests/support/models_page.py     # writes them into the page
"""

import csv
import pathlib
import re

from keras_channel_attn.models.timm import timm_networks

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"
TABLE = ROOT / "keras_channel_attn" / "models" / "checkpoints.csv"
HEADER = """\
| checkpoint | parameters | image | top-1 | license |
|---|---|---|---|---|
"""
# Families by the beginnings of their names.
FAMILIES = {
    "seresnet": ("SE-ResNet", "SE in each residual branch"),
    "seresnext": ("SE-ResNeXt", "SE with grouped convolutions"),
    "senet": ("SENet-154", "the largest network of the SE paper"),
    "resnetrs": ("ResNet-RS", "the networks of Revisiting ResNets, with SE"),
    "legacy_": ("Older SE networks", "with strides and pooling as in Caffe"),
    "ecaresnet": ("ECA-ResNet", "ECA at the end of each residual branch"),
    "eca_resn": ("Tiered ECA-ResNet", "ECA inside of each bottleneck, SiLU"),
    "gcresn": ("GC-ResNet", "global context inside of each bottleneck"),
    "regnety": ("RegNetY", "SE inside of each bottleneck, up to SEER's sizes"),
    "ese_vovnet": ("eSE-VoVNet", "eSE at the end of each stage"),
    "eca_nfnet": ("ECA-NFNet", "ECA without batch normalization"),
    "nfnet": ("NFNet", "SE without batch normalization"),
}


def rows():
    """The rows of checkpoints.csv."""
    with open(TABLE, newline="") as file:
        return list(csv.DictReader(file))


def line(row):
    top1 = f"{float(row['top1']):.2f}" if row["top1"] else ""
    return (
        f"| `{row['checkpoint']}` | {int(row['parameters']):,} "
        f"| {row['size']} | {top1} | {row['license']} |"
    )


def cards(attended_rows):
    """A list of the families, which the site shows as cards."""
    members = {prefix: [] for prefix in FAMILIES}
    for row in attended_rows:
        prefix = next(p for p in FAMILIES if row["checkpoint"].startswith(p))
        members[prefix].append(row)
    return [card(prefix, rows) for prefix, rows in members.items()]


def card(prefix, rows):
    title, description = FAMILIES[prefix]
    millions = sorted(round(int(row["parameters"]) / 1e6, 1) for row in rows)
    best = max(float(row["top1"] or 0) for row in rows)
    sizes = " to ".join(
        f"{size}" for size in dict.fromkeys(millions[:: len(rows) - 1 or 1])
    )
    number = "one checkpoint" if len(rows) == 1 else f"{len(rows)} checkpoints"
    return (
        f"-   **{title}**: {description}. {number.capitalize()}, {sizes} "
        f"million parameters, top-1 up to {best:.2f}. "
        f'[Show](#with-attention-from-timm){{ data-filter="^{prefix}" }}\n'
    )


def parts():
    """Dictionary from the name of a part of the page to its text."""
    attended = {
        name
        for name, network in timm_networks().items()
        if network.attention is not None
    }
    known = [(row["checkpoint"].partition(".")[0], row) for row in rows()]
    attended_rows = [row for name, row in known if name in attended]
    tables = {
        "attention": [line(row) for row in attended_rows],
        "plain": [line(row) for name, row in known if name not in attended],
    }
    trained = {name for name, _ in known}
    untrained = [f"`{name}`" for name in timm_networks() if name not in trained]
    return {
        **{
            part: f"\n{HEADER}" + "\n".join(lines) + "\n"
            for part, lines in tables.items()
        },
        "families": "\n" + "\n".join(cards(attended_rows)),
        "untrained": ", ".join(untrained) + ".",
    }


def written(page):
    """The page with the tables of today."""
    for part, text in parts().items():
        start = f"<!-- {part}: written by tests/support/models_page.py -->"
        page = re.sub(
            f"{re.escape(start)}.*?<!-- end -->",
            lambda _, whole=f"{start}{text}<!-- end -->": whole,
            page,
            flags=re.DOTALL,
        )
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
