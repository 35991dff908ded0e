"""docs/equivalents.md has no row without a test and no peer without a row."""

import importlib.metadata

import pytest
from peers.formulas import FORMULAS
from support.equivalents import all_equivalents

# What the parity tests have to cover, by the library's first word.
WANTED = {
    ("timm", "SEModule"),
    ("timm", "SqueezeExciteCl"),
    ("timm", "EcaModule"),
    ("timm", "CecaModule"),
    ("timm", "EffectiveSEModule"),
    ("timm", "ChannelAttn"),
    ("timm", "CbamModule"),
    ("timm", "CoordAttn"),
    ("timm", "GlobalContext"),
    ("torchvision", "SqueezeExcitation"),
    *((library, name) for library in FORMULAS for name in FORMULAS[library]),
    ("k3-addons", "ECAAttention"),
    ("keras.applications", "MobileNetV3Small"),
    ("keras.applications", "MobileNetV3Large"),
    ("keras.applications", "EfficientNetB0"),
}
# The files whose tests run over the rows that name them.
TESTS = {
    "peers/test_parity.py",
    "peers/test_k3_addons.py",
    "layers/test_keras_applications.py",
}


def test_every_peer_has_a_row():
    rows = all_equivalents()
    assert {(r.library, r.peer.partition("(")[0]) for r in rows} == WANTED


def test_every_row_has_a_test():
    assert {row.test for row in all_equivalents()} == TESTS


def test_no_row_is_there_twice():
    rows = [row._replace(channels="") for row in all_equivalents()]
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize(
    ("library", "distribution"),
    [
        ("timm", "timm"),
        ("torchvision", "torchvision"),
        ("k3-addons", "k3-addons"),
        ("keras.applications", "keras"),
    ],
)
def test_versions_are_the_tested_ones(library, distribution):
    installed = importlib.metadata.version(distribution).partition("+")[0]
    stated = {r.source for r in all_equivalents() if r.library == library}
    assert stated == {f"{library} {installed}"}
