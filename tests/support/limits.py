"""Limits of Keras, of a backend or of another library, and when they go.

A test shows such a limit because a page describes it. A release that lifts the
limit, or words its error differently, is no fault of this library: the test is
then skipped, and its reason in the summary of the run says what to change.
"""

import contextlib
import re

import pytest


@contextlib.contextmanager
def known_limit(match, then):
    """Expect an error in code of another library, and report if it is gone.

    Args:
        match: String, a regular expression for the message of the error.
        then: String, what to change where the limit does not exist any more.
    """
    try:
        yield
    except Exception as error:
        if re.search(match, str(error)):
            return
        # A package that is missing tells nothing about the limit.
        if isinstance(error, ImportError):
            raise
        report_change(f"expected an error with {match!r}, got {error!r}", then)
    report_change(f"there is no error with {match!r}", then)


def report_change(change, then):
    """Skip the test, with what has changed and what to do."""
    pytest.skip(f"Another library has changed: {change}. {then}")
