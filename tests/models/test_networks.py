"""The networks as functions of keras.applications are used."""

import inspect

import keras
import numpy as np
import pytest
from support import models_page
from support.networks import assert_same, predictions, randomize
from support.prepared_images import image

from keras_channel_attn import ChannelAttention, SqueezeExcite, models

THIN = {
    name: function
    for name, function in vars(models).items()
    if name.startswith(("SE", "ECA"))
}
# Those that are quickly built.
SMALL = ("SEResNet18", "ECAResNet18")
over_small = pytest.mark.parametrize("name", SMALL)


def photographs(size=40):
    return image((size, size))[None].astype("float32") / 255


def small(name="SEResNet18", **arguments):
    arguments = {"classes": 5, "data_format": "channels_last", **arguments}
    return randomize(getattr(models, name)(**arguments))


@pytest.fixture(scope="module")
def networks():
    """Built once: none of the tests changes them."""
    return {name: small(name) for name in SMALL}


@pytest.mark.parametrize("name", THIN)
def test_signature_of_keras_applications(name):
    """As `keras.applications.ResNet50`, with its defaults but for weights."""
    theirs = inspect.signature(keras.applications.ResNet50).parameters
    ours = inspect.signature(THIN[name]).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert {"data_format", "dtype"} <= set(ours)
    for argument in set(theirs) - {"weights", "name"}:
        assert ours[argument].default == theirs[argument].default
    assert ours["weights"].default is None
    assert ours["name"].default == name.lower()


def test_without_top():
    features = small(include_top=False)
    assert features.output_shape == (None, None, None, 512)
    x = photographs(97)
    y = predictions(features, x)
    assert y.shape == (1, 4, 4, 512)
    for pooling, pooled in (("avg", np.mean), ("max", np.max)):
        model = small(include_top=False, pooling=pooling)
        model.set_weights(features.get_weights())
        np.testing.assert_allclose(
            predictions(model, x), pooled(y, axis=(1, 2)), rtol=1e-4, atol=1e-5
        )


# One backend is enough to count, and this one builds them quickly.
@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("name", THIN)
def test_parameters_are_those_on_the_page(name):
    page = models_page.PAGE.read_text()
    (line,) = (one for one in page.splitlines() if f"| `{name}` |" in one)
    model = THIN[name]()
    count = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert f"| {count:,} (" in line


@over_small
def test_any_size_and_classes(name, networks):
    for size in (33, 64):
        y = predictions(networks[name], photographs(size))
        assert y.shape == (1, 5)
        np.testing.assert_allclose(y.sum(), 1, rtol=1e-5)


def test_logits(networks):
    probabilities = networks["SEResNet18"]
    logits = small(classifier_activation=None)
    logits.set_weights(probabilities.get_weights())
    exponentials = np.exp(predictions(logits, photographs()))
    np.testing.assert_allclose(
        predictions(probabilities, photographs()),
        exponentials / exponentials.sum(),
        rtol=1e-4,
    )


def test_other_channels():
    model = small(input_shape=(32, 32, 1))
    assert model.input_shape == (None, 32, 32, 1)


def test_input_tensor(networks):
    inputs = keras.Input((40, 40, 3))
    x = keras.layers.Rescaling(2.0)(inputs)
    plain, scaled = networks["SEResNet18"], small(input_tensor=x)
    scaled.set_weights(plain.get_weights())
    np.testing.assert_allclose(
        predictions(scaled, photographs()),
        predictions(plain, 2 * photographs()),
        rtol=1e-4,
        atol=1e-6,
    )


def test_name(networks):
    assert networks["SEResNet18"].name == "seresnet18"
    assert models.SEResNet18(name="mine", classes=2).name == "mine"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_policy(policy):
    model = small(dtype=policy)
    policies = {
        layer.dtype_policy.name
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }
    assert policies == {policy}


@over_small
def test_file(name, networks, tmp_path):
    model = networks[name]
    model.save(tmp_path / "model.keras")
    assert_same_outputs(
        keras.models.load_model(tmp_path / "model.keras"), model
    )


@over_small
def test_weights_file(name, networks, tmp_path):
    model = networks[name]
    model.save_weights(tmp_path / "model.weights.h5")
    again = getattr(models, name)(
        weights=tmp_path / "model.weights.h5",
        classes=5,
        data_format="channels_last",
    )
    assert_same_outputs(again, model)


def test_inception(tmp_path):
    model = models.SEInceptionV3(
        input_shape=(75, 75, 3),
        include_top=False,
        pooling="avg",
        data_format="channels_last",
    )
    sites = [
        layer.name
        for layer in model.layers
        if isinstance(layer, ChannelAttention)
    ]
    assert len(sites) == 11
    randomize(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(loaded, model)


def test_inception_leaves_the_settings_as_they_were():
    before = keras.config.image_data_format(), keras.config.dtype_policy()
    model = models.SEInceptionV3(
        input_shape=(3, 75, 75),
        include_top=False,
        data_format="channels_first",
        dtype="mixed_bfloat16",
    )
    assert model.output_shape == (None, 2048, 1, 1)
    policies = {
        layer.dtype_policy.name
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }
    assert policies == {"mixed_bfloat16"}
    after = keras.config.image_data_format(), keras.config.dtype_policy()
    assert after == before
    with pytest.raises(ValueError, match="`weights`"):
        models.SEInceptionV3(weights="nowhere", dtype="float16")
    assert keras.config.dtype_policy() == before[1]


@pytest.mark.training
def test_trains():
    model = small(classes=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [np.array(weight) for weight in model.get_weights()]
    x = np.concatenate([photographs(32), 1 - photographs(32)])
    model.train_on_batch(x, np.array([0, 1]))
    changed = [
        not np.array_equal(old, new)
        for old, new in zip(before, model.get_weights(), strict=True)
    ]
    assert all(changed)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pooling": "mean"}, ValueError, "`pooling`"),
        ({"data_format": "NHWC"}, ValueError, "`data_format`"),
        ({"block": "deep"}, ValueError, "`block`"),
        ({"stem": "deeper"}, ValueError, "`stem`"),
        ({"stem_pool": "min"}, ValueError, "`stem_pool`"),
        ({"depths": (1, 1, 1)}, ValueError, "`depths`"),
        ({"depths": (1, 1, 0, 1)}, ValueError, "`depths`"),
        ({"depths": 4}, TypeError, "`depths`"),
        ({"classes": 0}, ValueError, "`classes`"),
        ({"attention": "se"}, TypeError, "`attention`"),
        ({"attention": SqueezeExcite}, TypeError, "`attention`"),
        ({"attention": SqueezeExcite()}, TypeError, "`attention`"),
        ({"attention": lambda *_: SqueezeExcite}, TypeError, "`attention`"),
        ({"block": "basic", "cardinality": 32}, ValueError, "`cardinality`"),
        ({"block": "basic", "stride_first": True}, ValueError, "stride_first"),
        ({"shortcut_kernel_size": 2}, ValueError, "`shortcut_kernel_size`"),
        ({"cardinality": 0}, ValueError, "`cardinality`"),
        ({"stem_width": "64"}, TypeError, "`stem_width`"),
        ({"include_top": "no"}, TypeError, "`include_top`"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        models.ResNet(**{"depths": (1, 1, 1, 1), **arguments})


def test_an_argument_of_another_network():
    with pytest.raises(TypeError, match=r"SEResNet18.*'kernel_sizes'"):
        models.SEResNet18(kernel_sizes=(3, 5, 5, 7))


@pytest.mark.parametrize("kernel_sizes", [(3, 5), 3, (3, 5, 5, 4)])
def test_wrong_kernel_sizes(kernel_sizes):
    with pytest.raises((TypeError, ValueError), match="kernel_size"):
        models.ECAResNet18(kernel_sizes=kernel_sizes)


def assert_same_outputs(actual, expected):
    np.testing.assert_allclose(
        predictions(actual, photographs()),
        predictions(expected, photographs()),
        rtol=1e-5,
        atol=1e-6,
    )
