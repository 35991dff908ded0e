"""The rows of the study of context, and how their learning rate is chosen."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from experiments import context
from experiments.context import ROWS, Plan

PLAN = Plan()
SMALL = replace(
    PLAN, width=8, epochs=1, learning_rates=(1e-2,), images_per_class=10
)


def reach(model):
    """How much the outputs in a corner change with the opposite corner."""
    image = np.full((1, *model.input_shape[1:]), 0.5, "float32")
    changed = image.copy()
    changed[:, 0, 0] = 100
    before, after = (
        keras.ops.convert_to_numpy(model(array))[0, -1, -1]
        for array in (image, changed)
    )
    return np.abs(after - before).max()


@pytest.mark.parametrize(
    ("row", "reaches"),
    [
        ("none", False),
        ("wider", False),
        ("dilated", True),
        ("SE", True),
        ("ECA", True),
        ("linear SE", True),
        ("SqueezeGate", True),
        ("SE, first layer", True),
    ],
)
def test_what_the_network_sees(row, reaches):
    changes = [reach(context.network(PLAN, row, seed)) for seed in range(3)]
    # Random gates change little, but a convolution changes nothing at all.
    assert (max(changes) > 1e-6) == reaches


def test_controls_cost_at_least_as_much():
    parameters = {
        row: context.network(PLAN, row, 0).count_params() for row in ROWS
    }
    attended = [
        parameters[row]
        for row in ROWS
        if ROWS[row].attention and ROWS[row].dilations == context.PLAIN
    ]
    assert len(attended) == 11
    assert max(attended) <= parameters["wider"] < parameters["deeper"]
    assert parameters["dilated"] == parameters["none"]
    # SE(4) for 16 channels, after one of three layers and after all.
    assert parameters["SE, last layer"] - parameters["none"] == 128
    assert parameters["dilated, SE"] - parameters["dilated"] == 3 * 128


def test_learning_rate_is_chosen_without_the_test_images(monkeypatch):
    images, labels, _, _ = context.data(SMALL)
    monkeypatch.setattr(
        context, "data", lambda plan: (images, labels, None, None)
    )
    # At the first the network stays as it was drawn.
    plan = replace(SMALL, epochs=20, learning_rates=(1e-9, 1e-2))
    assert context.chosen_rate(plan, "dilated") == 1e-2


@pytest.mark.parametrize("task", ["pixels", "mosaic"])
def test_run(task):
    plan = replace(SMALL, task=task, batch_size=12)
    first = context.run(plan, "dilated, ECA", 3)
    keras.utils.set_random_seed(9)
    again = context.run(plan, "dilated, ECA", 3)
    assert first.keys() == context.READERS.keys()
    for name, reader in context.READERS.items():
        assert reader(str(first[name])) == pytest.approx(first[name])
    assert first.pop("milliseconds") > 0
    del again["milliseconds"]
    assert first == again
    assert first["learning_rate"] == 1e-2
    # 3x3 convolutions of 8 channels and the last layer, on each pixel.
    pixels = 8 * 8 * (4 if task == "mosaic" else 1)
    weights = 9 * (8 + 2 * 8 * 8) + 10 * 8
    # Three times a kernel of ECA with 3 weights on 8 channels.
    assert first["macs"] == pixels * weights + 3 * 3 * 8
