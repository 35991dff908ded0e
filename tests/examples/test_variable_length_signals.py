import importlib.util
import re

import pytest


@pytest.mark.skipif(
    not importlib.util.find_spec("aeon"), reason="the data is a part of aeon"
)
def test_padding_changes_nothing(run_example):
    done = run_example("variable_length_signals.py")
    assert done.returncode == 0, done.stderr
    # UCI's page of the data set: 270 utterances and 370, of 7 to 29 frames.
    assert "270 signals to train with, 370 to test" in done.stdout
    assert "of 7 to 29 frames" in done.stdout
    accuracy = re.search(r"Accuracy on 370 test signals: (\S+)%", done.stdout)
    assert float(accuracy[1]) > 90
    masked, unmasked = re.findall(r"Largest change .*: +(\S+)", done.stdout)
    assert float(masked) < 1e-5
    assert float(unmasked) > 0.01
    assert "The loaded model makes the same predictions." in done.stdout
