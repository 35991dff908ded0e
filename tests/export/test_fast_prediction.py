"""The fastest way to predict on torch computes what Keras computes."""

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import randomize

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

pytestmark = [
    pytest.mark.backend("torch"),
    pytest.mark.needs("compiler"),
    # The compiler of torch warns about much that is not ours.
    pytest.mark.filterwarnings("ignore"),
]


def network():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Add()([x, SqueezeExcite(4)(x)])
    x = layers.Conv2D(16, 3)(EfficientChannelAttention()(x))
    x = layers.GlobalAveragePooling2D()(layers.Dropout(0.5)(x))
    return randomize(keras.Model(inputs, layers.Dense(5)(x)))


def compiled(network, example, **options):
    import torch

    program = torch.export.export(network, (example,), **options)
    return torch.compile(program.module(), options={"freezing": True})


def assert_same_outputs(fast, network, images):
    import torch

    with torch.no_grad():
        actual = fast(images).numpy()
    expected = network.predict(images, verbose=0)
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=1e-5 * expected.std()
    )


def images(rng, batch):
    import torch

    return torch.from_numpy(
        rng.normal(size=(batch, 12, 12, 3)).astype("float32")
    )


@pytest.mark.parametrize("trainable", [True, False])
def test_outputs_for_one_batch_size(rng, trainable):
    model = network()
    model.trainable = trainable
    fast = compiled(model, images(rng, 4))
    for _ in range(2):
        assert_same_outputs(fast, model, images(rng, 4))


def test_outputs_for_every_batch_size(rng):
    import torch

    model = network()
    batch = {0: torch.export.Dim.DYNAMIC}
    # Keras' models take `*args`: one argument that is a tuple.
    fast = compiled(model, images(rng, 4), dynamic_shapes=[(batch,)])
    for size in (4, 1, 7):
        assert_same_outputs(fast, model, images(rng, size))


def test_another_batch_size_is_an_error(rng):
    fast = compiled(network(), images(rng, 4))
    with pytest.raises(AssertionError, match="Guard failed"):
        assert_same_outputs(fast, network(), images(rng, 3))
