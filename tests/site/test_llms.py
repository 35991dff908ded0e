"""The index of the site for language models, which `tox -e docs` writes."""

import pathlib
import re

SITE = pathlib.Path(__file__).parents[2] / "build" / "site"


def test_each_page_has_a_line():
    text = (SITE / "llms.txt").read_text("utf-8")
    listed = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", text, re.MULTILINE)
    pages = {path.parent.resolve() for path in SITE.rglob("index.html")}
    addresses = {(SITE / address).resolve() for address in listed}
    assert addresses <= pages
    # The tables of all times have no entry in the navigation.
    others = {page.relative_to(SITE.resolve()) for page in pages - addresses}
    assert {page.parent for page in others} == {pathlib.Path("performance")}
    # No code, no markup of the builder.
    assert "{" not in text
    assert "`" * 3 not in text
