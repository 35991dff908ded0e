"""A picture of attention scores."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_channel_attn.analysis.tables import short_titles

# A legend with more classes than this would be unreadable.
_MAXIMUM_IN_LEGEND = 10
# In a panel, lines through more channels than this would cover each other.
# SENet's figure has fifty.
_MAXIMUM_OF_CHANNELS = 50


def plot_attention_scores(
    scores: Mapping[str, Any],
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    to_file: Any = None,
) -> Any:
    """Plot attention scores, layer by layer.

    Each layer has a panel with one line for each class: the mean score of each
    channel over the samples of the class. The channels are sorted by their mean
    over all samples; of many, fifty are drawn. Without labels there is one
    line, with a band of one standard deviation. The last panel shows for each
    layer how much the scores spread: *between classes*, the standard deviation
    of the class means, and *within classes*, that of the samples around the
    mean of their class. Both are averaged over the channels.

    This is the picture of section 6.4 of
    [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507): in
    early layers the classes have the same scores, and in late layers different
    ones. If nothing spreads, the layer multiplies by constants.

    Args:
        scores: Dictionary from names to arrays `(samples, channels)`, as
            `attention_scores` returns it. The mean over the steps is drawn of
            arrays `(samples, steps, channels)`.
        labels: Integers `(samples,)`, the class of each sample, or one-hot
            vectors `(samples, classes)`. Defaults to `None`: all samples are of
            one class.
        class_names: List of strings, names of the classes. The label is the
            index. Defaults to `None`: the labels themselves.
        to_file: Path of a file that the picture is written to, such as
            `"scores.png"`. Defaults to `None`: no file.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `scores` is no dictionary, or `class_names` no list.
        ValueError: If `scores` is empty or an array has another shape, or if
            `labels` has not one label for each sample, or a label that
            `class_names` has no name for.

    Examples:

    ```python
    scores, labels = attention_scores(model, dataset, return_labels=True)
    figure = plot_attention_scores(scores, labels, to_file="scores.png")
    ```
    """
    arrays = _arrays(scores)
    samples = len(next(iter(arrays.values())))
    classes = _labels(labels, samples)
    names = _names(classes, class_names)
    columns = min(len(arrays), max(3, math.ceil(math.sqrt(len(arrays)))))
    rows = math.ceil(len(arrays) / columns)
    figure, panels, summary = _empty_figure(rows, columns)
    colors = _colors(len(names))
    titles = short_titles(list(arrays))
    for panel, title, values in zip(
        panels, titles, arrays.values(), strict=False
    ):
        _draw_layer(panel, values, classes, colors)
        panel.set_title(title, fontsize=7, pad=3)
    for panel in panels[len(arrays) :]:
        panel.remove()
    _draw_spread(summary, titles, arrays.values(), classes)
    heading = "mean score of each channel"
    if labels is not None and len(names) <= _MAXIMUM_IN_LEGEND:
        figure.legend(
            panels[0].get_lines(),
            list(names.values()),
            loc="outside upper center",
            ncols=min(len(names), 5),
            title=f"{heading}, by class",
            fontsize=8,
            title_fontsize=9,
        )
    else:
        lines = (
            "one standard deviation" if labels is None else "one line a class"
        )
        figure.suptitle(f"{heading}, {lines}", fontsize=9)
    if to_file is not None:
        figure.savefig(to_file)
    return figure


def _arrays(scores: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(scores, Mapping):
        raise TypeError(
            "`scores` must be a dictionary, as `attention_scores` returns it. "
            f"Received: scores={scores!r} (of type {type(scores).__name__})."
        )
    arrays = {name: np.asarray(values) for name, values in scores.items()}
    shapes = {name: values.shape for name, values in arrays.items()}
    lengths = {shape[:1] for shape in shapes.values()}
    if len(lengths) != 1 or any(
        len(shape) < 2 or 0 in shape for shape in shapes.values()
    ):
        raise ValueError(
            "`scores` must be a dictionary from names to arrays of shape "
            "(samples, channels), with the same samples in each, as "
            f"`attention_scores` returns it. Received arrays of the shapes "
            f"{shapes}."
        )
    return {
        name: values.mean(axis=tuple(range(1, values.ndim - 1)))
        for name, values in arrays.items()
    }


def _labels(labels: Any, samples: int) -> np.ndarray:
    if labels is None:
        return np.zeros(samples, int)
    labels = np.asarray(labels)
    if labels.shape == (samples, 1):
        labels = labels[:, 0]
    elif labels.ndim == 2 and _is_one_hot(labels):
        labels = labels.argmax(1)
    if labels.shape != (samples,):
        raise ValueError(
            "`labels` must have one label for each sample: the shape "
            f"{(samples,)}, or one-hot vectors. Received: labels of shape "
            f"{labels.shape}."
        )
    return labels


def _is_one_hot(vectors: np.ndarray) -> bool:
    ones = (vectors == 1).sum(1) == 1
    return bool(ones.all() and ((vectors == 0) | (vectors == 1)).all())


def _names(
    labels: np.ndarray, class_names: Sequence[str] | None
) -> dict[Any, str]:
    """Dictionary from each label that occurs to its name."""
    present = np.unique(labels).tolist()
    if class_names is None:
        return {label: str(label) for label in present}
    if isinstance(class_names, str) or not hasattr(class_names, "__len__"):
        raise TypeError(
            "`class_names` must be a list of strings. "
            f"Received: class_names={class_names!r}."
        )
    indices = range(len(class_names))
    unnamed = [label for label in present if label not in indices]
    if unnamed:
        raise ValueError(
            f"`class_names` has {len(class_names)} names. Received: the labels "
            f"{unnamed}, which have none."
        )
    return {label: class_names[int(label)] for label in present}


def _empty_figure(rows: int, columns: int) -> tuple[Any, list[Any], Any]:
    """A figure, the panels for the layers, and one below them."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "`plot_attention_scores` needs matplotlib: pip install matplotlib"
        ) from error
    figure = pyplot.figure(
        figsize=(max(6.0, 2.2 * columns), 1.7 * rows + 3.4),
        dpi=120,
        layout="constrained",
    )
    upper, lower = figure.add_gridspec(2, height_ratios=[1.7 * rows, 2.2])
    panels = upper.subgridspec(rows, columns).subplots(
        sharey=True, squeeze=False
    )
    return figure, list(panels.flat), figure.add_subplot(lower)


def _colors(count: int) -> list[Any]:
    from matplotlib import colormaps

    if count <= _MAXIMUM_IN_LEGEND:
        return [colormaps["tab10"](index) for index in range(count)]
    return [colormaps["viridis"](index / (count - 1)) for index in range(count)]


def _draw_layer(
    panel: Any, values: np.ndarray, labels: np.ndarray, colors: list[Any]
) -> None:
    channels = values.shape[1]
    drawn = min(channels, _MAXIMUM_OF_CHANNELS)
    positions = np.linspace(0, channels - 1, drawn).round().astype(int)
    values = values[:, np.argsort(values.mean(0))[positions]]
    present = np.unique(labels)
    for label, color in zip(present, colors, strict=True):
        mean = values[labels == label].mean(0)
        panel.plot(positions, mean, color=color, linewidth=0.8, alpha=0.8)
    if len(present) == 1:
        deviation = values.std(0)
        panel.fill_between(
            positions,
            mean - deviation,
            mean + deviation,
            color=colors[0],
            alpha=0.3,
            linewidth=0,
        )
    panel.set_xticks([0, channels - 1], [1, channels])
    panel.tick_params(labelsize=6, length=2, pad=1)


def _draw_spread(
    panel: Any,
    titles: list[str],
    arrays: Iterable[np.ndarray],
    labels: np.ndarray,
) -> None:
    positions = range(1, len(titles) + 1)
    spreads = np.array([_spread(values, labels) for values in arrays])
    within = "over all samples"
    if len(np.unique(labels)) > 1:
        within = "within classes"
        panel.plot(positions, spreads[:, 0], "o-", label="between classes")
    panel.plot(positions, spreads[:, 1], "s--", label=within)
    panel.set_ylim(bottom=0)
    panel.set_ylabel("spread of scores", fontsize=8)
    panel.tick_params(labelsize=7)
    if len(titles) <= 20:
        is_wide = sum(map(len, titles)) > 90
        panel.set_xticks(
            list(positions),
            titles,
            rotation=30 if is_wide else 0,
            ha="right" if is_wide else "center",
        )
    else:
        panel.set_xlabel("layer, in the order of computation", fontsize=8)
    panel.legend(fontsize=7)


def _spread(values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Standard deviation between and within classes, mean over channels."""
    present = np.unique(labels)
    groups = [values[labels == label] for label in present]
    means = np.stack([group.mean(0) for group in groups])
    # The classes have the same weight, whatever their number of samples.
    variances = np.mean([group.var(0) for group in groups], axis=0)
    return float(means.std(0).mean()), float(np.sqrt(variances).mean())
