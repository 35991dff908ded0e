"""The script of the worked question on docs/analysis.md, at its smallest."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest

from keras_channel_attn import remove_attention

DOCS = pathlib.Path(__file__).parents[2] / "docs"
spec = importlib.util.spec_from_file_location(
    "digits", DOCS / "analysis" / "digits.py"
)
digits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(digits)


@pytest.mark.training
def test_table_has_the_rows_of_the_page(monkeypatch, tmp_path, capsys):
    few = [array[:100] for array in digits.load_pixels()]
    monkeypatch.setattr(digits, "load_pixels", lambda: few)
    monkeypatch.setattr(digits, "PICTURE", tmp_path / "digits.png")
    digits.report(epochs=1)
    assert (tmp_path / "digits.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    page = (DOCS / "analysis.md").read_text(encoding="utf-8")
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3 + 2
    assert "\n".join(rows[:2]) in page
    for row in rows[2:]:
        _, name, *_ = row.split("|")
        assert f"\n|{name}|" in page
        assert row.endswith("% |")


def test_gates_of_one_are_no_attention():
    """And other gates are the factors of the channels."""
    keras.utils.set_random_seed(0)
    network = digits.build_network()
    names = [f"block{number}_se" for number in (2, 4, 5)]
    images = digits.load_pixels()[0][:2]
    ones = {name: np.ones(32, "float32") for name in names}
    expected = remove_attention(network)(images)
    found = digits.with_fixed_gates(network, ones)(images)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    zeros = {**ones, "block5_se": np.zeros(32, "float32")}
    found = digits.with_fixed_gates(network, zeros)(images)
    # The bias of the last layer starts at zero.
    np.testing.assert_allclose(found, np.zeros_like(expected), atol=1e-6)


def test_pixels_have_the_label_of_their_digit():
    images, pixels, labels = digits.load_pixels()
    assert images.shape == (1797, 24, 24, 1)
    strokes = images[..., 0] > 0.3
    np.testing.assert_array_equal(pixels >= 0, strokes)
    assert set(pixels[7][strokes[7]]) == {labels[7]}
