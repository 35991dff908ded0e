"""Lists of problems in messages of errors."""

# How many problems an error lists. A file of another network has hundreds.
_LISTED = 10


def listing(problems: list[str]) -> str:
    """The number of problems and the first of them, a line for each."""
    rest = len(problems) - _LISTED
    return "\n  ".join(
        [
            f"{len(problems)} problems:",
            *problems[:_LISTED],
            *([f"and {rest} others"] if rest > 0 else []),
        ]
    )
