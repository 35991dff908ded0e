"""The parts of docstrings that the named networks share with `ResNet`.

docs/docstring_sections.py completes the docstrings on the site in the same way.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def document_arguments(
    *sources: Callable[..., Any],
) -> Callable[[_Function], _Function]:
    """A decorator that completes a docstring.

    It adds the sections `Args`, with the text that the docstrings of `sources`
    have for the arguments of the function, and `Returns` and `Raises`, which
    are those of the first source.
    """
    texts: dict[str, str] = {}
    for source in sources:
        # Each argument begins a line that is indented once.
        for text in re.split(r"(?m)^    (?=\S)", _section(source, "Args")):
            texts.setdefault(text.partition(":")[0], f"    {text}")
    rest = "".join(
        f"\n{title}:\n{_section(sources[0], title)}"
        for title in ("Returns", "Raises")
    )

    def decorate(function: _Function) -> _Function:
        if function.__doc__ is None:
            # Python leaves out docstrings under -OO.
            return function
        parameters = inspect.signature(function).parameters.values()
        arguments = "".join(
            _with_default(texts[parameter.name], parameter.default)
            for parameter in parameters
        )
        text, heading, examples = inspect.cleandoc(function.__doc__).partition(
            "Examples:\n"
        )
        function.__doc__ = (
            f"{text.rstrip()}\n\nArgs:\n{arguments}{rest}\n{heading}{examples}"
        )
        return function

    return decorate


def _section(function: Callable[..., Any], title: str) -> str:
    """The lines of a section in the docstring of a function."""
    documentation = inspect.getdoc(function) or ""
    found = re.search(rf"(?m)^{title}:\n((?: .*\n)+)", documentation)
    return found[1] if found else ""


def _with_default(text: str, default: Any) -> str:
    """The text on an argument with the default value of another function."""
    if not isinstance(default, str):
        return text
    return re.sub(r'Defaults to `".*"`', f'Defaults to `"{default}"`', text)
