"""What pages with `render_macros: true` take from other files."""

import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).parent.parent


def define_env(env):
    """The variables and functions of the pages. The builder calls it."""
    env.variables["version"] = version()
    env.macro(bibtex)


def version() -> str:
    """The version of the package, which has no other place."""
    source = (ROOT / "keras_channel_attn" / "__init__.py").read_text()
    return re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)[1]


def bibtex() -> str:
    """The entries of CITATION.cff for BibTeX: the software, then the papers."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    return "\n\n".join(map(_entry, [citation, *citation["references"]]))


def _entry(work: dict) -> str:
    authors = [
        f"{author['family-names']}, {author['given-names']}"
        if "family-names" in author
        else f"{{{author['name']}}}"
        for author in work["authors"]
    ]
    fields = {
        "title": f"{{{work['title']}}}",
        "author": " and ".join(authors),
        "year": str(work.get("year", work.get("date-released")))[:4],
    }
    if "collection-title" in work:
        fields["booktitle"] = work["collection-title"]
    if "version" in work:
        fields["version"] = work["version"]
    for identifier in work.get("identifiers", []):
        fields["note"] = identifier["value"]
    kind = "inproceedings" if "collection-title" in work else "software"
    first = work["authors"][0].get("family-names", "keras_channel_attn")
    key = f"{first.lower()}{fields['year']}"
    lines = "".join(
        f"  {name} = {{{value}}},\n" for name, value in fields.items()
    )
    return f"@{kind}{{{key},\n{lines}}}"
