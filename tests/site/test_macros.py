"""What pages take from CITATION.cff and from the package."""

import importlib.util
import pathlib

import yaml

import keras_channel_attn

ROOT = pathlib.Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location(
    "macros", ROOT / "docs" / "macros.py"
)
macros = importlib.util.module_from_spec(spec)
spec.loader.exec_module(macros)


def test_version_has_one_value():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert macros.version() == keras_channel_attn.__version__
    assert macros.version() == citation["version"]


def test_bibtex_has_every_work():
    bibtex = macros.bibtex()
    assert bibtex.count("@software{") == 1
    assert bibtex.count("@inproceedings{") == 2
    assert bibtex.count("{") == bibtex.count("}")
    assert "author = {Hu, Jie and Shen, Li and Sun, Gang}," in bibtex
    assert "note = {arXiv:1910.03151}," in bibtex
