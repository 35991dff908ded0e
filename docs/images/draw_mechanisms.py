"""Draws what SE and ECA compute, as two pictures for light and dark pages.

python docs/images/draw_mechanisms.py     # needs matplotlib
"""

import pathlib

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

FOLDER = pathlib.Path(__file__).parent
CHANNELS = 8
# Invented, as the picture explains a computation and shows no result.
GATES = np.array([0.9, 0.35, 0.7, 0.15, 0.6, 0.95, 0.25, 0.8])
THEMES = {
    "light": {
        "text": "#1f2328",
        "line": "#57606a",
        "faint": "#8c959f",
        "back": "#ffffff",
    },
    "dark": {
        "text": "#e6edf3",
        "line": "#adbac7",
        "faint": "#768390",
        "back": "#0d1117",
    },
}
HUES = plt.get_cmap("viridis")(np.linspace(0.15, 0.9, CHANNELS))
TOP, STEP = 0.86, 0.2


def rows(count):
    """Heights of the cells of a vector, centered on that of the channels."""
    middle = TOP - STEP * (CHANNELS - 1) / 2
    return middle + STEP * ((count - 1) / 2 - np.arange(count))


def feature_map(axes, left, strengths, theme):
    """A stack of planes, one for each channel."""
    for channel in reversed(range(CHANNELS)):
        x, y = left + 0.13 * channel, rows(CHANNELS)[-1] + 0.1 * channel
        axes.add_patch(Rectangle((x, y), 0.72, 0.72, color=theme["back"], lw=0))
        axes.add_patch(
            Rectangle(
                (x, y),
                0.72,
                0.72,
                facecolor=HUES[channel],
                edgecolor=theme["line"],
                alpha=0.12 + 0.88 * strengths[channel],
                lw=0.8,
            )
        )


def vector(axes, x, colors, theme, strengths=None, width=0.24):
    strengths = np.ones(len(colors)) if strengths is None else strengths
    for y, color, strength in zip(
        rows(len(colors)), colors, strengths, strict=True
    ):
        axes.add_patch(
            Rectangle(
                (x, y - 0.08),
                width,
                0.16,
                facecolor=(*color[:3], strength),
                edgecolor=theme["line"],
                lw=0.8,
            )
        )


def arrow(axes, start, end, theme, **options):
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=11,
            color=theme["line"],
            shrinkA=0,
            shrinkB=0,
            **options,
        )
    )


def connections(axes, left, right, sources, targets, theme, pairs):
    """Lines from cells of one vector to cells of the next."""
    for source, target in pairs:
        axes.plot(
            [left, right],
            [rows(sources)[source], rows(targets)[target]],
            color=theme["faint"],
            lw=0.7,
        )


def squeeze_excite(axes, theme):
    """Two dense maps: every gate depends on every channel."""
    gray = [matplotlib.colors.to_rgb(theme["faint"])] * 2
    dense = [(a, b) for a in range(CHANNELS) for b in range(2)]
    connections(axes, 2.89, 3.35, CHANNELS, 2, theme, dense)
    vector(axes, 3.35, gray, theme)
    connections(
        axes, 3.59, 4.05, 2, CHANNELS, theme, [(b, a) for a, b in dense]
    )
    label(axes, 3.47, "two dense maps\n2C²/r weights", theme)


def efficient(axes, theme):
    """A convolution over the channels: a gate depends on its neighbors."""
    window = [
        (neighbor, channel)
        for channel in range(CHANNELS)
        for neighbor in range(channel - 1, channel + 2)
        if 0 <= neighbor < CHANNELS
    ]
    connections(axes, 2.89, 4.05, CHANNELS, CHANNELS, theme, window)
    label(axes, 3.47, "1-D convolution\nk weights", theme)


def label(axes, x, text, theme, y=-0.98, **options):
    axes.text(x, y, text, ha="center", va="top", color=theme["text"], **options)


def panel(axes, title, excite, theme):
    feature_map(axes, 0.1, np.ones(CHANNELS), theme)
    arrow(axes, (1.85, 0.16), (2.55, 0.16), theme)
    vector(axes, 2.65, HUES, theme)
    excite(axes, theme)
    vector(axes, 4.05, HUES, theme, GATES)
    arrow(axes, (4.39, 0.16), (5.1, 0.16), theme)
    axes.text(
        4.74,
        0.24,
        "\N{MULTIPLICATION SIGN}",
        ha="center",
        color=theme["text"],
        fontsize=15,
    )
    feature_map(axes, 5.2, GATES, theme)
    label(axes, 0.46, "input x", theme)
    label(axes, 2.05, "mean of each\nchannel", theme)
    label(axes, 4.65, "gates\n0 to 1", theme)
    label(axes, 5.62, "output y", theme)
    axes.text(
        0.1,
        1.28,
        title,
        color=theme["text"],
        fontsize=13,
        fontweight="bold",
    )
    axes.set_xlim(0, 7)
    axes.set_ylim(-1.55, 1.5)
    axes.set_aspect("equal")
    axes.axis("off")


def draw(name, theme):
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 6.1))
    panel(upper, "Squeeze-and-Excitation (SE)", squeeze_excite, theme)
    panel(lower, "Efficient Channel Attention (ECA)", efficient, theme)
    figure.subplots_adjust(0, 0, 1, 1, hspace=0)
    # Without a date and with fixed identifiers the file is reproducible.
    figure.savefig(
        FOLDER / f"mechanisms_{name}.svg",
        transparent=True,
        metadata={"Date": None},
    )
    plt.close(figure)


if __name__ == "__main__":
    plt.rcParams.update({"font.size": 12, "svg.hashsalt": "mechanisms"})
    for name, theme in THEMES.items():
        draw(name, theme)
