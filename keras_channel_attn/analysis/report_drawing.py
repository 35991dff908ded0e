"""A picture of the report on the attention of a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_channel_attn.analysis.tables import short_titles, shorten
from keras_channel_attn.analysis.verdicts import (
    CONSTANT,
    DEPENDENT,
    NEGLIGIBLE_CHANGE,
    REMOVABLE,
)

# Of the name of a metric, above its panel.
_WIDEST_NAME = 24
# A smaller change is drawn as this one: no picture needs more.
_LEAST_CHANGE = 1e-3
# Readable in shades of gray and without red and green.
_IF_CONSTANT, _IF_REMOVED = "#0072b2", "#e69f00"
_COLORS = {REMOVABLE: "#b0b0b0", CONSTANT: "#56b4e9", DEPENDENT: "#1a1a1a"}
_COLOR_OF_OTHERS = "#cc79a7"


def figure_of_report(report: Any, to_file: Any = None) -> Any:
    """The figure of an `AttentionReport`: see `AttentionReport.plot`."""
    rows = report.layers
    figure, panels = _empty_figure(
        len(rows), 3 if report.metric_name is None else 4
    )
    spreads, changes, *metrics, times = panels
    _draw_spreads(spreads, rows)
    _draw_changes(changes, rows)
    for panel in metrics:
        _draw_metric(panel, report)
    _draw_times(times, rows)
    places = range(len(rows))
    titles = short_titles([row.path for row in rows])
    spreads.set_yticks(places, titles, fontsize=8)
    spreads.set_ylim(len(rows) - 0.5, -0.5)
    for panel in panels:
        panel.tick_params(axis="x", labelsize=7)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", color="0.92", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
    samples = "1 sample" if report.samples == 1 else f"{report.samples} samples"
    figure.suptitle(f"Attention of '{report.name}' on {samples}", fontsize=10)
    if to_file is not None:
        figure.savefig(to_file)
    return figure


def _empty_figure(rows: int, columns: int) -> tuple[Any, list[Any]]:
    """A figure with panels side by side, whose rows are the layers."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "`plot` needs matplotlib: pip install matplotlib"
        ) from error
    figure, panels = pyplot.subplots(
        1,
        columns,
        sharey=True,
        figsize=(2.5 * columns + 3.5, 0.22 * rows + 1.6),
        dpi=120,
        layout="constrained",
        squeeze=False,
    )
    return figure, list(panels.flat)


def _draw_spreads(panel: Any, rows: Sequence[Any]) -> None:
    panel.set_title("spread of the gates", fontsize=8, pad=18)
    _draw_dots(
        panel,
        {
            "over samples": [row.spread_over_samples for row in rows],
            "over channels": [row.spread_over_channels for row in rows],
        },
        ("#1a1a1a", "#a0a0a0"),
    )
    panel.set_xlim(left=0)
    panel.locator_params(axis="x", nbins=4)


def _draw_changes(panel: Any, rows: Sequence[Any]) -> None:
    title = f"change of the outputs (dotted: {NEGLIGIBLE_CHANGE})"
    panel.set_title(title, fontsize=8, pad=18)
    panel.set_xscale("log")
    panel.axvline(NEGLIGIBLE_CHANGE, color="0.6", linewidth=0.8, linestyle=":")
    series = {
        "constant": [row.change_if_constant for row in rows],
        "removed": [row.change_if_removed for row in rows],
    }
    drawn = {
        name: [None if x is None else max(x, _LEAST_CHANGE) for x in values]
        for name, values in series.items()
    }
    _draw_dots(panel, drawn, (_IF_CONSTANT, _IF_REMOVED))
    known = [x for values in drawn.values() for x in values if x is not None]
    panel.set_xlim(_LEAST_CHANGE / 1.3, 1.5 * max([1.0, *known]))


def _draw_metric(panel: Any, report: Any) -> None:
    name = shorten(report.metric_name, _WIDEST_NAME)
    panel.set_title(f"{name} (dotted: as it is)", fontsize=8, pad=18)
    panel.axvline(report.metric, color="0.6", linewidth=0.8, linestyle=":")
    panel.locator_params(axis="x", nbins=4)
    _draw_dots(
        panel,
        {
            "constant": [row.metric_if_constant for row in report.layers],
            "removed": [row.metric_if_removed for row in report.layers],
        },
        (_IF_CONSTANT, _IF_REMOVED),
    )


def _draw_dots(
    panel: Any, series: dict[str, list[Any]], colors: Sequence[str]
) -> None:
    """A dot in each row for each series, and a legend above."""
    # The first is larger, so that it is seen behind the second.
    for (label, values), color, marker, size in zip(
        series.items(), colors, "os", (5.5, 3.5), strict=True
    ):
        numbers = [np.nan if x is None else x for x in values]
        panel.plot(
            numbers,
            range(len(numbers)),
            marker,
            color=color,
            markersize=size,
            label=label,
        )
    panel.legend(
        fontsize=7,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=2,
        frameon=False,
        handletextpad=0.1,
        columnspacing=0.8,
        borderaxespad=0.1,
    )


def _draw_times(panel: Any, rows: Sequence[Any]) -> None:
    """The shares of the time, and the verdicts beside them."""
    panel.set_title("share of the time, verdict", fontsize=8, pad=18)
    shares = [100 * row.time_share for row in rows]
    widest = max([*shares, 0.1])
    colors = [_COLORS.get(row.verdict, _COLOR_OF_OTHERS) for row in rows]
    panel.barh(range(len(rows)), shares, height=0.55, color=colors)
    for place, (row, share) in enumerate(zip(rows, shares, strict=True)):
        panel.annotate(
            row.verdict,
            (share, place),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
        )
    # The rest is for the text.
    panel.set_xlim(0, 3.2 * widest)
    panel.locator_params(axis="x", nbins=6)
    panel.xaxis.set_major_formatter("{x:g} %")
