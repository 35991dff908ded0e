"""Time over the size of the tensor, as a picture."""

import math

from matplotlib.figure import Figure

from benchmarks.timing import quartiles

# The same in every panel. What has no color is in the table alone.
COLORS = {
    "ours SE": "C0",
    "ours ECA": "C1",
    "timm SEModule": "C2",
    "timm SqueezeExciteCl": "C3",
    "torchvision SE": "C4",
    "timm EcaModule": "C5",
    "ours SE without Keras": "C9",
    "Keras layers": "C6",
    "empty Keras layer": "C7",
    "jax.numpy SE": "C3",
    "TensorFlow SE": "C3",
    "KerasCV SE": "C4",
    "floor": "black",
}


def draw(results, path, title):
    """A panel for each mode and step, one legend for all.

    Args:
        results: Dictionary from (mode, shape, step) to a dictionary from each
            contestant's name to its times in seconds.
        path: Where the PNG goes.
        title: String above it.
    """
    panels = list(dict.fromkeys((mode, step) for mode, _, step in results))
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(11, 4.2 * rows + 1), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, 2, squeeze=False).flat
    lines = {}
    for axis, (mode, step) in zip(axes, panels, strict=False):
        times = by_size(results, mode, step)
        for name in dict.fromkeys(
            name for one in times.values() for name in one
        ):
            lines[name] = draw_line(axis, name, times)
        axis.set(
            title=f"{mode}, {step}",
            xlabel="size of the tensor, MB",
            ylabel="median time, ms",
            xscale="log",
            yscale="log",
        )
        axis.grid(alpha=0.3)
    figure.legend(
        lines.values(), lines.keys(), loc="outside lower center", ncols=5
    )
    figure.savefig(path, dpi=110)


def by_size(results, mode, step):
    """Times by megabytes; of two shapes of one size, those of the first."""
    times = {}
    for (one, shape, other), value in results.items():
        if (one, other) == (mode, step):
            times.setdefault(4e-6 * math.prod(shape), value)
    return {
        size: {
            name: quartiles(values)
            for name, values in times[size].items()
            if name in COLORS
        }
        for size in sorted(times)
    }


def draw_line(axis, name, times):
    points = [
        (size, *(1e3 * value for value in value_by_name[name]))
        for size, value_by_name in times.items()
        if name in value_by_name
    ]
    sizes, low, middle, high = zip(*points, strict=True)
    color = COLORS[name]
    style = {"linewidth": 1, "alpha": 0.9}
    if name.startswith("ours"):
        style = {"linewidth": 3}
    elif name == "floor":
        style = {"linewidth": 1.5, "linestyle": "--"}
    (line,) = axis.plot(sizes, middle, marker="o", color=color, **style)
    axis.fill_between(sizes, low, high, alpha=0.15, color=color)
    return line
