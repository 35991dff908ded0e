"""Whole networks, exported, compute what Keras computes."""

import keras
import numpy as np
import pytest
from export.files import ROWS, Row, rows_of_this_backend
from keras import layers, ops
from support.networks import randomize

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    fuse_attention,
    models,
)

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


def functional():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu")(inputs)
    x = layers.Add()([x, SqueezeExcite(4)(x)])
    x = layers.Conv2D(16, 3, activation="relu")(x)
    x = EfficientChannelAttention()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5)(x))


def se_resnet():
    return models.SEResNet18(
        input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )


def fused_mobile_net():
    network = keras.applications.MobileNetV3Small(
        input_shape=(32, 32, 3),
        weights=None,
        classes=10,
        classifier_activation=None,
    )
    network = fuse_attention(network)
    assert any(isinstance(layer, SqueezeExcite) for layer in network.layers)
    return network


CASES = [
    pytest.param(build, row, id=f"{build.__name__}-{row}")
    for build in (functional, se_resnet, fused_mobile_net)
    for row in rows_of_this_backend(ROWS)
    # It has a `MaxPooling2D`, see `test_limits.py`.
    if not (build is se_resnet and row == Row("jax", "onnx", "free"))
]


@pytest.mark.parametrize(("build", "row"), CASES)
def test_network(rng, build, row, tmp_path):
    model = randomize(build())
    inputs = [
        rng.normal(size=(batch, *model.input_shape[1:])).astype("float32")
        for batch in row.batch_sizes()
    ]
    expected = [ops.convert_to_numpy(model(x)) for x in inputs]
    run = row.read(row.write(model, tmp_path))
    for x, outputs in zip(inputs, expected, strict=True):
        tolerance = 1e-4 * outputs.std()
        np.testing.assert_allclose(run(x), outputs, rtol=0, atol=tolerance)
