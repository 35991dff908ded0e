"""Examples, run as their readers run them: as scripts."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_script(script, *arguments, folder, **environment):
    """Run a script of the examples to its end in a folder."""
    search_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={
            **os.environ,
            # It may be relative, to another folder than this one.
            "PYTHONPATH": os.pathsep.join(
                os.path.abspath(path) for path in search_path if path
            ),
            "PYTHONIOENCODING": "utf-8",
            # Waiting threads make torch slow where other processes want the
            # cores too.
            "OMP_NUM_THREADS": "1",
            **environment,
        },
    )
