"""SqueezeGate: its formula."""

import pytest
from support.configurations import over_data_formats
from support.gating import assert_formula, over_one_and_two_descriptors

from keras_channel_attn import SqueezeGate


@over_data_formats
@over_one_and_two_descriptors
@pytest.mark.parametrize("gate_activation", ["sigmoid", "hard_sigmoid"])
def test_formula(data_format, pooling, gate_activation):
    # SE-Var1 in table 2 of the ECA paper (arXiv 1910.03151).
    layer = SqueezeGate(
        gate_activation=gate_activation,
        pooling=pooling,
        data_format=data_format,
    )
    assert_formula(layer, 8, lambda z, weights: z)


def test_refuses_an_identity_start():
    with pytest.raises(
        ValueError, match=r"`identity_start` must be False.*Received.*Leave it"
    ):
        SqueezeGate(identity_start=True)
