"""How the rows of a study are drawn: a line per row, a dot per seed."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure


def color_of(mechanism):
    return {"SE": "tab:orange", "ECA": "tab:blue"}.get(mechanism, "black")


def figure_for(rows, columns, **options):
    """A figure with axes side by side that have a line for each row."""
    # However few the rows, the labels need some height.
    size = (11, max(4, 2.2 + 0.4 * len(rows)))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, columns, **options)
    for axis in axes:
        axis.grid(axis="x", alpha=0.3)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure, axes


def draw_seeds(axis, percent, colors):
    """Mean ± standard deviation of each row, and below it each seed.

    Args:
        axis: Matplotlib axes, the first that `figure_for` returned.
        percent: Data frame with a column per row, see `Measure.percent`.
        colors: Dictionary from row to color.
    """
    for height, row in enumerate(percent.columns):
        seeds = percent[row].dropna()
        spread = seeds.std() if len(seeds) > 1 else None
        options = {"fmt": "o", "capsize": 4, "color": colors[row]}
        axis.errorbar(seeds.mean(), height, xerr=spread, **options)
        heights = np.full(len(seeds), height + 0.25)
        options = {"color": colors[row], "alpha": 0.35, "ms": 4, "mew": 0}
        axis.plot(seeds, heights, "o", **options)


def draw_changes(figure, axes, rows, pairs, percents, label):
    """How percentages change from one column to another, one axis a pair.

    Args:
        figure, axes: What `figure_for` returned.
        rows: Names of rows.
        pairs: For each axis its title, a column, and the one to compare with.
        percents: Function from a row to a data frame with these columns, which
            has a line for each seed.
        label: String, what the differences are.
    """
    for axis, (title, column, reference) in zip(axes, pairs, strict=True):
        changes = {}
        for row in rows:
            percent = percents(row)
            changes[row] = percent[column] - percent[reference]
        draw_seeds(axis, pd.DataFrame(changes), dict.fromkeys(rows, "tab:blue"))
        axis.axvline(0, color="black", lw=0.8, ls=":", zorder=0)
        axis.set_title(title)
        axis.set_xlabel(label)
    figure.supxlabel(
        "Mean ± standard deviation over the seeds, and below it each seed.",
        fontsize=9,
    )
