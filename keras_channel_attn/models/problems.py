"""Lists of problems in messages of errors."""

from keras_channel_attn.graph import first_lines

# How many problems an error lists. A file of another network has hundreds.
_LISTED = 10


def listing(problems: list[str]) -> str:
    """The number of problems and the first of them, a line for each."""
    lines = first_lines(problems, _LISTED)
    return f"{len(problems)} problems:\n  {lines}"
