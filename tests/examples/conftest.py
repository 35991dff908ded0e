"""The examples are run as their readers run them: as scripts."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def start_example(tmp_path):
    """Start a script in an empty folder, on the backend of this test run."""
    search_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)

    def start(script, *arguments, **environment):
        return subprocess.Popen(
            [sys.executable, EXAMPLES / script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env={
                **os.environ,
                # It may be relative, to another folder than `tmp_path`.
                "PYTHONPATH": os.pathsep.join(
                    os.path.abspath(folder) for folder in search_path if folder
                ),
                "PYTHONIOENCODING": "utf-8",
                # Threads that wait for each other make torch crawl when other
                # processes want the cores too.
                "OMP_NUM_THREADS": "1",
                **environment,
            },
        )

    return start


@pytest.fixture
def run_example(start_example):
    """Run a script to its end."""

    def run(*arguments, **environment):
        process = start_example(*arguments, **environment)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(
            process.args, process.returncode, stdout, stderr
        )

    return run


@pytest.fixture
def import_example(monkeypatch):
    """A script as a module; what it imports lies beside it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    beside = {path.stem for path in EXAMPLES.glob("*.py")}
    yield importlib.import_module
    for name in beside & set(sys.modules):
        del sys.modules[name]
