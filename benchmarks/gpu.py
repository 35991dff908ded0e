"""Tests and times on a GPU, for whoever has one for ten minutes.

    python -m pip install ".[test,benchmarks,torch,jax]"
    python -m benchmarks.gpu

For each backend that is installed it runs the tests of the layers and of their
kernels, and times SE and ECA and their peers: forward and training, float32 and
bfloat16, both data formats. It downloads nothing. The column "bandwidth" is the
share of the bandwidth that a copy on the device reaches, for the passes over
the input that such a layer needs: three forward, seven in training. To try it
without a GPU:

    python -m benchmarks.gpu --device cpu --shape 4 14 14 64 --rounds 3
"""

import argparse
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys

from benchmarks.timing import quartiles, report_progress, time_in_turn

TESTS = ("tests/layers", "tests/backend", "tests/test_ops.py")
PASSES = {"forward": 3, "training": 7, "copy": 2}
BYTES = {"float32": 4, "bfloat16": 2}
# Calls in a row: the time of starting a computation is not the GPU's.
CALLS = 10
# Layer, data format and step of the copy that all is compared with.
COPY = ("copy", "", "copy")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--device", choices=("gpu", "cpu"), default="gpu")
    add("--backends", nargs="+", choices=("torch", "jax"), default=installed())
    add(
        "--shape",
        type=int,
        nargs=4,
        default=(128, 56, 56, 256),
        help="batch, height, width, channels (default: 128 56 56 256)",
    )
    add("--rounds", type=int, default=15)
    add("--no-tests", action="store_true", help="measure times only")
    add("--as-json", action="store_true", help="times of one backend, in JSON")
    return parser.parse_args()


def installed():
    return [name for name in ("torch", "jax") if importlib.util.find_spec(name)]


def main():
    arguments = parse_arguments()
    if arguments.as_json:
        print(json.dumps(measure(arguments)))
        return
    rows = []
    for backend in arguments.backends:
        if not arguments.no_tests:
            report_progress(f"tests on {backend}")
            pytest = ("-m", "pytest", "-q", "-m", "not slow", *TESTS)
            run_on(backend, arguments.device, *pytest)
        # Keras has one backend for a whole process.
        report_progress(f"times on {backend}")
        printed = run_on(
            backend,
            arguments.device,
            *("-m", "benchmarks.gpu", "--as-json", "--backends", backend),
            *("--device", arguments.device, "--rounds", str(arguments.rounds)),
            *("--shape", *map(str, arguments.shape)),
            stdout=subprocess.PIPE,
            text=True,
        )
        rows += json.loads(printed.stdout.splitlines()[-1])
    print(f"`{' '.join(['python -m benchmarks.gpu', *sys.argv[1:]])}`\n")
    print("\n".join(table(rows)))


def run_on(backend, device, *arguments, **options):
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TEST_DEVICE": device,
    }
    if device == "cpu":
        environment |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, check=True, **options)


def measure(arguments):
    """A list of rows, dictionaries from the columns of the table to cells."""
    (backend,) = arguments.backends
    module = importlib.import_module(f"benchmarks.gpu_{backend}")
    device = module.device()
    if not device.startswith(arguments.device):
        raise SystemExit(f"{backend} computes on {device}.")
    rows = []
    for dtype, size in BYTES.items():
        functions = module.functions(arguments.shape, dtype)
        times = time_in_turn(functions, arguments.rounds, seconds=0.05)
        seconds = {
            key: quartiles(values)[1] / CALLS for key, values in times.items()
        }
        input_size = math.prod(arguments.shape) * size
        bandwidth = {
            key: PASSES[key[-1]] * input_size / time
            for key, time in seconds.items()
        }
        for key, time in seconds.items():
            name, data_format, step = key
            rows.append(
                {
                    "backend": f"{backend}, {device}",
                    "dtype": dtype,
                    "format": data_format,
                    "layer": name,
                    "step": step,
                    "ms": f"{1e3 * time:.3f}",
                    "GB/s": f"{bandwidth[key] / 1e9:.0f}",
                    "bandwidth": f"{bandwidth[key] / bandwidth[COPY]:.2f}",
                }
            )
        # The inputs of both precisions need not fit on the device together.
        del functions
    return rows


def table(rows):
    """Lines of Markdown."""
    lines = [f"| {' | '.join(rows[0])} |", "|---" * len(rows[0]) + "|"]
    return lines + [f"| {' | '.join(row.values())} |" for row in rows]


if __name__ == "__main__":
    main()
