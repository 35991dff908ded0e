"""What the docstring of a public function or class has to contain."""

import inspect


def check_docstring(documented, sections, parameters=()):
    """Assert that the sections are there, and each parameter is described.

    `inspect.getdoc` removes the indentation, as Python 3.13 does on its own.
    """
    docstring = inspect.getdoc(documented)
    for section in sections:
        assert f"\n{section}:\n" in docstring, section
    for parameter in parameters:
        assert f"\n    {parameter}: " in docstring, parameter
