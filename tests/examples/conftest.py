"""The examples are run as their readers run them: as scripts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example(tmp_path):
    """Run a script to its end in an empty folder."""
    search_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)

    def run(script, *arguments, **environment):
        return subprocess.run(
            [sys.executable, EXAMPLES / script, *map(str, arguments)],
            capture_output=True,
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
                # Waiting threads make torch slow where other processes want
                # the cores too.
                "OMP_NUM_THREADS": "1",
                **environment,
            },
        )

    return run
