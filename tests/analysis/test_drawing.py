"""The picture of attention scores: what is drawn, from which numbers."""

import sys

import numpy as np
import pytest

from keras_channel_attn import plot_attention_scores


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def scores_of(layers, rng, samples=40, channels=16):
    return {
        f"backbone/block{i}_se": rng.uniform(size=(samples, channels))
        for i in range(layers)
    }


@pytest.mark.parametrize("layers", [1, 3, 16, 50])
def test_panels(layers, rng, pyplot):
    scores = scores_of(layers, rng)
    figure = plot_attention_scores(scores, labels=np.arange(40) % 2)
    *panels, _ = figure.axes
    assert len(panels) == layers
    titles = [panel.get_title() for panel in panels]
    if layers > 1:
        assert titles == [f"block{i}" for i in range(layers)]


def test_means_by_class(rng, pyplot):
    scores = {"se": rng.uniform(size=(40, 16))}
    labels = np.arange(40) % 3
    figure = plot_attention_scores(scores, labels, ["cat", "dog", "owl"])
    panel, _ = figure.axes
    order = np.argsort(scores["se"].mean(0))
    for line, label in zip(panel.get_lines(), range(3), strict=True):
        expected = scores["se"][labels == label].mean(0)[order]
        np.testing.assert_allclose(line.get_ydata(), expected)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["cat", "dog", "owl"]


def test_one_hot_labels(rng, pyplot):
    """They are drawn as the integers are."""
    scores = {"se": rng.uniform(size=(40, 16))}
    labels = np.arange(40) % 3
    expected, actual = (
        plot_attention_scores(scores, each, ["cat", "dog", "owl"]).axes[0]
        for each in (labels, np.eye(3, dtype="float32")[labels])
    )
    for one, other in zip(
        expected.get_lines(), actual.get_lines(), strict=True
    ):
        np.testing.assert_array_equal(one.get_ydata(), other.get_ydata())


def test_spread(pyplot):
    """Class means 0.2 and 0.6, and 0.1 to both sides of them."""
    values = np.array([0.1, 0.3, 0.5, 0.7])[:, None] * np.ones((1, 4))
    figure = plot_attention_scores({"se": values}, labels=[0, 0, 1, 1])
    between, within = figure.axes[-1].get_lines()
    assert between.get_ydata() == pytest.approx([0.2])
    assert within.get_ydata() == pytest.approx([0.1])


def test_many_channels_and_classes(rng, pyplot):
    """No more than fifty points, from the lowest mean to the highest."""
    scores = {"se": rng.uniform(size=(60, 512))}
    figure = plot_attention_scores(scores, labels=np.arange(60) % 30)
    panel, _ = figure.axes
    assert len(panel.get_lines()) == 30
    positions = panel.get_lines()[0].get_xdata()
    assert (len(positions), positions[0], positions[-1]) == (50, 0, 511)
    assert not figure.legends


def test_without_labels(rng, pyplot):
    figure = plot_attention_scores(scores_of(2, rng))
    *panels, spread = figure.axes
    assert all(len(panel.get_lines()) == 1 for panel in panels)
    (line,) = spread.get_lines()
    assert line.get_label() == "over all samples"


def test_file(rng, pyplot, tmp_path):
    path = tmp_path / "scores.png"
    plot_attention_scores(scores_of(3, rng), to_file=path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ({}, {}, "must be a dictionary"),
        ({"se": np.ones(4)}, {}, "shapes"),
        ({"a": np.ones((4, 8)), "b": np.ones((5, 8))}, {}, "shapes"),
        ({"se": np.ones((4, 8))}, {"labels": [0, 1]}, "one label for each"),
        (
            {"se": np.ones((4, 8))},
            {"labels": np.full((4, 2), 0.5)},
            "or one-hot vectors",
        ),
        (
            {"se": np.ones((2, 8))},
            {"labels": [0, 2], "class_names": ["cat", "dog"]},
            r"labels \[2\]",
        ),
    ],
)
def test_wrong_arguments(scores, options, message):
    with pytest.raises(ValueError, match=message):
        plot_attention_scores(scores, **options)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([1], {}, "`scores` must be a dictionary"),
        ({"se": np.ones((2, 8))}, {"class_names": 3}, "`class_names` must be"),
        ({"se": np.ones((2, 8))}, {"class_names": "ab"}, "`class_names` must"),
    ],
)
def test_arguments_of_a_wrong_type(scores, options, message):
    with pytest.raises(TypeError, match=message):
        plot_attention_scores(scores, **options)


def test_classes_as_numbers_of_other_types(rng, pyplot):
    scores, names = scores_of(1, rng), np.array(["cat", "dog"])
    labels = np.arange(40) % 2.0
    figure = plot_attention_scores(scores, labels, class_names=names)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cat", "dog"]


def test_steps_are_averaged(pyplot):
    steps = np.arange(24.0).reshape(2, 3, 4)
    figure = plot_attention_scores({"se": steps})
    panel, _ = figure.axes
    np.testing.assert_allclose(
        panel.get_lines()[0].get_ydata(), steps.mean(axis=(0, 1))
    )


def test_without_matplotlib(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot_attention_scores(scores_of(1, rng))
