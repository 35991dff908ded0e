"""Multiply-adds and parameters equal those of timm's networks, exactly.

Torch counts what timm's network computes. Both networks are built on torch's
device `meta`, which has shapes and no numbers.
"""

import keras
import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from keras_channel_attn import model_costs
from keras_channel_attn.models import from_timm, list_models


@pytest.mark.parametrize("name", list_models())
def test_costs(name):
    with torch.device("meta"):
        peer = timm.create_model(name).eval()
        with FlopCounterMode(display=False) as counter:
            peer(torch.empty(1, 3, 224, 224))
    with keras.device("meta"):
        network = from_timm(name)
    costs = model_costs(network, input_shape=(224, 224, 3))
    assert costs.flops == counter.get_total_flops()
    parameters = sum(parameter.numel() for parameter in peer.parameters())
    assert costs.trainable_parameters == parameters


@pytest.mark.parametrize("name", ["*50*", "legacy*", ["ecaresnet*", "senet*"]])
def test_names(name):
    """As timm lists them; timm has more networks."""
    assert list_models(name) == [
        x for x in timm.list_models(name) if x in list_models()
    ]
    checkpoints = list_models(name, pretrained=True)
    assert checkpoints == [
        x for x in timm.list_models(name, pretrained=True) if x in checkpoints
    ]
