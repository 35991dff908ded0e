"""The rows of the ECA paper, and that they differ in attention alone."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from experiments import ablation
from experiments.ablation import PIXELS, QUICK, ROWS, Row
from experiments.training import train
from keras_channel_attn import ChannelAttention, EfficientChannelAttention

# Parameters in all, without attention: the network of `--quick`.
VANILLA = 170_794
# ECA paper, table 2, for C channels.
WEIGHTS = {
    "vanilla": lambda channels: 0,
    "SE": lambda channels: 2 * channels**2 // 16,
    "SE-Var1": lambda channels: 0,
    "SE-Var2": lambda channels: channels,
    "SE-Var3": lambda channels: channels**2,
    "SE-GC-16": lambda channels: channels**2 // 16,
    "SE-GC-C/16": lambda channels: 16 * channels,
    "SE-GC-C/8": lambda channels: 8 * channels,
    "ECA-NS": lambda channels: 3 * channels,
    "ECA": lambda channels: 3,
}
SMALL = replace(QUICK, widths=(16, 32))


@pytest.mark.parametrize("row", WEIGHTS)
def test_weights_are_those_of_the_paper(row):
    assert list(ROWS) == list(WEIGHTS)
    model = ablation.network(QUICK, row, 0)
    expected = sum(map(WEIGHTS[row], QUICK.widths))
    assert ablation.attention_parameters(model) == expected
    assert model.count_params() == VANILLA + expected


def test_same_weights_for_the_task_of_pixels():
    plan = replace(QUICK, task="pixels", **PIXELS)
    for row in ("vanilla", "SE-Var3", "ECA"):
        model = ablation.network(plan, row, 0)
        assert model.output_shape == (None, 8, 8, 10)
        assert ablation.attention_parameters(model) == 3 * WEIGHTS[row](32)


@pytest.mark.parametrize(
    "plan", [ablation.QUICK, ablation.FULL, replace(QUICK, **PIXELS)]
)
def test_no_two_rows_coincide(plan):
    for channels in plan.widths:
        # Of those that have weights; `ECA-NS` is no matrix.
        matrices = [WEIGHTS[row](channels) for row in WEIGHTS if "SE-" in row]
        assert channels % 16 == 0
        assert len(set(matrices)) == len(matrices)


def weights_outside_attention(row, seed):
    return {
        layer.name: layer.get_weights()
        for layer in ablation.network(SMALL, row, seed).layers
        if not isinstance(layer, ChannelAttention)
    }


def test_same_weights_outside_attention():
    plain = weights_outside_attention("vanilla", 0)
    attended = weights_outside_attention("SE-Var3", 0)
    assert plain.keys() == attended.keys()
    for name, weights in plain.items():
        for ours, theirs in zip(weights, attended[name], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    other_seed = weights_outside_attention("vanilla", 1)
    assert np.abs(plain["stem"][0] - other_seed["stem"][0]).max() > 0.01


def few_images(monkeypatch):
    few = [array[:64] for array in ablation.data(QUICK)]
    monkeypatch.setattr(ablation, "data", lambda plan: few)


def test_same_images_in_the_same_order(monkeypatch):
    """Attention that is 1 and stays so trains as no attention does."""
    frozen = EfficientChannelAttention(identity_start=True, trainable=False)
    monkeypatch.setitem(ROWS, "frozen", Row("", lambda channels: frozen, 0.0))
    few_images(monkeypatch)
    plan = replace(SMALL, widths=(16,), batch_size=16, epochs=2)

    def losses(row, seed):
        model = ablation.network(plan, row, seed)
        images, labels, _, _ = ablation.data(plan)
        history = train(model, images, labels, plan, plan.learning_rate, seed)
        return history.history["loss"]

    expected = losses("vanilla", 0)
    np.testing.assert_allclose(losses("frozen", 0), expected, rtol=1e-4)
    assert not np.allclose(losses("vanilla", 1), expected, rtol=1e-2)


def test_run_is_reproducible(monkeypatch):
    few_images(monkeypatch)
    plan = replace(SMALL, epochs=2)
    first = ablation.run(plan, "SE", 3)
    keras.utils.set_random_seed(9)
    again = ablation.run(plan, "SE", 3)
    assert first.keys() == ablation.READERS.keys()
    assert first.pop("epoch_seconds") > 0
    del again["epoch_seconds"]
    assert first == again
    # 2 C C / 16 weights, in a block of 16 channels and one of 32.
    assert first["attention_parameters"] == 2 * (16 + 64)
