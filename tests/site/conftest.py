"""What needs a browser or a kernel is collected where they are installed."""

from importlib.util import find_spec

# The tox environment `docs` has these packages, those of the backends do not.
collect_ignore = [
    name
    for name, package in (
        ("test_in_browser.py", "selenium"),
        ("test_gallery.py", "nbclient"),
        ("test_docstring_sections.py", "griffe"),
        ("test_macros.py", "zensical"),
        ("test_llms.py", "zensical"),
        ("test_analysis_page.py", "sklearn"),
    )
    if find_spec(package) is None
]
