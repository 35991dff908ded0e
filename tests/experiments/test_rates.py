"""The study of multipliers: what is inserted, chosen and compared."""

from dataclasses import replace

import numpy as np
import pytest

from experiments import rates
from experiments.rates import Plan
from keras_channel_attn import attention_layers

PLAN = replace(Plan(), width=8, dilations=(1,), epochs=1, images_per_class=20)


@pytest.mark.parametrize("start", rates.STARTS)
def test_run(start):
    plan = replace(PLAN, start=start)
    result = rates.run(plan, "ECA, n=3, x30", 0)
    assert result.keys() == rates.READERS.keys()
    assert result["learning_rate"] in rates.OPTIMIZERS["adam"][1]
    plain = rates.run(plan, rates.REFERENCE, 0)
    assert result["parameters"] == plain["parameters"] + 3


def test_each_row_has_its_multiplier():
    for row in rates.ROWS[1:]:
        model = rates.network_for(replace(PLAN, start="random"), row, 0)
        (layer,) = attention_layers(model).values()
        multiplier = str(layer.learning_rate_multiplier)
        assert multiplier == row.rpartition(", ")[2].removeprefix("x")
        assert layer.identity_start


def test_all_rows_of_a_seed_start_from_the_same_network():
    images = np.random.default_rng(0).random((2, 16, 16, 1), "float32")
    first, second = (
        np.asarray(rates.network_for(PLAN, row, 0).predict(images, verbose=0))
        for row in ("SE, n=8, x1", "linear, n=32, x100")
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_classes_of_a_transfer_are_disjoint():
    training, _, _ = rates.parts_of(PLAN, 0)
    old, new = (rates.of_classes(training, old) for old in (True, False))
    assert old[1].max() == 4
    assert new[1][new[1] >= 0].min() == 5
    assert len(old[0]) + len(new[0]) == len(training[0])


def test_validation_images_are_not_trained_on():
    training, validation, test = rates.parts_of(PLAN, 3)
    assert len(training[0]) == 4 * len(validation[0])
    seen = {image.tobytes() for image in training[0]}
    for part in (validation, test):
        assert not any(image.tobytes() in seen for image in part[0])


def test_the_rule_chooses_the_nearest_multiplier():
    """90 / 3 = 30, 90 / 8 = 11, 90 / 32 = 2.8."""
    assert rates.rows_of_the_rule() == [
        "ECA, n=3, x30",
        "SE, n=8, x10",
        "SE, n=32, x3",
        "linear, n=32, x3",
    ]
