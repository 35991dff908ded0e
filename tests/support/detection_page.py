"""The code and the table of docs/detection.md."""

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "detection.md"


def code(first_words):
    """The block of Python that begins with some words."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = [b for b in blocks if b.lstrip().startswith(first_words)]
    return block


def rows():
    """The rows of the table of sites: network, place, three numbers."""
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `yolo"):
            name, place, *numbers = cells
            counts = [int(number.replace(",", "")) for number in numbers]
            found.append((name.strip("`"), place, *counts))
    return found
