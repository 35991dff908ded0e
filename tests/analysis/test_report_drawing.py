"""The picture of a report, read from the objects that are drawn."""

import numpy as np
import pytest

from keras_channel_attn import AttentionReport, LayerReport

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def no_window():
    matplotlib.use("agg")
    yield
    matplotlib.pyplot.close("all")


def report(layers, metric=None):
    """A report with numbers that tell its rows apart."""
    rows = [
        LayerReport(
            path=f"backbone/stage{number}_squeeze_excite",
            kind="SqueezeExcite",
            channels=8,
            spread_over_samples=0.01 * number,
            spread_over_channels=0.02 * number,
            constant_channels=0.0,
            closed_channels=0.0,
            open_channels=0.0,
            # The first is unknown, the second smaller than the panel shows.
            change_if_constant=[None, 1e-9][number] if number < 2 else 0.1,
            change_if_removed=0.5,
            metric_if_constant=metric,
            metric_if_removed=metric,
            parameters=8,
            macs=8,
            time_share=0.01 * (number + 1),
            verdict="depends on the sample",
        )
        for number in range(layers)
    ]
    name = None if metric is None else "accuracy"
    return AttentionReport(
        *("network", 40, name, metric, 0.1, 0.5, metric, metric, 0.1, rows)
    )


@pytest.mark.parametrize("layers", [1, 3, 16, 50])
def test_one_row_for_each_layer(layers):
    figure = report(layers).plot()
    first, _, last = figure.axes
    assert len(first.get_yticks()) == len(last.patches) == layers
    # The first layer is above.
    assert first.get_ylim() == (layers - 0.5, -0.5)
    height = figure.get_size_inches()[1] - 1.6
    assert height / layers == pytest.approx(0.22)


def test_names_without_what_all_have():
    labels = report(3).plot().axes[0].get_yticklabels()
    assert [x.get_text() for x in labels] == ["stage0", "stage1", "stage2"]


def test_changes():
    constant, removed = [
        line.get_xdata()
        for line in report(3).plot().axes[1].get_lines()
        if line.get_label() in ("constant", "removed")
    ]
    np.testing.assert_array_equal(constant, [np.nan, 1e-3, 0.1])
    np.testing.assert_array_equal(removed, [0.5, 0.5, 0.5])


def test_verdicts_beside_the_time():
    panel = report(2).plot().axes[-1]
    assert [text.get_text() for text in panel.texts] == [
        "depends on the sample"
    ] * 2
    assert [bar.get_width() for bar in panel.patches] == pytest.approx([1, 2])


def test_metric_has_a_panel():
    figure = report(2, metric=0.8).plot()
    assert len(figure.axes) == 4
    assert figure.axes[2].get_title() == "accuracy (dotted: as it is)"


def test_file(tmp_path):
    report(2).plot(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000
