"""Sections of docstrings that mkdocstrings does not know."""

import importlib.util
import pathlib

FILE = pathlib.Path(__file__).parents[2] / "docs" / "docstring_sections.py"
spec = importlib.util.spec_from_file_location("docstring_sections", FILE)
docstring_sections = importlib.util.module_from_spec(spec)
spec.loader.exec_module(docstring_sections)

DOCSTRING = """\
A layer.

Args:
    units: Integer.

Call arguments:
    inputs: Tensor,
        of any rank.
    **options: Others.

Raises:
    TypeError, ValueError: If wrong.

Examples:

>>> 1 + 1
2
"""
MARKDOWN = """\
A layer.

Args:
    units: Integer.

<span class="doc-section-title">Call arguments:</span>

- `inputs`: Tensor,
    of any rank.
- `**options`: Others.

Raises:
    TypeError | ValueError: If wrong.

Examples:
    >>> 1 + 1
    2"""


def test_sections_become_markdown():
    assert docstring_sections.as_markdown(DOCSTRING) == MARKDOWN


def test_docstring_without_sections_is_kept():
    assert docstring_sections.as_markdown("A function.") == "A function."
