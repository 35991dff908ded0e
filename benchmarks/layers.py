"""Time the layers against their peers, on one backend.

    python -m benchmarks.layers --backend torch

Everything is timed in turn in one process, on two threads, in float32: ours,
the peers, code written by hand, and the floor that memory traffic sets. It
prints a table of medians in milliseconds with the lower and upper quartile,
and ratios of medians, and draws time over the size of the tensor.
"""

import argparse
import importlib
import os
import pathlib
import platform

from benchmarks.timing import quartiles, tell, time_in_turn

THREADS = 2
SHAPES = ((32, 56, 56, 64), (8, 56, 56, 64), (32, 14, 14, 256), (32, 7, 7, 512))
SINGLE = (1, 7, 7, 512)


def arguments():
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
    """Choose backend and threads; has to come before any import of it."""
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


def measure(module, rounds):
    """Dictionary from (mode, shape, kind) to the times of each contestant."""
    results = {}
    for mode in module.MODES:
        for shape in (*SHAPES, SINGLE):
            contestants = module.layers(shape)
            for kind in ("forward", "training"):
                if kind == "training" and shape == SINGLE:
                    continue
                tell(f"{mode}, {shape}, {kind}")
                functions = {
                    name: getattr(module, kind)(contestant, shape, mode)
                    for name, contestant in contestants.items()
                    if timed(name, kind, mode)
                }
                results[mode, shape, kind] = time_in_turn(functions, rounds)
    return results


def timed(name, kind, mode):
    if name.startswith("empty"):
        return kind == "forward"
    # What is compiled needs no floor of its own: it is written by a compiler.
    return not (mode == "compiled" and name == "floor")


def median(times):
    return quartiles(times)[1]


def table(results):
    """Lines of Markdown: milliseconds, median and quartiles."""
    lines = []
    for mode in dict.fromkeys(mode for mode, *_ in results):
        chosen = {
            key[1:]: value for key, value in results.items() if key[0] == mode
        }
        columns = [
            f"{kind} {'x'.join(map(str, shape))}" for shape, kind in chosen
        ]
        lines += [
            f"### {mode}",
            "",
            f"| ms | {' | '.join(columns)} |",
            "|---" * (len(columns) + 1) + "|",
        ]
        names = dict.fromkeys(
            name for times in chosen.values() for name in times
        )
        for name in names:
            cells = [
                cell(times[name]) if name in times else "-"
                for times in chosen.values()
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def cell(times):
    low, middle, high = (1e3 * value for value in quartiles(times))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def ratios(module, results):
    """Lines of Markdown: ours over the best peer, and over each other."""
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
    alone = "ours SE without Keras"
    measured_alone = any(alone in times for times in results.values())
    if measured_alone:
        columns.append("SE without Keras / best peer")
    lines = [
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for (mode, shape, kind), times in results.items():
        medians = {name: median(values) for name, values in times.items()}
        # Keras' own call is not ours to make faster: it is shown apart.
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
        if measured_alone:
            cells.append(f"{medians[alone] / best:.2f}")
        size = "x".join(map(str, shape))
        lines.append(f"| {mode} | {size} | {kind} | {' | '.join(cells)} |")
    return lines


def ratios_between(names, results):
    """Lines of Markdown: each of the layers between SE and ECA, over SE."""
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
    for (mode, shape, kind), times in results.items():
        call = median(times.get("empty Keras layer", [0.0, 0.0]))
        se = median(times["ours SE"]) - call
        cells = [f"{(median(times[name]) - call) / se:.2f}" for name in names]
        size = "x".join(map(str, shape))
        lines.append(f"| {mode} | {size} | {kind} | {' | '.join(cells)} |")
    return lines


def main():
    chosen = arguments()
    module = prepare(chosen.backend)
    results = measure(module, chosen.rounds)
    lines = [
        f"## {chosen.backend}",
        "",
        f"`python -m benchmarks.layers --backend {chosen.backend}`, "
        f"{THREADS} threads, float32, {platform.machine()}, "
        f"{versions(chosen.backend)}.",
        "",
        *ratios(module, results),
        "",
        *ratios_between(module.variants(SINGLE[-1], module.REDUCTION), results),
        "",
        *table(results),
    ]
    print("\n".join(lines))
    from benchmarks.drawing import draw

    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / f"layers_{chosen.backend}.md").write_text("\n".join(lines))
    draw(
        results,
        chosen.output / f"layers_{chosen.backend}.png",
        f"Channel attention on {chosen.backend}: {THREADS} threads, float32",
    )


def versions(backend):
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("keras", backend))


if __name__ == "__main__":
    main()
