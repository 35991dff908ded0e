"""Compare the speed of the layers with their peers on one backend.

    python -m benchmarks.layers --backend torch

All layers are timed in turn in one process, with two threads, in float32: our
layers, the peers, the same formula without a layer, and the lower bound that
memory traffic sets. The process keeps freed memory. The script prints ratios of
medians, and a table of medians and quartiles in milliseconds. It also draws the
time over the size of the tensor.
"""

import argparse
import ctypes
import importlib
import os
import pathlib
import platform

from benchmarks.timing import quartiles, report_progress, time_in_turn

THREADS = 2
# As in `benchmarks.spatial`, which cannot be imported before `prepare`.
NAMES = ("CBAM", "scSE", "coordinate", "context")
SHAPES = ((32, 56, 56, 64), (8, 56, 56, 64), (32, 14, 14, 256), (32, 7, 7, 512))
SINGLE = (1, 7, 7, 512)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend", choices=("tensorflow", "torch", "jax"), required=True
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("docs/performance")
    )
    return parser.parse_args()


def prepare(backend):
    """Set the backend and the number of threads, and import the benchmark.

    This must run before Keras and the backend are imported.
    """
    keep_freed_memory()
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if backend == "torch":
        import torch

        torch.set_num_threads(THREADS)
    elif backend == "tensorflow":
        import tensorflow

        threading = tensorflow.config.threading
        threading.set_intra_op_parallelism_threads(THREADS)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    return importlib.import_module(f"benchmarks.{backend}_layers")


def keep_freed_memory():
    """Make glibc keep freed memory, for all contestants.

    When it gives memory back to the system depends on what ran before, and
    asking for it again takes as long as a pass over a tensor.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # Not glibc.
        return
    # Numbers from malloc.h.
    trim_threshold, top_pad, most_mmaps = -1, -2, -4
    for option, value in (
        (trim_threshold, -1),
        (top_pad, 2**28),
        (most_mmaps, 0),
    ):
        if not mallopt(option, value):
            raise OSError(f"mallopt({option}, {value}) failed.")


def measure(module, rounds):
    """Dictionary from (mode, shape, step) to the times of each layer."""
    results = {}
    for mode in module.MODES:
        for shape in (*SHAPES, SINGLE):
            contestants = module.layers(shape)
            for step in ("forward", "training"):
                if step == "training" and shape == SINGLE:
                    continue
                report_progress(f"{mode}, {shape}, {step}")
                functions = {
                    name: getattr(module, step)(contestant, shape, mode)
                    for name, contestant in contestants.items()
                    if is_timed(name, step, mode)
                }
                results[mode, shape, step] = time_in_turn(functions, rounds)
    return results


def is_timed(name, step, mode):
    if name.startswith("empty"):
        return step == "forward"
    # `Floor` is a custom autograd function for eager mode. The compiler fuses
    # the passes over the input by itself.
    return not (mode == "compiled" and name == "floor")


def median(times):
    return quartiles(times)[1]


def table(results):
    """Lines of Markdown: medians and quartiles in milliseconds."""
    lines = []
    for mode in dict.fromkeys(mode for mode, *_ in results):
        times_by_column = {
            key[1:]: value for key, value in results.items() if key[0] == mode
        }
        columns = [
            f"{step} {'x'.join(map(str, shape))}"
            for shape, step in times_by_column
        ]
        lines += [
            f"### {mode}",
            "",
            f"| ms | {' | '.join(columns)} |",
            "|---" * (len(columns) + 1) + "|",
        ]
        names = dict.fromkeys(
            name for times in times_by_column.values() for name in times
        )
        for name in names:
            cells = [
                cell(times[name]) if name in times else "-"
                for times in times_by_column.values()
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def cell(times):
    low, middle, high = (1e3 * value for value in quartiles(times))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def ratios(module, results):
    """Lines of Markdown: ratios to the best peer and between our layers."""
    columns = [
        "mode",
        "shape",
        "step",
        "SE / best peer",
        "ECA / best ECA peer",
        "ECA / SE",
        "first / last, SE",
        "first / last, ECA",
    ]
    without_keras = "ours SE without Keras"
    has_without_keras = any(
        without_keras in times for times in results.values()
    )
    if has_without_keras:
        columns.append("SE without Keras / best peer")
    lines = [
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for (mode, shape, step), times in results.items():
        medians = {name: median(values) for name, values in times.items()}
        # The overhead of calling a Keras layer is subtracted: this package
        # cannot change it. It has a row of its own in the table.
        call = medians.get("empty Keras layer", 0.0)
        se, eca = (medians[f"ours {name}"] - call for name in ("SE", "ECA"))
        peers = module.BASELINES["ECA"]
        best = min(medians[name] for name in module.BASELINES["SE"])
        cells = [
            f"{se / best:.2f}",
            f"{eca / min(medians[name] for name in peers):.2f}"
            if peers
            else "-",
            f"{eca / se:.2f}",
            f"{(medians['ours SE, first'] - call) / se:.2f}",
            f"{(medians['ours ECA, first'] - call) / eca:.2f}",
        ]
        if has_without_keras:
            cells.append(f"{medians[without_keras] / best:.2f}")
        size = "x".join(map(str, shape))
        lines.append(f"| {mode} | {size} | {step} | {' | '.join(cells)} |")
    return lines


def ratios_to_peers(module, results):
    """Lines of Markdown: ratios of the layers for positions to their peers."""
    columns = ["mode", "shape", "step", *(f"{name} / peer" for name in NAMES)]
    lines = [
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for (mode, shape, step), times in results.items():
        call = median(times.get("empty Keras layer", [0.0, 0.0]))
        cells = [
            f"{(median(times[f'ours {name}']) - call) / best:.2f}"
            for name in NAMES
            for best in [min(median(times[x]) for x in module.BASELINES[name])]
        ]
        size = "x".join(map(str, shape))
        lines.append(f"| {mode} | {size} | {step} | {' | '.join(cells)} |")
    return lines


def ratios_to_squeeze_excite(names, results):
    """Lines of Markdown: ratios of the related layers to SE."""
    columns = [
        "mode",
        "shape",
        "step",
        *(f"{name.removeprefix('ours ')} / SE" for name in names),
    ]
    lines = [
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for (mode, shape, step), times in results.items():
        call = median(times.get("empty Keras layer", [0.0, 0.0]))
        se = median(times["ours SE"]) - call
        cells = [f"{(median(times[name]) - call) / se:.2f}" for name in names]
        size = "x".join(map(str, shape))
        lines.append(f"| {mode} | {size} | {step} | {' | '.join(cells)} |")
    return lines


def main():
    arguments = parse_arguments()
    module = prepare(arguments.backend)
    results = measure(module, arguments.rounds)
    lines = [
        f"## {arguments.backend}",
        "",
        f"`python -m benchmarks.layers --backend {arguments.backend}`, "
        f"{THREADS} threads, float32, {platform.machine()}, "
        f"{versions(arguments.backend)}.",
        "",
        *ratios(module, results),
        "",
        *ratios_to_squeeze_excite(
            module.variants(SINGLE[-1], module.REDUCTION), results
        ),
        "",
        *ratios_to_peers(module, results),
        "",
        *table(results),
    ]
    print("\n".join(lines))
    from benchmarks.drawing import draw

    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"layers_{arguments.backend}.md").write_text(
        "\n".join(lines)
    )
    draw(
        results,
        arguments.output / f"layers_{arguments.backend}.png",
        f"Channel attention on {arguments.backend}: {THREADS} threads, float32",
    )


def versions(backend):
    # Not from the metadata: the distribution may be `tensorflow-cpu`.
    modules = map(importlib.import_module, ("keras", backend))
    return ", ".join(
        f"{module.__name__} {module.__version__.partition('+')[0]}"
        for module in modules
    )


if __name__ == "__main__":
    main()
