"""The transfer study: what is inserted, and what each row starts from."""

from dataclasses import replace

import numpy as np
import pytest

from experiments import transfer
from experiments.transfer import Plan

PLAN = replace(Plan(), widths=(8, 16), epochs=1, images_per_class=20)


@pytest.fixture(scope="module")
def results():
    return {row: transfer.run(PLAN, row, 0) for row in transfer.ROWS}


def test_identity_start_keeps_what_is_known(results):
    plain = results["no attention"]
    assert plain["largest_change"] == 0
    for mechanism in ("SE", "ECA"):
        row = results[f"{mechanism}, identity start"]
        assert row["largest_change"] == 0
        assert row["old_accuracy"] == plain["old_accuracy"]
        assert results[f"{mechanism}, plain start"]["largest_change"] > 1e-3


def test_parameters(results):
    plain = results["no attention"]["parameters"]
    # 2 C C / 8 weights for SE, three for ECA, in blocks of 8 and 16 channels.
    for row, weights in [("SE", 2 * (8 + 32)), ("ECA", 2 * 3)]:
        for start in ("plain start", "identity start"):
            parameters = results[f"{row}, {start}"]["parameters"]
            assert parameters - plain == weights


def test_results_are_what_is_read_from_the_file(results):
    for result in results.values():
        assert result.keys() == transfer.READERS.keys()
        for name, reader in transfer.READERS.items():
            assert reader(str(result[name])) == pytest.approx(result[name])
        curve = result["learning_curve"].split()
        assert len(curve) == PLAN.epochs
        assert float(curve[-1]) == pytest.approx(
            result["new_accuracy"], abs=1e-4
        )


def test_run_does_not_depend_on_earlier_ones(results):
    """Not even with another seed in between, and pretrained again."""
    transfer.run(PLAN, "no attention", 1)
    again = transfer.run(PLAN, "SE, plain start", 0)
    assert again == results["SE, plain start"]


def test_seed_chooses_training_images_only():
    first, second = (transfer.images_of(PLAN, seed) for seed in (0, 1))
    for part, size in (("old_training", 100), ("new_training", 50)):
        ours, theirs = getattr(first, part), getattr(second, part)
        assert len(ours[0]) == len(theirs[0]) == size
        assert not np.array_equal(ours[0], theirs[0])
    for part in ("old_test", "new_test"):
        ours, theirs = getattr(first, part), getattr(second, part)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert set(ours[1]) == set(range(5))
