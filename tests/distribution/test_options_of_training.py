"""Precision, recomputation and compilation of a training on real digits."""

import keras
import numpy as np
import pytest
from conftest import BACKEND
from keras import layers
from sklearn.datasets import load_digits

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

STEPS, BATCH = 200, 64


@pytest.fixture(scope="module")
def data():
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    half = len(images) // 2
    return (images[:half], labels[:half]), (images[half:], labels[half:])


def network(mechanism, seed=0, normalized=True):
    keras.utils.set_random_seed(seed)
    attention = {
        "se": lambda: SqueezeExcite(reduction=4),
        "eca": EfficientChannelAttention,
    }[mechanism]
    inputs = keras.Input((8, 8, 1))
    x = inputs
    for channels in (32, 64):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        if normalized:
            x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        x = attention()(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(10, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs)


def train(model, data, steps=STEPS, **arguments):
    rate = keras.optimizers.schedules.CosineDecay(3e-3, STEPS)
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        **arguments,
    )
    (x, y), _ = data
    order = np.random.default_rng(0).integers(0, len(x), (steps * BATCH,))
    history = model.fit(
        x[order], y[order], batch_size=BATCH, shuffle=False, verbose=0
    )
    return history.history["loss"][0]


def accuracy(model, data):
    x, y = data[1]
    return 100 * (model.predict(x, verbose=0).argmax(-1) == y).mean()


@pytest.fixture(scope="module")
def accuracies(data):
    """Of three seeds in float32, for each mechanism."""
    found = {}
    for mechanism in ("se", "eca"):
        found[mechanism] = []
        for seed in range(3):
            model = network(mechanism, seed)
            train(model, data)
            found[mechanism].append(accuracy(model, data))
    return found


@pytest.mark.parametrize("mechanism", ["se", "eca"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(data, accuracies, mechanism, policy):
    keras.config.set_dtype_policy(policy)
    model = network(mechanism)
    assert np.isfinite(train(model, data))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    if policy == "mixed_float16":
        scaled = keras.optimizers.LossScaleOptimizer
        assert isinstance(model.optimizer, scaled)
    full = accuracies[mechanism]
    # As good as in float32, up to the spread over seeds.
    spread = max(np.ptp(full), 1.0)
    assert accuracy(model, data) > min(full) - spread
    assert min(full) > 80


@pytest.mark.parametrize("mechanism", ["se", "eca"])
@pytest.mark.parametrize("mode", ["full", "activations"])
def test_recomputation_gives_the_same_weights(data, mechanism, mode):
    if BACKEND == "tensorflow" and mode == "full":
        pytest.skip("Keras cannot recompute a compiled Dense layer there")
    # On JAX, Keras cannot recompute its batch normalization.
    expected = network(mechanism, normalized=False)
    train(expected, data, steps=3)
    with keras.RematScope(mode=mode):
        model = network(mechanism, normalized=False)
    train(model, data, steps=3)
    for value, other in zip(
        model.get_weights(), expected.get_weights(), strict=True
    ):
        np.testing.assert_allclose(value, other, rtol=0, atol=2e-4)


@pytest.mark.skipif(
    BACKEND == "torch", reason="Keras' training loop cannot compile on torch"
)
@pytest.mark.parametrize("mechanism", ["se", "eca"])
def test_jit_compile_gives_the_same_loss(data, mechanism):
    losses = []
    for compiled in (False, True):
        model = network(mechanism)
        losses.append(train(model, data, steps=5, jit_compile=compiled))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
