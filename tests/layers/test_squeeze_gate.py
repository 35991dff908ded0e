"""SqueezeGate: its formula, and that it has nothing else."""

import pytest
from support import reference
from support.configurations import over_data_formats, shape_of
from support.gating import assert_gated

from keras_channel_attn import SqueezeGate


@over_data_formats
@pytest.mark.parametrize("spatial", [(7,), (3, 4), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("pooling", ["avg", "max", "avg_max", "avg+max"])
@pytest.mark.parametrize("gate_activation", ["sigmoid", "hard_sigmoid"])
def test_formula(rng, data_format, spatial, pooling, gate_activation):
    # SE-Var1 in table 2 of the ECA paper (arXiv 1910.03151).
    x = rng.normal(size=shape_of(3, spatial, 8, data_format)).astype("float32")
    layer = SqueezeGate(
        gate_activation=gate_activation,
        pooling=pooling,
        data_format=data_format,
    )
    returned = layer(x, return_attention_scores=True)
    logits = reference.excited(lambda z: z, x, data_format, pooling)
    gates = getattr(reference, gate_activation)(logits)
    assert_gated(returned, x, gates, data_format)


def test_no_weights():
    layer = SqueezeGate()
    layer.build((None, 7, 7, 64))
    assert layer.weights == []


def test_refuses_an_identity_start():
    with pytest.raises(
        ValueError, match=r"`identity_start` must be False.*Received.*Leave it"
    ):
        SqueezeGate(identity_start=True)


def test_refuses_unknown_arguments():
    with pytest.raises(ValueError, match="reduction"):
        SqueezeGate(reduction=16)
