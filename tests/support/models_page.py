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
| loaded by | parameters | image | top-1 | license |
|---|---|---|---|---|
"""


def rows():
    """The rows of checkpoints.csv."""
    with open(TABLE, newline="") as file:
        return list(csv.DictReader(file))


def line(row):
    top1 = f"{float(row['top1']):.2f}" if row["top1"] else ""
    return (
        f'| `from_timm("{row["checkpoint"]}", "pretrained")` '
        f"| {int(row['parameters']):,} | {row['size']} | {top1} "
        f"| {row['license']} |"
    )


def parts():
    """Dictionary from the name of a part of the page to its text."""
    attended = {
        name
        for name, (_, attention, _) in timm_networks().items()
        if attention is not None
    }
    known = [(row["checkpoint"].partition(".")[0], row) for row in rows()]
    tables = {
        "attention": [line(row) for name, row in known if name in attended],
        "plain": [line(row) for name, row in known if name not in attended],
    }
    trained = {name for name, _ in known}
    untrained = [f"`{name}`" for name in timm_networks() if name not in trained]
    return {
        **{
            part: f"\n{HEADER}" + "\n".join(lines) + "\n"
            for part, lines in tables.items()
        },
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
