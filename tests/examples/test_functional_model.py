import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "functional_model.py"


def test_trains_saves_and_loads(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    accuracy = re.search(r"Accuracy on 450 test images: (\S+)%", done.stdout)
    assert float(accuracy[1]) > 90
    assert "The loaded model makes the same predictions." in done.stdout
    assert list(tmp_path.iterdir()) == []
