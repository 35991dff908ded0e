"""What the gates are like before any training."""

import keras
import numpy as np
import pytest

from keras_channel_attn import EfficientChannelAttention, LinearSqueezeExcite


@pytest.mark.parametrize(
    ("layer_class", "options"),
    [
        (EfficientChannelAttention, {"kernel_size": 5}),
        (
            EfficientChannelAttention,
            {"kernel_size": 5, "shared_kernel": False},
        ),
        (LinearSqueezeExcite, {}),
        (LinearSqueezeExcite, {"groups": 16}),
        (LinearSqueezeExcite, {"groups": 512}),
    ],
    ids=["ECA", "ECA-NS", "SE-Var3", "SE-GC", "SE-Var2"],
)
def test_descriptors_keep_their_variance(rng, layer_class, options):
    """However weights are shared: else some rows of the ECA paper's table 2
    would start with gates that are all one half."""
    descriptors = rng.normal(size=(64, 512)).astype("float32")
    variances = []
    for seed in range(8):
        keras.utils.set_random_seed(seed)
        layer = layer_class(**options, data_format="channels_last")
        layer.build((None, 1, 512))
        logits = layer.excite(keras.ops.convert_to_tensor(descriptors))
        variances.append(np.var(keras.ops.convert_to_numpy(logits)))
    assert 0.5 < np.mean(variances) < 1.5
