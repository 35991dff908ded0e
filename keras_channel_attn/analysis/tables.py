"""Rows of results as text, and as data frames."""

import dataclasses
from collections.abc import Sequence
from typing import Any


def aligned_lines(cells: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Lines of text with the columns of a table.

    Args:
        cells: List of rows, which are lists of strings.
        sides: String with `"<"` or `">"` for each column: where its text is.
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            f"{text:{side}{width}}"
            for text, side, width in zip(line, sides, widths, strict=True)
        )
        for line in cells
    ]


def shorten(text: str, width: int) -> str:
    """The end of a long text: that of a path says more than its beginning."""
    return text if len(text) <= width else "..." + text[3 - width :]


def data_frame(rows: Sequence[Any]) -> Any:
    """Data classes as a `pandas.DataFrame`, a row each."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "`to_dataframe` needs pandas: pip install pandas"
        ) from error
    return pandas.DataFrame([dataclasses.asdict(row) for row in rows])
