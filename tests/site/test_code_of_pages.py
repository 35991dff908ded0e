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


def test_quick_start_is_short():
    text = (DOCS / "index.md").read_text()
    block = re.search(r"## Quick start\n\n```python\n(.*?)```", text, re.DOTALL)
    lines = [line for line in block[1].splitlines() if line]
    assert len(lines) <= 10
