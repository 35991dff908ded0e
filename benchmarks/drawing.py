"""Plot of the time over the size of the tensor."""

import math

from matplotlib.figure import Figure

from benchmarks.timing import quartiles

# The same colors in every panel. Names without a color are not drawn; their
# times are only in the table.
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
    """Draw one panel for each mode and step, with one legend.

    Args:
        results: Dictionary from (mode, shape, step) to a dictionary from a
            name to a list of times in seconds.
        path: Path of the PNG file to write.
        title: String, title of the figure.
    """
    panels = list(dict.fromkeys((mode, step) for mode, _, step in results))
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(11, 4.2 * rows + 1), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, 2, squeeze=False).flat
    lines = {}
    for axis, (mode, step) in zip(axes, panels, strict=False):
        times = quartiles_by_size(results, mode, step)
        names = dict.fromkeys(
            name
            for quartiles_by_name in times.values()
            for name in quartiles_by_name
        )
        for name in names:
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


def quartiles_by_size(results, mode, step):
    """Dictionary from megabytes to the quartiles of each name.

    If two shapes have the same size, the first one is used.
    """
    times = {}
    for (result_mode, shape, result_step), value in results.items():
        if (result_mode, result_step) == (mode, step):
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
        (size, *(1e3 * value for value in quartiles_by_name[name]))
        for size, quartiles_by_name in times.items()
        if name in quartiles_by_name
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
