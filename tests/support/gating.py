"""What a layer returned, compared with the reference."""

import numpy as np
import pytest
from keras import ops

from support import reference
from support.configurations import randomize, shape_of

# A mechanism sees only descriptors: one after the other with
# "avg_max_separate". The other poolings and the ranks are tested with the base
# class.
over_one_and_two_descriptors = pytest.mark.parametrize(
    "pooling", ["avg", "avg_max_separate"]
)


def assert_gated(returned, x, gates, data_format):
    """`returned` is `(x * gates, gates)`."""
    y, scores = returned
    np.testing.assert_allclose(
        ops.convert_to_numpy(scores), gates, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(y),
        reference.rescale(x, gates, data_format),
        rtol=1e-5,
        atol=1e-6,
    )


def assert_formula(layer, channels, excite):
    """`layer` computes `x * gate(excite(z, weights))`, with random weights.

    `excite` is the mechanism's formula in `support.reference`.
    """
    rng = np.random.default_rng(0)
    shape = shape_of(3, (3, 4), channels, layer.data_format)
    x = rng.normal(size=shape).astype("float32")
    layer.build(shape)
    randomize(layer)
    weights = layer.get_weights()
    logits = reference.excited(
        lambda z: excite(z, weights), x, layer.data_format, layer.pooling
    )
    gates = getattr(reference, layer.gate_activation.__name__)(logits)
    returned = layer(x, return_attention_scores=True)
    assert_gated(returned, x, gates, layer.data_format)
