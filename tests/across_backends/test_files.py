"""Files written on each backend are read on each, with equal outputs.

Needs every backend installed: `tox -e slow`.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("network.py")
WRITERS = ("tensorflow", "torch", "jax")
READERS = (*WRITERS, "numpy", "openvino")
KINDS = ("keras_file", "weights_file", "json_and_weights")


def run(backend, *arguments):
    """What the script prints on its last line, in a process of its own."""
    process = subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip().splitlines()[-1:]


def run_each(backends, arguments):
    """`run` for each backend, two processes at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(
            pool.map(lambda name: run(name, *arguments(name)), backends)
        )


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    run_each(WRITERS, lambda backend: ("write", folder / backend))
    return folder


@pytest.fixture(scope="session")
def differences(written):
    """Largest difference of outputs, by reader, writer and kind of file."""
    folders = [written / backend for backend in WRITERS]
    printed = run_each(READERS, lambda backend: ("read", *folders))
    return {
        reader: json.loads(lines[0])
        for reader, lines in zip(READERS, printed, strict=True)
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("writer", WRITERS)
def test_outputs_are_equal(differences, writer, reader, kind):
    assert differences[reader][writer][kind] < 1e-5
