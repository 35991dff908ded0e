"""Sections of docstrings that mkdocstrings does not know."""

import importlib.util
import inspect
import pathlib

import griffe

from keras_channel_attn import models

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


def test_the_site_shows_every_argument_of_the_named_networks():
    """A decorator completes their docstrings: griffe alone cannot see that."""
    extensions = griffe.load_extensions(docstring_sections.KerasSections)
    module = griffe.load(
        "keras_channel_attn.models.named_resnets",
        search_paths=[pathlib.Path(models.__file__).parents[2]],
        extensions=extensions,
    )
    # Without `ResNet`, which the module imports.
    names = [
        name
        for name in models.__all__
        if name in module.functions and not module.functions[name].is_alias
    ]
    assert len(names) == 13
    for name in names:
        shown = {
            section.kind.value: section.value
            for section in module[name].docstring.parse("google")
        }
        arguments = inspect.signature(getattr(models, name)).parameters
        assert [entry.name for entry in shown["parameters"]] == list(arguments)
        assert shown["returns"]
        assert shown["raises"]
