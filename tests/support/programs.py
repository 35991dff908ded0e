"""Programs that PyPI does not have, and the tests that need them.

`@pytest.mark.needs("browser")` skips a test where the program is missing. The
last line of the run counts these tests apart from other skipped ones.
"""

import pathlib
import shutil
import sysconfig

import pytest

CATEGORY = "skipped without a program"


def _python_header():
    header = pathlib.Path(sysconfig.get_path("include")) / "Python.h"
    return header.exists()


def _found(*programs):
    return all(shutil.which(program) for program in programs)


# From the name in the marker: whether it is there, and the Debian packages.
PROGRAMS = {
    "graphviz": (_found("dot"), "graphviz"),
    "browser": (
        _found("chromium", "chromedriver"),
        "chromium chromium-driver",
    ),
    # torch.compile writes C++ that includes the header.
    "compiler": (_found("g++") and _python_header(), "g++ python3-dev"),
}


def skip_without_programs(items):
    """Mark the tests whose program is missing as skipped."""
    for item in items:
        for marker in item.iter_markers("needs"):
            for name in marker.args:
                found, packages = PROGRAMS[name]
                if not found:
                    reason = f"{CATEGORY}: apt-get install {packages}"
                    item.add_marker(pytest.mark.skip(reason=reason))


def is_without_program(report):
    """Whether a test was skipped for this reason."""
    return report.skipped and CATEGORY in str(report.longrepr)


def reasons(terminal):
    """The distinct reasons among the reports of a run."""
    found = {
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminal.stats.get(CATEGORY, ())
    }
    return sorted(found)
