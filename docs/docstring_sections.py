"""The sections of Keras docstrings, as Markdown that mkdocstrings renders.

mkdocstrings knows the sections of Google's style. Keras has others (`Call
arguments:`, `Input shape:`), and writes examples without indentation.
"""

import importlib
import inspect
import re
import textwrap

import griffe

TITLES = ("Call arguments", "Input shape", "Output shape", "Weights")
SECTION = re.compile(
    rf"^({'|'.join(TITLES)}):\n((?:(?: .*)?\n)+)", re.MULTILINE
)
EXAMPLES = re.compile(r"^Examples?:\n\n(?=>>>)(.*)\Z", re.MULTILINE | re.DOTALL)
EXCEPTIONS = re.compile(r"^    \w+(?:, \w+)+:(?= )", re.MULTILINE)
ARGUMENT = re.compile(r"^(\*{0,2}\w+): ", re.MULTILINE)


def as_markdown(docstring: str) -> str:
    """A docstring whose sections are all of Google's style or Markdown."""
    docstring = EXAMPLES.sub(
        lambda match: "Examples:\n" + textwrap.indent(match[1], "    "),
        docstring,
    )
    docstring = EXCEPTIONS.sub(
        lambda match: match[0].replace(", ", " | "), docstring
    )
    return SECTION.sub(_section, docstring + "\n").rstrip()


def _section(match: re.Match[str]) -> str:
    title, text = match[1], textwrap.dedent(match[2]).strip()
    if title == "Call arguments":
        # Continuation lines have the indentation of a list item already.
        text = ARGUMENT.sub(r"- `\1`: ", text)
    return f'<span class="doc-section-title">{title}:</span>\n\n{text}\n\n'


class KerasSections(griffe.Extension):
    """Rewrites each docstring after griffe has collected it."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(_docstring(obj))


def _docstring(obj: griffe.Object) -> str:
    """The docstring that `help` shows."""
    decorators = obj.decorators if obj.is_function else []
    if any(_completes(str(decorator.value)) for decorator in decorators):
        module = importlib.import_module(obj.module.path)
        return inspect.getdoc(getattr(module, obj.name))
    return obj.docstring.value


def _completes(decorator: str) -> bool:
    """Whether a decorator adds text, which griffe does not see: it only reads.

    See `keras_channel_attn/models/docstrings.py`.
    """
    return decorator.startswith("document_arguments(")
