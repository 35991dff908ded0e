"""Random computations that are near to attention: never a wrong fusion.

All axes have one size, so that what is equal by chance of shapes is not an
error. A few networks, always the same, in each run. For a long run with others:

    NETWORKS=1000 NETWORKS_SEED=1 pytest tests/surgery/test_random_blocks.py
"""

import os

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import layers, ops
from support.networks import attention_of, predictions, randomize
from support.snippets import SNIPPETS, run

from keras_channel_attn import attention_blocks, fuse_attention

SIZE = 4
COUNT = int(os.environ.get("NETWORKS", 12))
SEED = int(os.environ.get("NETWORKS_SEED", 0))

# Of each position, of all, or of some.
POOLINGS = [
    lambda x: layers.GlobalAveragePooling2D()(x),
    lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x),
    lambda x: layers.GlobalAveragePooling2D(data_format="channels_first")(x),
    lambda x: ops.mean(x, axis=(1, 2), keepdims=True),
    lambda x: ops.mean(x, axis=(2, 3), keepdims=True),
    lambda x: ops.mean(x, axis=1),
    lambda x: ops.max(x, axis=-1, keepdims=True),
    lambda x: layers.AveragePooling2D(4)(x),
    lambda x: layers.AveragePooling2D((4, 1))(x),
    lambda x: layers.AveragePooling2D(4, strides=1, padding="same")(x),
    lambda x: layers.Lambda(lambda a: ops.mean(a, axis=(1, 2)))(x),
    lambda x: ops.sum(x, axis=(1, 2)),
    lambda x: x,
]
UNITS = [1, 2, SIZE]
MAPS = [
    lambda x, units: layers.Dense(units)(x),
    lambda x, units: layers.Dense(units, activation="relu")(x),
    lambda x, units: layers.Dense(units, activation="sigmoid")(x),
    lambda x, units: layers.Dense(units, activation="softmax")(x),
    lambda x, units: layers.Dense(units, use_bias=False)(x),
    lambda x, units: convolution(x, units, 1),
    lambda x, units: convolution(x, 1, 3),
    lambda x, units: ops.sigmoid(x),
    lambda x, units: ops.relu(x),
    lambda x, units: layers.LayerNormalization()(x),
    lambda x, units: x * ops.sigmoid(x),
    lambda x, units: 2 * x,
    lambda x, units: ops.flip(x, -1),
]
LAYOUTS = [
    lambda x: layers.Flatten()(x),
    lambda x: layers.Reshape((1, 1, -1))(x),
    lambda x: layers.Reshape((-1, 1))(x),
    lambda x: x[:, None],
    lambda x: x[..., None],
    lambda x: ops.swapaxes(x, -1, -2),
    lambda x: layers.Permute(range(len(x.shape) - 1, 0, -1))(x),
    lambda x: ops.squeeze(x, 1),
]
MERGES = [
    lambda x, y: layers.Multiply()([x, y]),
    lambda x, y: y * x,
    lambda x, y: x + y,
    lambda x, y: layers.Maximum()([x, y]),
    lambda x, y: ops.concatenate([x, y], axis=-1),
    lambda x, y: ops.matmul(x, y),
    lambda x, y: layers.Lambda(lambda a: a[0] * a[1])([x, y]),
]


def convolution(x, units, size):
    kind = getattr(layers, f"Conv{len(x.shape) - 2}D")
    return kind(units, size, padding="same")(x)


def attempt(function, *arguments):
    """What a step returns, or its first input where it does not fit."""
    try:
        return function(*arguments)
    except Exception:
        return arguments[0]


def steps(draw, x):
    """A tensor that is computed in a way that is near to attention."""
    tensors = [x]
    for _ in range(draw(st.integers(1, 3))):
        source = draw(st.sampled_from(tensors))
        y = attempt(draw(st.sampled_from(POOLINGS)), source)
        for _ in range(draw(st.integers(0, 4))):
            step = draw(st.sampled_from(MAPS))
            y = attempt(step, y, draw(st.sampled_from(UNITS)))
            if draw(st.booleans()):
                y = attempt(draw(st.sampled_from(LAYOUTS)), y)
        other = draw(st.sampled_from(tensors))
        tensors.append(attempt(draw(st.sampled_from(MERGES)), other, y))
        if draw(st.booleans()):
            tensors.append(y)
    return attempt(draw(st.sampled_from(MERGES)), *tensors[-2:])


settings = hypothesis.settings(
    max_examples=COUNT,
    derandomize="NETWORKS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    # A failing example is small as it is.
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@hypothesis.seed(SEED)
@settings
@hypothesis.given(st.data(), st.sampled_from([None, *SNIPPETS]))
def test_random_computation(data, snippet):
    keras.utils.clear_session(free_memory=False)
    keras.config.set_image_data_format("channels_last")
    shape = snippet.shape if snippet else (SIZE, SIZE, SIZE)
    inputs = keras.Input(shape)
    x = layers.Activation("tanh")(inputs)
    if snippet:
        x = run(snippet.code, x=x)
    y = layers.Activation("tanh")(x)
    outputs = steps(data.draw, y)
    hypothesis.assume(outputs is not inputs)
    model = randomize(keras.Model(inputs, outputs))
    try:
        expected = predictions(model)
    except Exception:
        # Axes of unknown sizes were taken for equal.
        return
    found = attention_blocks(model).blocks
    fusible = [block for block in found if block.reason is None]
    if not fusible:
        return
    fused = fuse_attention(model)
    assert len(attention_of(fused)) == len(fusible) >= bool(snippet)
    np.testing.assert_allclose(
        predictions(fused), expected, rtol=1e-4, atol=1e-5
    )
