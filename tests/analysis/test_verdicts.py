"""What is said of an attention layer, and when nothing is said."""

import numpy as np
import pytest

from keras_channel_attn.analysis.output_changes import (
    DifferencesOfOutputs,
    OutputChange,
    OutputSpread,
)
from keras_channel_attn.analysis.verdicts import verdict


def change(lower, upper):
    return OutputChange((lower + upper) / 2, lower, upper)


LARGE, SMALL, BETWEEN = change(0.5, 0.6), change(0.01, 0.02), change(0.04, 0.06)


@pytest.mark.parametrize(
    ("samples", "if_constant", "if_removed", "expected"),
    [
        (32, SMALL, LARGE, "constant: can be frozen"),
        (32, SMALL, SMALL, "no effect: can be removed"),
        (32, None, SMALL, "no effect: can be removed"),
        (32, LARGE, LARGE, "depends on the sample"),
        (32, LARGE, BETWEEN, "depends on the sample"),
        (32, BETWEEN, LARGE, "undecided: needs more samples"),
        (32, None, LARGE, "?"),
        (32, None, None, "?"),
        (31, SMALL, SMALL, "fewer than 32 samples"),
    ],
)
def test_verdict(samples, if_constant, if_removed, expected):
    assert verdict(samples, if_constant, if_removed) == expected


def test_bounds_hold_for_other_samples():
    """Two standard errors: for about 95 of 100 data sets of one network."""
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(50, 4))
    spread = OutputSpread()
    spread.update([outputs])
    expected = 0.1 * np.sqrt(4 / outputs.var(0).sum())
    inside = 0
    for _ in range(200):
        differences = DifferencesOfOutputs()
        noise = rng.normal(0, 0.1, size=(50, 4))
        differences.update([outputs], [outputs + noise])
        found = differences.relative_to(spread)
        assert found.lower < found.change < found.upper
        inside += found.lower < expected < found.upper
    assert 180 <= inside <= 198
