"""Examples in docstrings and in the README run and print what they say."""

import doctest
import importlib
import pathlib
import pkgutil
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from support import models_page

import keras_channel_attn
import keras_channel_attn.models

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"


# Backend modules are imported under their own backend only.
OTHER_BACKENDS = {"tensorflow", "torch", "jax"} - {keras.config.backend()}


def documented_examples():
    found = []
    names = [
        module.name
        for module in pkgutil.walk_packages(
            keras_channel_attn.__path__, "keras_channel_attn."
        )
        if module.name.rpartition(".")[2] not in OTHER_BACKENDS
    ]
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in names:
        module = importlib.import_module(name)
        namespace = {
            **vars(keras_channel_attn),
            **vars(keras_channel_attn.pruning),
            **vars(module),
            "keras": keras,
            "np": np,
        }
        for test in finder.find(module, extraglobs=namespace):
            if test.examples:
                whole_network = ".models." in name or name.endswith(".fusion")
                marks = [pytest.mark.slow] if whole_network else []
                found.append(pytest.param(test, id=test.name, marks=marks))
    return found


@pytest.mark.parametrize("test", documented_examples())
def test_docstring_example(test, capsys):
    runner = doctest.DocTestRunner(
        optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    failed, attempted = runner.run(test)
    assert attempted
    assert failed == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.training
def test_readme_code(tmp_path):
    """All blocks of the README in order, in a new process, as pasted."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 2
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def reference_pages():
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    return "".join(page.read_text() for page in pages)


def test_every_public_name_is_documented():
    reference = reference_pages()
    readme = README.read_text()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    for name in keras_channel_attn.__all__:
        assert f"::: keras_channel_attn.{name}\n" in reference
        assert name in readme
        assert name in changelog


@pytest.mark.parametrize(
    ("module", "example"), [("models", "ResNet"), ("pruning", "ChannelGroup")]
)
def test_every_name_of_a_module_is_in_the_reference(module, example):
    reference = reference_pages()
    public = dir(getattr(keras_channel_attn, module))
    assert example in public
    for name in public:
        assert f"::: keras_channel_attn.{module}.{name}\n" in reference


def test_tables_of_the_published_networks():
    """Written by `python tests/support/models_page.py`."""
    page = models_page.PAGE.read_text()
    assert models_page.written(page) == page
    for row in models_page.rows():
        assert page.count(f"| `{row['checkpoint']}` |") == 1
