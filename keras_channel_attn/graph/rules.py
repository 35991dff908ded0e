"""Tables of rules for layers and operations, by the names of their classes."""

from typing import Any


def rules_by_name(*rows: tuple[Any, str]) -> dict[str, Any]:
    """From each name in the rows to the rule of its row.

    In a name, `{}` stands for the number of spatial axes.
    """
    return {
        name.format(rank): rule
        for rule, names in rows
        for name in names.split()
        for rank in "123"
    }
