"""A pruned network is exported as any other is."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_channel_attn import SqueezeExcite
from keras_channel_attn.pruning import magnitude, prune_channels


@pytest.fixture
def pruned():
    x = keras.Input((8, 8, 3), batch_size=2, name="image")
    y = layers.Conv2D(12, 3, padding="same", name="first")(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = SqueezeExcite(4)(y)
    y = layers.Add()([y, layers.Conv2D(12, 3, padding="same")(y)])
    y = layers.Dense(4)(layers.GlobalAveragePooling2D()(y))
    model = prune_channels(keras.Model(x, y), magnitude)
    assert model.get_layer("first").filters < 12
    return model


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, 8, 8, 3)).astype("float32")


def expected(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


# Those of the converters.
@pytest.mark.filterwarnings("ignore")
def test_onnx(pruned, images, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    # Keras exports models that were called.
    outputs = expected(pruned, images)
    path = tmp_path / "pruned.onnx"
    pruned.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(path)
    (name,) = [tensor.name for tensor in session.get_inputs()]
    (actual,) = session.run(None, {name: images})
    np.testing.assert_allclose(actual, outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.backend("tensorflow")
def test_saved_model(pruned, images, tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    pruned.export(tmp_path / "pruned", verbose=False)
    loaded = tensorflow.saved_model.load(tmp_path / "pruned")
    np.testing.assert_allclose(
        loaded.serve(images), expected(pruned, images), rtol=1e-4, atol=1e-5
    )
