"""Rows of results as text and as data frames, and their names."""

import dataclasses
from collections.abc import Sequence
from typing import Any

# Of a panel, or beside a row.
_WIDEST_TITLE = 26


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


def short_titles(names: Sequence[str]) -> list[str]:
    """Names without the model and the ending that all of them have."""
    titles = list(names)
    if len(names) > 1:
        if len({name.rpartition("/")[0] for name in names}) == 1:
            titles = [name.rpartition("/")[2] for name in names]
        ending = _common_ending(titles)
        titles = [title.removesuffix(ending) for title in titles]
    return [shorten(title, _WIDEST_TITLE) for title in titles]


def _common_ending(names: Sequence[str]) -> str:
    """The longest ending that starts with an underscore: `"_excite"`."""
    first = names[0]
    endings = [first[i:] for i in range(1, len(first)) if first[i] == "_"]
    return next(
        (x for x in endings if all(name.endswith(x) for name in names)), ""
    )
