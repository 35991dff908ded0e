"""The rows of the study of frozen attention that need a downloaded network."""

from dataclasses import replace

import numpy as np
import pytest

from examples import selfie_segmentation
from experiments import frozen

PLAN = replace(frozen.Plan(), crops=4, tuning_epochs=1)


@pytest.fixture(scope="module", autouse=True)
def _network_file():
    try:
        selfie_segmentation.network_file()
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def results():
    rows = [name for name, row in frozen.ROWS.items() if row.tested_on]
    return {row: frozen.run(PLAN, row, 0) for row in rows}


def test_results_are_what_is_read_from_the_file(results):
    for result in results.values():
        assert result.keys() == frozen.READERS.keys()
        for name, reader in frozen.READERS.items():
            if name == "plain":
                assert reader(result[name]) is None
            else:
                assert reader(str(result[name])) == pytest.approx(result[name])


def test_constants_suit_the_photographs_that_they_are_of(results):
    own, other = (result["frozen_trained"] for result in results.values())
    assert 0.5 < other < own < 1


def test_network_is_tested_on_other_crops():
    photographs = frozen.CALIBRATED_ON
    images = frozen.crops(PLAN, photographs, 0)
    tested = frozen.crops(PLAN, photographs, frozen.OTHER_CROPS)
    assert images.shape == tested.shape == (8, 256, 256, 3)
    assert not np.isclose(images, tested).all(axis=(1, 2, 3)).any()
