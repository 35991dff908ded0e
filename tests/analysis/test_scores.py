"""Attention scores over data, against the scores that the layers computed.

The truth: layers that keep their scores while the model is called on arrays,
without any function that walks through a model.
"""

import keras
import numpy as np
import pytest
from keras import layers
from support import networks

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_layers,
    attention_scores,
    fuse_attention,
    insert_attention,
)

pytestmark = pytest.mark.backend("tensorflow", "torch", "jax", "numpy")

SEEN = []


class Observed(SqueezeExcite):
    """Squeeze-and-Excitation that notes its scores if they are numbers."""

    is_observed = False

    def call(self, inputs, mask=None, return_attention_scores=False):
        outputs, scores = super().call(inputs, mask, True)
        if Observed.is_observed:
            SEEN.append(keras.ops.convert_to_numpy(scores))
        return (outputs, scores) if return_attention_scores else outputs


def scores_seen(model, x):
    """What the layers compute when the model is called in inference."""
    SEEN.clear()
    Observed.is_observed = True
    try:
        model(x, training=False)
    finally:
        Observed.is_observed = False
    return list(SEEN)


def attended(network):
    """The network with attention after each of its convolutions."""
    return insert_attention(
        network,
        lambda site: Observed(reduction=2, name=f"{site.name}_se"),
        lambda layer: isinstance(layer, layers.Conv2D),
    )


def data_for(model, rng, samples=5):
    sequential = isinstance(model, keras.Sequential)
    return keras.tree.map_structure(
        lambda tensor: rng.normal(size=(samples, *tensor.shape[1:])).astype(
            "float32"
        ),
        model.inputs[0] if sequential else model.input,
    )


NETWORKS = {
    "residual": networks.residual,
    "sequential": networks.sequential,
    "dictionaries": networks.dictionaries,
    "shared": networks.shared,
    "nested": networks.nested,
    "nested in sequential": networks.nested_in_sequential,
    "siamese": networks.siamese,
    "operations": networks.operations,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_scores(name, rng):
    model = attended(NETWORKS[name]())
    x = data_for(model, rng)
    expected = scores_seen(model, x)
    scores = attention_scores(model, x, batch_size=2, verbose=0)
    assert len(scores) == len(expected)
    for actual, values in zip(scores.values(), expected, strict=True):
        assert isinstance(actual, np.ndarray)
        np.testing.assert_allclose(actual, values, rtol=1e-4, atol=1e-6)


def test_keys(rng):
    model = attended(networks.siamese())
    names = ["a_1", "a_2", "b_1", "b_2", "shortcut"]
    keys = attention_scores(model, data_for(model, rng), verbose=0).keys()
    assert sorted(keys) == sorted(
        f"backbone/{name}_se{number}" for name in names for number in ("", ":1")
    )


def test_keys_of_a_layer_that_is_called_twice(rng):
    inputs = keras.Input((4, 8))
    shared, last = (
        SqueezeExcite(reduction=2, name="se"),
        SqueezeExcite(reduction=2, name="x"),
    )
    model = keras.Model(inputs, last(shared(shared(inputs))))
    scores = attention_scores(model, data_for(model, rng), verbose=0)
    assert list(scores) == ["se", "se:1", "x"]


def small(rng, **options):
    inputs = keras.Input((6, 8))
    x = layers.Conv1D(8, 3, name="conv")(inputs)
    x = Observed(reduction=2, name="se", **options)(x)
    model = keras.Model(inputs, layers.Dense(3)(x), name="small")
    return model, data_for(model, rng, samples=7)


class Batches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = self.x[3 * index : 3 * index + 3]
        return part, np.zeros(len(part))


def tf_dataset(x):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, np.zeros(7))).batch(3)


def torch_loader(x):
    import torch

    pairs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.zeros(7))
    return torch.utils.data.DataLoader(pairs, batch_size=3)


@pytest.mark.parametrize(
    "data",
    [
        lambda x: x,
        Batches,
        pytest.param(tf_dataset, marks=pytest.mark.backend("tensorflow")),
        pytest.param(torch_loader, marks=pytest.mark.backend("torch")),
    ],
)
def test_data(data, rng):
    """Samples stay in order, and the last batch is smaller."""
    model, x = small(rng)
    (expected,) = scores_seen(model, x)
    scores = attention_scores(model, data(x), verbose=0)
    np.testing.assert_allclose(scores["se"], expected, rtol=1e-4)


# Labels of the same pass.


class Shuffled(keras.utils.PyDataset):
    """Other batches in each pass."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y
        self.rng = np.random.default_rng(0)
        self.order = self.rng.permutation(len(x))

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = self.order[3 * index : 3 * index + 3]
        return self.x[part], self.y[part]

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.x))


def shuffled_generator(x, y):
    order = np.random.default_rng(0).permutation(len(x))
    for part in np.split(order, [3, 6]):
        yield x[part], y[part]


def weighted_generator(x, y):
    for images, labels in shuffled_generator(x, y):
        yield images, labels, np.ones(len(labels), "float32")


def shuffled_tf_dataset(x, y):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(7).batch(3)


def shuffled_torch_loader(x, y):
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(
        torch.from_numpy(x), torch.from_numpy(y)
    )
    return torch.utils.data.DataLoader(pairs, batch_size=3, shuffle=True)


def shuffled_grain_dataset(x, y):
    grain = pytest.importorskip("grain")
    source = grain.MapDataset.source(list(zip(x, y, strict=True)))
    return source.seed(0).shuffle().to_iter_dataset().batch(3)


@pytest.mark.parametrize(
    "data",
    [
        Shuffled,
        shuffled_generator,
        weighted_generator,
        shuffled_tf_dataset,
        shuffled_torch_loader,
        shuffled_grain_dataset,
    ],
)
def test_labels_belong_to_the_scores(data, rng):
    """The label of a sample is its number."""
    model, x = small(rng)
    (expected,) = scores_seen(model, x)
    # Keras warns of a generator whose length it is not told.
    scores, labels = attention_scores(
        model, data(x, np.arange(7)), steps=3, verbose=0, return_labels=True
    )
    assert sorted(labels) == list(range(7))
    np.testing.assert_allclose(scores["se"], expected[labels], rtol=1e-4)


def test_structure_of_labels(rng):
    model, x = small(rng)
    y = {"class": np.arange(7), "box": {"size": np.ones((7, 4))}}

    def batches():
        for start in range(0, 7, 3):
            yield keras.tree.map_structure(
                lambda array, part=slice(start, start + 3): array[part], (x, y)
            )

    _, labels = attention_scores(
        model, batches(), steps=3, verbose=0, return_labels=True
    )
    keras.tree.map_structure(np.testing.assert_array_equal, labels, y)


def batches_without_labels(x):
    yield (x,)


@pytest.mark.parametrize("data", [lambda x: x, batches_without_labels])
def test_no_labels(data, rng):
    model, x = small(rng)
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ValueError, match=r"needs labels in `x`: a dataset"):
        attention_scores(model, data(x), verbose=0, return_labels=True)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_steps(rng):
    model, x = small(rng)
    endless = ((x[:2],) for _ in iter(int, 1))
    scores = attention_scores(model, endless, steps=3, verbose=0)
    assert scores["se"].shape == (6, 8)


@pytest.mark.parametrize(
    ("options", "samples"), [({}, 32), ({"batch_size": 3}, 3)]
)
def test_steps_of_arrays(options, samples, rng):
    """A batch has 32 samples, also with `steps`."""
    model, _ = small(rng)
    x = data_for(model, rng, samples=40)
    scores = attention_scores(model, x, steps=1, verbose=0, **options)
    assert scores["se"].shape == (samples, 8)


def test_no_samples(rng):
    model, x = small(rng)
    with pytest.raises(ValueError, match=r"one sample.*\(0, 6, 8\)"):
        attention_scores(model, x[:0], verbose=0)


def test_progress(rng, capsys):
    model, x = small(rng)
    attention_scores(model, x, batch_size=3, verbose=0)
    assert capsys.readouterr().out == ""
    attention_scores(model, x, batch_size=3, verbose=2)
    assert "3/3" in capsys.readouterr().out


def test_inference(rng):
    """Dropout is off, also where a call asks for it, as in `predict`."""
    inputs = keras.Input((6, 8))
    x = layers.Dropout(0.5)(inputs, training=True)
    x = layers.BatchNormalization(name="norm")(x)
    model = keras.Model(inputs, SqueezeExcite(reduction=2, name="se")(x))
    model.get_layer("norm").moving_mean.assign(np.arange(8))
    x = data_for(model, rng)
    before = [weight.numpy() for weight in model.weights]
    scores = attention_scores(model, x, verbose=0)
    normed = (x - np.arange(8)) / np.sqrt(1 + 1e-3)
    layer = model.get_layer("se")
    _, expected = layer(normed.astype("float32"), return_attention_scores=True)
    np.testing.assert_allclose(
        scores["se"], keras.ops.convert_to_numpy(expected), rtol=1e-4
    )
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_mask(rng):
    """Steps of zeros at the end of a signal change nothing."""
    inputs = keras.Input((None, 8))
    x = layers.Masking()(inputs)
    model = keras.Model(inputs, SqueezeExcite(reduction=2, name="se")(x))
    short = rng.normal(size=(3, 4, 8)).astype("float32")
    padded = np.pad(short, ((0, 0), (0, 5), (0, 0)))
    np.testing.assert_allclose(
        attention_scores(model, padded, verbose=0)["se"],
        attention_scores(model, short, verbose=0)["se"],
        rtol=1e-5,
    )


class PlusIfPresent(layers.Layer):
    def call(self, base, extra=None):
        return base if extra is None else base + extra

    def compute_output_shape(self, base_shape, extra_shape=None):
        return base_shape


@pytest.mark.parametrize("nested", [False, True])
def test_an_optional_input_that_is_none(nested, rng):
    image = keras.Input((6, 8), name="image")
    depth = keras.Input((6, 8), name="depth", optional=True)
    x = PlusIfPresent()(image, depth)
    if nested:
        a = keras.Input((6, 8))
        x = keras.Model(a, Observed(reduction=2, name="se")(a))(x)
    else:
        x = Observed(reduction=2, name="se")(x)
    model = keras.Model({"image": image, "depth": depth}, x)
    x = {"image": rng.normal(size=(3, 6, 8)).astype("float32"), "depth": None}
    (expected,) = scores_seen(model, x)
    (scores,) = attention_scores(model, x, verbose=0).values()
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_channels_first(rng):
    inputs = keras.Input((8, 5, 4))
    layer = Observed(reduction=2, data_format="channels_first", name="se")
    model = keras.Model(inputs, layer(inputs))
    x = data_for(model, rng)
    (expected,) = scores_seen(model, x)
    scores = attention_scores(model, x, verbose=0)["se"]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16"])
def test_half_precision(dtype, rng):
    keras.config.set_dtype_policy(dtype)
    inputs = keras.Input((6, 8))
    model = keras.Model(inputs, SqueezeExcite(reduction=2, name="se")(inputs))
    x = rng.normal(size=(5, 6, 8)).astype("float32")
    scores = attention_scores(model, x, verbose=0)["se"]
    assert scores.dtype == "float32"
    assert ((scores > 0) & (scores < 1)).all()


def test_layer_that_returns_its_scores_already(rng):
    inputs = keras.Input((6, 8))
    layer = SqueezeExcite(reduction=2, name="se")
    model = keras.Model(inputs, layer(inputs, return_attention_scores=True))
    x = data_for(model, rng)
    _, expected = model.predict(x, verbose=0)
    scores = attention_scores(model, x, verbose=0)["se"]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["a_1_se"], ["backbone/a_1_se"]),
        (("backbone/b_2_se",), ["backbone/b_2_se"]),
        (lambda layer: layer.name == "b_1_se", ["backbone/b_1_se"]),
    ],
)
def test_some_layers(chosen, expected, rng):
    model = attended(networks.nested())
    x = data_for(model, rng)
    every = attention_scores(model, x, verbose=0)
    some = attention_scores(model, x, layers=chosen, verbose=0)
    assert list(some) == expected
    for path, values in some.items():
        np.testing.assert_allclose(values, every[path], rtol=1e-5)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        (["a_1"], ValueError, "Near it: .*a_1_se"),
        (lambda layer: False, ValueError, "selects no attention layer"),
        ([], ValueError, "selects no attention layer"),
        ("a_1_se", TypeError, "must be a list of names"),
        (SqueezeExcite, TypeError, "must be a list of names"),
    ],
)
def test_layers_that_are_not_there(chosen, error, message, rng):
    model = attended(networks.nested())
    with pytest.raises(error, match=message):
        attention_scores(model, data_for(model, rng), layers=chosen)


@pytest.mark.training
def test_model_is_not_changed(rng):
    model = attended(networks.nested())
    model.compile("sgd", "mse")
    x = data_for(model, rng)
    outputs = model.predict(x, verbose=0)
    function = model.predict_function
    weights = [weight.numpy() for weight in model.weights]
    attention_scores(model, x, verbose=0)
    assert model.predict_function is function
    for layer in model.get_layer("backbone").layers:
        # It is an error for a layer with more calls than one.
        assert keras.utils.is_keras_tensor(layer.output)
    for weight, value in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    np.testing.assert_array_equal(model.predict(x, verbose=0), outputs)
    model.fit(x, np.zeros((5, 3)), verbose=0)
    # A name that Keras counts: no layer was named meanwhile.
    assert layers.Identity().name == "identity"


@pytest.mark.backend("torch")
def test_mode_of_torch_modules_is_kept(rng):
    model, x = small(rng)
    model.train()
    attention_scores(model, x, verbose=0)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("batches", [0, 1])
def test_weights_stay_after_an_error(batches, rng):
    """On JAX Keras moves them out of the model while it predicts."""
    model, x = small(rng)
    weights = [weight.numpy() for weight in model.weights]

    def data():
        for _ in range(batches):
            yield (x,)
        yield (x[..., :3],)

    with pytest.raises(Exception, match=r"shape|depth"):
        attention_scores(model, data(), verbose=0)
    for weight, value in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


# Attention inside layers and models with a `call` method of their own.


class Block(layers.Layer):
    """A layer of a user with attention inside."""

    def __init__(self, **options):
        super().__init__(**options)
        self.conv = layers.Conv1D(
            8, 3, padding="same", data_format="channels_last"
        )
        self.attention = Observed(
            reduction=2, name="se", data_format="channels_last"
        )

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.attention.build(input_shape)

    def call(self, inputs):
        return inputs + self.attention(self.conv(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape


class Twice(Block):
    """It asks for the scores of one call itself."""

    def call(self, inputs):
        x = self.attention(self.conv(inputs))
        x, scores = self.attention(x, return_attention_scores=True)
        return x * keras.ops.mean(scores)


# The first layer is called twice.
KEYS_OF_TWO = ("two/block/se", "two/block/se:2", "two/block/se:1")


class TwoOfOneName(layers.Layer):
    """Blocks of the same name."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first = Block(name="block")
        self.second = Block(name="block")

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, inputs):
        return self.second(self.first(self.first(inputs)))

    def compute_output_shape(self, input_shape):
        return input_shape


class OwnModel(keras.Model):
    """Blocks, and a functional model, called in a method."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first = Block(name="first")
        self.dropout = layers.Dropout(0.5)
        inputs = keras.Input((6, 8))
        x = Observed(reduction=2, name="se", data_format="channels_last")
        self.backbone = keras.Model(inputs, x(inputs), name="backbone")

    def call(self, inputs, training=False):
        x = self.dropout(self.first(inputs), training=training)
        return self.backbone(x)


def block_in_functional():
    inputs = keras.Input((6, 8))
    x = Block(name="block")(inputs)
    x = Observed(reduction=2, name="last", data_format="channels_last")(x)
    return keras.Model(inputs, x)


def block_with_two_calls():
    inputs = keras.Input((6, 8))
    return keras.Model(inputs, Twice(name="block")(inputs))


def own_model():
    model = OwnModel()
    model(np.zeros((1, 6, 8)))
    return model


def own_model_in_functional():
    inputs = keras.Input((6, 8))
    return keras.Model(inputs, OwnModel(name="own")(inputs))


@pytest.mark.parametrize(
    ("build", "keys"),
    [
        (block_in_functional, ["block/se", "last"]),
        (block_with_two_calls, ["block/se", "block/se:1"]),
        (own_model, ["first/se", "backbone/se"]),
        (own_model_in_functional, ["own/first/se", "own/backbone/se"]),
    ],
)
def test_attention_in_methods(build, keys, rng):
    model = build()
    x = rng.normal(size=(5, 6, 8)).astype("float32")
    outputs = keras.ops.convert_to_numpy(model(x, training=False))
    expected = scores_seen(model, x)
    scores = attention_scores(model, x, batch_size=2, verbose=0)
    assert list(scores) == keys
    for actual, values in zip(scores.values(), expected, strict=True):
        np.testing.assert_allclose(actual, values, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(model(x, training=False)), outputs
    )


def test_some_layers_in_methods(rng):
    model = own_model()
    x = rng.normal(size=(5, 6, 8)).astype("float32")
    scores = attention_scores(model, x, layers=["first/se"], verbose=0)
    assert list(scores) == ["first/se"]


def test_block_in_time(rng):
    inputs = keras.Input((3, 6, 8))
    block = Block(name="block")
    outputs = layers.TimeDistributed(block, name="steps")(inputs)
    model = keras.Model(inputs, outputs)
    x = data_for(model, rng)
    scores = attention_scores(model, x, verbose=0)
    (expected,) = scores_seen(block, x.reshape(-1, 6, 8))
    np.testing.assert_allclose(
        scores["steps/block/se"], expected.reshape(5, 3, 8), rtol=1e-4
    )


class Steps(layers.Layer):
    """A layer of a user that runs another in a loop."""

    def __init__(self, layer, **options):
        super().__init__(**options)
        self.steps = layers.TimeDistributed(layer, name="steps")

    def build(self, input_shape):
        self.steps.build(input_shape)

    def call(self, inputs):
        return self.steps(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


def test_attention_in_a_loop(rng):
    """Its scores exist inside the loop only."""
    inputs = keras.Input((3, 6, 8))
    x = Steps(Block(), name="block")(inputs)
    model = keras.Model(inputs, x)
    message = r"inside the layers \['block/steps'\], one step after another"
    with pytest.raises(ValueError, match=message):
        attention_scores(model, data_for(model, rng))
    model = keras.Model(inputs, Observed(reduction=2, name="se")(x))
    with pytest.warns(UserWarning, match=message):
        scores = attention_scores(model, data_for(model, rng), verbose=0)
    assert list(scores) == ["se"]


class StepsWithScores(Steps):
    def call(self, inputs):
        frames = keras.ops.unstack(inputs, axis=1)
        attention = self.steps.layer
        pairs = [attention(x, return_attention_scores=True) for x in frames]
        outputs, scores = zip(*pairs, strict=True)
        return keras.ops.stack(outputs, axis=1), keras.ops.stack(scores, axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape, (*input_shape[:2], input_shape[-1])


def test_layer_that_returns_its_scores(rng):
    """The lines of the message and of docs/analysis.md."""
    attention = Observed(reduction=2, data_format="channels_last")
    inputs = keras.Input((3, 6, 8))
    block = StepsWithScores(attention, name="block")
    _, scores = block(inputs)
    x = rng.normal(size=(5, 3, 6, 8)).astype("float32")
    scores = keras.Model(inputs, scores).predict(x, verbose=0)
    (expected,) = scores_seen(attention, x.reshape(-1, 6, 8))
    np.testing.assert_allclose(
        scores, expected.reshape(5, 3, 8), rtol=1e-4, atol=1e-6
    )


class Cell(layers.Layer):
    """The cell of a recurrent layer, with attention."""

    state_size = (6, 8)

    def __init__(self, **options):
        super().__init__(**options)
        self.attention = SqueezeExcite(reduction=2, name="se")

    def build(self, input_shape):
        self.attention.build(input_shape)

    def call(self, inputs, states):
        outputs = self.attention(inputs)
        return outputs, [outputs]


def test_attention_in_a_recurrent_layer():
    layer = layers.RNN(Cell(), name="recurrent")
    layer.built = True
    model = Holder(layer)
    with pytest.raises(ValueError, match=r"inside the layers \['recurrent'\]"):
        attention_scores(model, np.zeros((1, 6, 8)))


class Holder(keras.Model):
    """It holds a layer and does not call it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        return inputs


def test_two_layers_of_one_path(rng):
    """Each has the key that `attention_layers` gives it."""
    inputs = keras.Input((6, 8))
    model = keras.Model(inputs, TwoOfOneName(name="two")(inputs))
    x = data_for(model, rng)
    expected = dict(zip(KEYS_OF_TWO, scores_seen(model, x), strict=True))
    scores = attention_scores(model, x, verbose=0)
    assert list(scores) == list(KEYS_OF_TWO)
    for key in attention_layers(model):
        some = attention_scores(model, x, layers=[key], verbose=0)
        assert key in some
        for name, values in some.items():
            np.testing.assert_allclose(values, scores[name], rtol=1e-5)
            np.testing.assert_allclose(values, expected[name], rtol=1e-4)


def test_attention_that_is_not_called():
    block = Block(name="block")
    block.build((None, 6, 8))
    model = Holder(block)
    model.built = True
    with pytest.raises(ValueError, match=r"did not call .* \['block/se'\]"):
        attention_scores(model, np.zeros((1, 6, 8), "float32"), verbose=0)


def test_own_model_that_is_not_built():
    with pytest.raises(ValueError, match=r"not built\. Call the model on a"):
        attention_scores(OwnModel(), np.zeros((1, 6, 8), "float32"))


# Attention inside `TimeDistributed`.


def steps_of_one_layer(inputs):
    layer = Observed(reduction=2, name="se", data_format="channels_last")
    return layers.TimeDistributed(layer, name="steps")(inputs)


def steps_of_a_model(inputs):
    frame = keras.Input((6, 8))
    x = layers.Conv1D(8, 3, data_format="channels_last")(frame)
    x = Observed(reduction=2, name="se", data_format="channels_last")(x)
    x = keras.Model(frame, layers.Flatten()(x), name="frame")
    return layers.TimeDistributed(x, name="steps")(inputs)


def steps_within_steps(inputs):
    x = layers.Reshape((3, 2, 3, 8))(inputs)
    layer = Observed(reduction=2, name="se", data_format="channels_last")
    layer = layers.TimeDistributed(layer, name="inner")
    return layers.TimeDistributed(layer, name="steps")(x)


def steps_of_two_layers(inputs):
    x = steps_of_one_layer(inputs)
    return Observed(reduction=2, name="last", data_format="channels_last")(x)


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (steps_of_one_layer, {"steps/se": (5, 3, 8)}),
        (steps_of_a_model, {"steps/frame/se": (5, 3, 8)}),
        (steps_within_steps, {"steps/inner/se": (5, 3, 2, 8)}),
        (steps_of_two_layers, {"steps/se": (5, 3, 8), "last": (5, 8)}),
    ],
)
def test_attention_in_time(build, shapes, rng):
    inputs = keras.Input((3, 6, 8))
    model = keras.Model(inputs, build(inputs))
    x = data_for(model, rng)
    scores = attention_scores(model, x, batch_size=2, verbose=0)
    assert {path: array.shape for path, array in scores.items()} == shapes
    assert list(scores) == list(attention_layers(model))
    frames = x.reshape(-1, 6, 8)
    if build is steps_within_steps:
        frames = x.reshape(-1, 3, 8)
    first, *_ = scores
    if build is steps_of_a_model:
        inner = model.get_layer("steps").layer
        frames = inner.layers[1](frames)
    layer = attention_layers(model)[first]
    _, expected = layer(frames, return_attention_scores=True)
    np.testing.assert_allclose(
        scores[first].reshape(-1, 8),
        keras.ops.convert_to_numpy(expected),
        rtol=1e-4,
        atol=1e-6,
    )


def test_outputs_in_time_are_those_of_the_model(rng):
    """A layer after the steps has the scores that it has in the model."""
    inputs = keras.Input((None, 6, 8))
    model = keras.Model(inputs, steps_of_two_layers(inputs))
    x = rng.normal(size=(4, 3, 6, 8)).astype("float32")
    (scores,) = attention_scores(
        model, x, layers=np.array(["last"]), verbose=0
    ).values()
    middle = keras.Model(inputs, model.get_layer("steps").output)
    layer = model.get_layer("last")
    _, expected = layer(
        middle.predict(x, verbose=0), return_attention_scores=True
    )
    np.testing.assert_allclose(
        scores, keras.ops.convert_to_numpy(expected), rtol=1e-4
    )


def test_mask_of_steps(rng):
    """Positions that are excluded in each step, and passed on."""
    inputs = keras.Input((3, 6, 8))
    x = layers.Masking()(inputs)
    x = steps_of_two_layers(x)
    model = keras.Model(inputs, x)
    short = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    padded = np.pad(short, ((0, 0), (0, 0), (0, 2), (0, 0)))
    scores = attention_scores(model, padded, verbose=0)
    layer = attention_layers(model)["steps/se"]
    _, expected = layer(short.reshape(-1, 4, 8), return_attention_scores=True)
    np.testing.assert_allclose(
        scores["steps/se"].reshape(-1, 8),
        keras.ops.convert_to_numpy(expected),
        rtol=1e-4,
    )
    seen = scores_seen(model, padded)
    np.testing.assert_allclose(scores["last"], seen[-1], rtol=1e-4)


class Wrapped(layers.Wrapper):
    """A wrapper of a user."""

    def call(self, inputs):
        return self.layer(inputs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


def test_wrapper_of_a_user(rng):
    frame = keras.Input((6, 8))
    x = SqueezeExcite(reduction=2, name="se")(frame)
    inner = keras.Model(frame, x, name="frame")
    inputs = keras.Input((6, 8))
    model = keras.Model(inputs, Wrapped(inner, name="wrapped")(inputs))
    x = data_for(model, rng)
    scores = attention_scores(model, x, verbose=0)
    expected = attention_scores(inner, x, verbose=0)["se"]
    assert list(scores) == ["wrapped/frame/se"]
    np.testing.assert_allclose(scores["wrapped/frame/se"], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["batch_size", "steps"])
@pytest.mark.parametrize("value", [0, 2.5, "2"])
def test_what_is_no_number_of_batches(name, value, rng):
    model, x = small(rng)
    with pytest.raises((TypeError, ValueError), match=f"`{name}` must be"):
        attention_scores(model, x, verbose=0, **{name: value})


def test_integers_of_numpy(rng):
    model, x = small(rng)
    options = {"batch_size": np.int64(3), "steps": np.int32(2)}
    scores = attention_scores(model, x, verbose=0, **options)
    assert scores["se"].shape == (6, 8)


class Own(keras.Model):
    def call(self, inputs):
        return inputs


def built_own():
    model = Own()
    model(np.zeros((1, 6, 8), "float32"))
    return model


class BuildsLater(Own):
    def build(self, input_shape):
        self.attention = SqueezeExcite(2)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (networks.residual, ValueError, "fuse_attention"),
        (Own, ValueError, "'own' is not built"),
        (BuildsLater, ValueError, "is not built"),
        (built_own, ValueError, r"calls no attention.* none in an attribute"),
        (lambda: keras.Sequential([Block()]), ValueError, "is not built"),
        (lambda: "model.keras", TypeError, "must be a Keras model"),
    ],
)
def test_errors(model, error, message):
    with pytest.raises(error, match=message):
        attention_scores(model(), np.zeros((1, 6, 6, 8), "float32"))


def test_eca_after_fusion(rng):
    """The steps that the error message describes."""
    inputs = keras.Input((6, 6, 8))
    gates = layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    gates = layers.Conv2D(2, 1, activation="relu")(gates)
    gates = layers.Conv2D(8, 1, activation="sigmoid")(gates)
    outputs = layers.Multiply(name="product")([inputs, gates])
    model = keras.Model(inputs, [outputs, gates])
    x = data_for(model, rng)
    model = keras.Model(inputs, layers.Flatten()(outputs))
    scores = attention_scores(fuse_attention(model), x, verbose=0)
    expected = keras.Model(inputs, gates).predict(x, verbose=0)
    np.testing.assert_allclose(scores["product"], expected[:, 0, 0], rtol=1e-4)


def test_eca(rng):
    inputs = keras.Input((6, 8))
    layer = EfficientChannelAttention(identity_start=True, name="eca")
    model = keras.Model(inputs, layer(inputs))
    scores = attention_scores(model, data_for(model, rng), verbose=0)
    np.testing.assert_array_equal(scores["eca"], np.ones((5, 8)))
