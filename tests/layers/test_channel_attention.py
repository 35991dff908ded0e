"""What the base class does for every mechanism."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.configurations import (
    Plain,
    over_configurations,
    over_data_formats,
    shape_of,
)
from support.gating import assert_gated

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

RANKS = [(7,), (3, 4), (2, 3, 2), (2, 1, 3, 2)]


@over_data_formats
@pytest.mark.parametrize("spatial", RANKS, ids=str)
@pytest.mark.parametrize(
    "pooling", ["avg", "max", "avg_max_mean", "avg_max_separate"]
)
def test_formula(rng, data_format, spatial, pooling):
    x = rng.normal(size=shape_of(3, spatial, 5, data_format)).astype("float32")
    layer = Plain(data_format=data_format, pooling=pooling)
    returned = layer(x, return_attention_scores=True)
    logits = reference.excited(lambda z: z, x, data_format, pooling)
    gates = reference.sigmoid(logits)
    assert_gated(returned, x, gates, data_format)


class Squared(ChannelAttention):
    """A mechanism that is not linear: sums must be computed after it."""

    def excite(self, descriptor):
        return descriptor * descriptor


@over_data_formats
@pytest.mark.parametrize("masked", [False, True])
def test_both_poolings_are_excited_and_added(rng, data_format, masked):
    # CBAM (arXiv 1807.06521), eq. 2.
    x = rng.normal(size=shape_of(3, (4, 5), 6, data_format)).astype("float32")
    mask = rng.random((3, 4, 5)) < 0.7 if masked else None
    layer = Squared(pooling="avg_max_separate", data_format=data_format)
    returned = layer(x, mask=mask, return_attention_scores=True)
    average, maximum = (
        reference.squeeze(x, data_format, pooling, mask)
        for pooling in ("avg", "max")
    )
    gates = reference.sigmoid(average**2 + maximum**2)
    assert_gated(returned, x, gates, data_format)


@over_configurations
def test_output_without_scores_is_the_same(rng, layer_class, arguments):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    layer = layer_class(**arguments)
    with_scores, _ = layer(x, return_attention_scores=True)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(with_scores)
    )


def test_output_spec_of_a_layer_that_is_not_built():
    spec = SqueezeExcite().compute_output_spec(keras.KerasTensor((None, 4, 8)))
    assert spec.shape == (None, 4, 8)


def test_base_class_has_no_formula_of_its_own():
    with pytest.raises(NotImplementedError, match="excite"):
        ChannelAttention()(np.ones((1, 2, 3), "float32"))


@pytest.mark.parametrize(
    "layer_class",
    [
        SqueezeExcite,
        EfficientChannelAttention,
        LinearSqueezeExcite,
        SqueezeGate,
    ],
)
def test_every_mechanism_is_a_subclass(layer_class):
    assert issubclass(layer_class, ChannelAttention)
