"""The code of the landing page and of the answers is run as it stands."""

import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.mark.training
@pytest.mark.parametrize("page", ["index.md", "faq.md"])
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)


def test_first_code_is_short():
    text = (DOCS / "index.md").read_text()
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    imports, _, rest = block[1].partition("\n\n")
    assert len(imports.splitlines()) == 2
    assert len(rest.splitlines()) == 3
