"""The table of docs/equivalents.md, from which the parity tests take their
layers: so what it says is what is tested."""

import pathlib
from typing import NamedTuple

import keras_channel_attn

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "equivalents.md"


class Equivalent(NamedTuple):
    """One row. `peer`, `layer` and `kernels` are Python expressions."""

    peer: str
    source: str
    layer: str
    kernels: str
    channels: str
    test: str

    @property
    def library(self):
        return self.source.split()[0]

    @property
    def tested_channels(self):
        return [int(number) for number in self.channels.split(",")]

    def build_layer(self, **names):
        return eval(self.layer, {**vars(keras_channel_attn), **names})

    def carry(self, arrays):
        """The peer's weights, or their gradients, in our shapes."""
        return [
            eval(self.kernels, {"W": array}) if array.ndim > 1 else array
            for array in arrays
        ]


def all_equivalents():
    """Every row of the table."""
    lines = DOCUMENT.read_text("utf-8").splitlines()
    header, _, *rows = [line for line in lines if line.startswith("|")]
    assert len(_cells(header)) == len(Equivalent._fields)
    return [Equivalent(*_cells(row)) for row in rows]


def equivalents(test):
    """The rows that name `test`, the path of a file below `tests`."""
    return [row for row in all_equivalents() if row.test == test]


def _cells(line):
    return [cell.strip().strip("`") for cell in line.strip("|").split("|")]
