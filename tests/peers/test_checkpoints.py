"""What we know of timm's checkpoints is what timm knows of them."""

import csv

import keras
import numpy as np
import pytest
import timm
from peers.make_checkpoints import TABLE, rows
from PIL import Image
from support.prepared_images import image
from timm.data import create_transform, resolve_data_config

from keras_channel_attn import models


def test_the_table_is_that_of_the_installed_timm():
    with open(TABLE, newline="") as file:
        ours = [
            {name: value for name, value in row.items() if name != "top1"}
            for row in csv.DictReader(file)
        ]
    theirs = [
        {name: str(value) for name, value in row.items()} for row in rows()
    ]
    assert ours == theirs


@pytest.mark.parametrize(
    "name",
    [
        "seresnet50.ra2_in1k",
        "legacy_seresnet50.in1k",
        "resnetrs50.tf_in1k",
        "regnety_004.tv2_in1k",
        "ese_vovnet57b.ra4_e3600_r256_in1k",
    ],
)
@pytest.mark.parametrize(
    "shape", [(333, 500), (500, 333), (200, 210), (512, 512)], ids=str
)
def test_preprocessing(name, shape):
    """A photograph's way into the network, as timm evaluates."""
    known = timm.get_pretrained_cfg(name).to_dict()
    config = resolve_data_config(pretrained_cfg=known, use_test_size=True)
    config["crop_pct"] = known.get("test_crop_pct") or known["crop_pct"]
    transform = create_transform(**config, is_training=False)
    expected = transform(Image.fromarray(image(shape))).numpy()
    layer = models.preprocessing(name, data_format="channels_first")
    actual = layer(image(shape).transpose(2, 0, 1)[None])
    differences = np.abs(keras.ops.convert_to_numpy(actual)[0] - expected)
    # Up to one step of 255 where a pixel lies between two whole numbers.
    assert differences.max() < 1.01 / 255 / min(config["std"])
    assert differences.mean() < 0.02 / 255 / min(config["std"])
