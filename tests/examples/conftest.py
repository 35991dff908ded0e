from functools import partial

import pytest
from support.scripts import run_script


@pytest.fixture
def run_example(tmp_path):
    """Run a script to its end in an empty folder."""
    return partial(run_script, folder=tmp_path)
