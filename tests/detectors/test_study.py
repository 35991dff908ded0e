"""The study of the places for attention in a YOLO."""

import argparse
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from experiments import detection, frozen
from experiments.data import load_data
from experiments.study import changed
from keras_channel_attn import ChannelAttention

PLAN = detection.Plan(scenes=16, size=64)


# Counted in docs/detection.md.
@pytest.mark.parametrize(
    ("place", "sites"),
    [
        ("residual", 42),
        ("after SPPELAN", 1),
        ("after each block", 9),
        ("before the head", 3),
    ],
)
def test_sites(place, sites):
    keras.utils.set_random_seed(0)
    network = detection.yolov9t(nc=3, input_shape=(64, 64, 3))
    attended = detection.with_attention(network, f"ECA, {place}", factor=30)
    multipliers = [
        layer.learning_rate_multiplier
        for layer in attended.layers
        if isinstance(layer, ChannelAttention)
    ]
    assert multipliers == sites * [30]


def test_parts_of_a_seed_have_other_objects(monkeypatch):
    """Objects are marked with one value: those to train with, those to test."""
    digits = load_data("digits")
    marked = (
        np.full_like(digits[0], 1),
        digits[1],
        np.full_like(digits[2], 0.5),
        digits[3],
    )
    monkeypatch.setattr(detection, "load_task", lambda *arguments: marked)
    detection.data.cache_clear()
    brightest = {
        part: detection.data(PLAN, 0, part)[0].max()
        for part in ("training", "validation")
    }
    # Objects are darkened to between 0.6 and 1 of their value.
    assert brightest["training"] > 0.6 * 255
    assert brightest["validation"] < 0.6 * 255
    # To choose the rates, no object is used that is tested with other seeds.
    images, _ = detection.data(PLAN, detection.VALIDATION_SEED, "validation")
    assert images.max() > 0.6 * 255
    detection.data.cache_clear()


def test_images_per_class():
    arguments = argparse.Namespace(
        epochs=1, images_per_class=5, data_dir=None, scenes=None
    )
    plan = changed(PLAN, arguments)
    assert plan == replace(PLAN, epochs=1, images_per_class=5)


def test_tables_and_picture():
    lines = [
        {
            "row": row,
            "seed": seed,
            "parameters": 2_000_000,
            "macs": 86_000_000,
            "milliseconds": 60.0,
            "rate": 0.003,
            "factor": 10,
            "half": 0.7 + 0.01 * seed + 0.1 * (row != "none"),
            "precision": 0.5 + 0.01 * seed,
        }
        for row in ("none", "SE, residual")
        for seed in range(5)
    ]
    runs = pd.DataFrame(lines)
    runs["row"] = pd.Categorical(runs["row"], detection.ROWS, ordered=True)
    table = detection.table(PLAN, runs)
    assert "+10.00 ± 0.00" in table
    assert table.count("| a difference ") == 1
    assert table.count("| no difference shown ") == 1
    left, right = detection.picture(PLAN, runs).axes
    assert left.get_xlabel() == "mAP 0.5, %"
    assert right.get_xlabel() == "mAP 0.5:0.95, %"


def test_tables_of_the_page_are_the_printed_ones():
    studies = Path(__file__).parents[2] / "docs" / "studies"
    page = (studies / "detection_digits.md").read_text(encoding="utf-8")
    runs = pd.read_csv(studies / "detection_digits.csv")
    runs["row"] = pd.Categorical(runs["row"], detection.ROWS, ordered=True)
    assert set(runs.groupby("row", observed=True).size()) == {5}
    parts = detection.table(PLAN, runs).split("\n\n")
    precisions, verdicts, costs = [x for x in parts if x.startswith("|")]
    assert f"\n{precisions}\n" in page
    assert f"\n{costs}\n" in page
    # What the page says of them.
    assert verdicts.count("| no difference shown ") == 16


@pytest.mark.filterwarnings("ignore:.*it has unbuilt state:UserWarning")
@pytest.mark.filterwarnings("ignore:`freeze_attention`. these layers multiply")
def test_frozen_detector(monkeypatch):
    """It has the weights and the multiply-adds of one without attention."""
    monkeypatch.setattr(frozen, "milliseconds", lambda model, images: 0.0)
    plan = frozen.Plan(scenes=16, scene_size=64, epochs=1, tuning_epochs=1)
    result = frozen.run(plan, "detector, SE", 0)
    assert result.keys() == frozen.READERS.keys()
    for name, reader in frozen.READERS.items():
        assert reader(str(result[name])) == result[name]
    channels = np.array([32, 64, 96, 128, 128, 96, 64, 96, 128])
    attention = 2 * sum(channels * channels // 4)
    assert result["parameters"] - result["frozen_parameters"] == attention
    assert result["macs"] - result["frozen_macs"] == attention
