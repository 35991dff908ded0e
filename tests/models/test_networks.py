"""The networks as functions of keras.applications are used."""

import inspect
import sys

import keras
import numpy as np
import pytest
from support import models_page
from support.initial_weights import zero_weights
from support.networks import predictions, randomize
from support.prepared_images import image

from keras_channel_attn import SqueezeExcite, insert_attention, models
from keras_channel_attn.models.attention import (
    LayersByStage,
    squeeze_excite,
)

THIN = {
    name: getattr(models, name)
    for name in models.__all__
    if name.startswith(("SE", "ECA"))
}
# All but Inception are thin functions that call `ResNet`.
RESNETS = [name for name in THIN if name != "SEInceptionV3"]


@pytest.fixture(scope="module", autouse=True)
def _zero_weights():
    """Each test counts weights, or gives them random numbers itself."""
    with zero_weights():
        yield


def photographs(size=40):
    return image((size, size))[None].astype("float32") / 255


def small(**arguments):
    """A network with one block in each stage."""
    network = models.ResNet(
        (1, 1, 1, 1),
        **{
            "attention": squeeze_excite(data_format="channels_last"),
            "block": "basic",
            "classes": 5,
            "data_format": "channels_last",
            **arguments,
        },
    )
    return randomize(network)


def test_only_public_names_are_listed():
    public = [
        name
        for name, value in vars(models).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    ]
    assert dir(models) == sorted(public)
    assert set(models.__all__) == set(public)


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


@pytest.mark.parametrize("name", RESNETS)
def test_every_argument_is_documented(name):
    documentation = inspect.getdoc(THIN[name])
    for section in ("Args:", "Returns:", "Raises:"):
        assert f"\n{section}\n" in documentation
    for argument, parameter in inspect.signature(THIN[name]).parameters.items():
        assert f"\n    {argument}: " in documentation
        if isinstance(parameter.default, str):
            assert f'`"{parameter.default}"`' in documentation


@pytest.mark.parametrize("name", RESNETS)
def test_every_argument_reaches_the_builder(name, monkeypatch):
    received = {}
    module = sys.modules[THIN[name].__module__]
    monkeypatch.setattr(
        module, "ResNet", lambda **arguments: received.update(arguments)
    )
    parameters = inspect.signature(THIN[name]).parameters.values()
    given = {
        parameter.name: object()
        for parameter in parameters
        if parameter.kind is not parameter.KEYWORD_ONLY
    }
    given |= {"data_format": "channels_first", "dtype": "bfloat16"}
    own = (
        {"use_bias": True}
        if name.startswith("SE")
        else {"kernel_sizes": (3, 5, 7, 9)}
    )
    THIN[name](**given, **own)
    assert {argument: received[argument] for argument in given} == given
    layer = received["attention"](64, 2)
    assert (layer.data_format, layer.dtype_policy.name) == (
        "channels_first",
        "bfloat16",
    )
    if name.startswith("SE"):
        assert layer.use_bias
    else:
        assert layer.kernel_size == 7


def trainable_parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


# One backend is enough to count, and this one builds them quickly.
@pytest.mark.slow
@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("name", THIN)
def test_parameters_are_those_on_the_page(name):
    page = models_page.PAGE.read_text()
    (line,) = (line for line in page.splitlines() if f"| `{name}` |" in line)
    assert f"| {trainable_parameters(THIN[name]()):,} (" in line


# The parameters of SENet and ECA-Net as published, with and without biases,
# by the rule and with ECANet's own kernel sizes.
PUBLISHED = {
    "SEResNet50": ("SEResNet50", {}, 28_071_976),
    "SEResNet50, biases": ("SEResNet50", {"use_bias": True}, 28_088_024),
    "ECAResNet50": ("ECAResNet50", {}, 25_557_032 + 86),
    "ECAResNet50, 3-5-5-7": (
        "ECAResNet50",
        {"kernel_sizes": (3, 5, 5, 7)},
        25_557_032 + 80,
    ),
}


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    ("name", "arguments", "expected"), PUBLISHED.values(), ids=PUBLISHED.keys()
)
def test_published_parameters(name, arguments, expected):
    assert trainable_parameters(THIN[name](**arguments)) == expected


def test_logits():
    probabilities, logits = small(), small(classifier_activation=None)
    logits.set_weights(probabilities.get_weights())
    exponentials = np.exp(predictions(logits, photographs()))
    np.testing.assert_allclose(
        predictions(probabilities, photographs()),
        exponentials / exponentials.sum(),
        rtol=1e-4,
    )


@pytest.mark.parametrize("shape", [(32, 33, 3), [32, 33, 3], (None, 33, 3)])
def test_sizes_of_numpy(shape):
    """A network of them has the configuration of one of Python's integers."""
    arguments = {
        "depths": (1, 1, 1, 1),
        "classes": 5,
        "stem": "deep",
        "stem_width": 16,
        "base_width": 32,
        "cardinality": 2,
    }
    integers = {
        name: np.asarray(value)[()] for name, value in arguments.items()
    }
    numpy_shape = shape if None in shape else np.array(shape)
    keras.utils.clear_session()
    expected = models.ResNet(**arguments, input_shape=shape)
    keras.utils.clear_session()
    actual = models.ResNet(
        **{**integers, "stem": "deep"}, input_shape=numpy_shape
    )
    assert actual.to_json() == expected.to_json()


def test_attention_is_built_once():
    """The builder names the layers of this package when it makes them."""
    calls = []

    class Counted(SqueezeExcite):
        def __init__(self, *args, **kwargs):
            calls.append(kwargs["name"])
            super().__init__(*args, **kwargs)

    attention = LayersByStage(Counted, [{}] * 4)
    models.ResNet((1, 1, 1, 1), attention=attention, block="basic")
    assert calls == [f"layer{stage}_0_se" for stage in (1, 2, 3, 4)]


def test_name():
    assert small(name="mine").name == "mine"


def policies(model):
    return {
        layer.dtype_policy.name
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_policy(policy):
    model = models.from_timm("seresnet18", depths=(1, 1, 1, 1), dtype=policy)
    assert policies(model) == {policy}


def global_settings():
    return keras.config.image_data_format(), keras.config.dtype_policy()


@pytest.fixture(scope="module")
def inception():
    before = global_settings()
    model = models.SEInceptionV3(
        input_shape=(3, 75, 75),
        include_top=False,
        data_format="channels_first",
        dtype="mixed_bfloat16",
    )
    assert global_settings() == before
    return model


@pytest.mark.slow
def test_inception(inception):
    assert inception.output_shape == (None, 2048, 1, 1)
    sites = [
        layer for layer in inception.layers if isinstance(layer, SqueezeExcite)
    ]
    assert len(sites) == 11
    assert policies(inception) == {"mixed_bfloat16"}


@pytest.mark.slow
def test_inception_in_a_file(inception, tmp_path):
    """The same layers with the same weights: computing both would be slow."""
    randomize(inception)
    inception.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    # Not the configs themselves: files make lists of tuples.
    assert loaded.to_json() == inception.to_json()
    for actual, expected in zip(
        loaded.get_weights(), inception.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("classes", [2.5, 0, None])
def test_inception_names_the_number_of_classes(classes):
    """Keras takes no integers of NumPy, and says that `units` are wrong."""
    with pytest.raises((TypeError, ValueError), match="`classes`"):
        models.SEInceptionV3(classes=classes)


def test_inception_restores_the_settings_after_an_error():
    before = global_settings()
    with pytest.raises(ValueError, match="`weights`"):
        models.SEInceptionV3(weights="nowhere", dtype="float16")
    assert global_settings() == before


@pytest.mark.slow
def test_a_network_deeper_than_the_recursion_limit():
    """As deep as `seresnet269d` is under Python's limit of 1000."""
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(500)
        network = models.ResNet(
            (70, 1, 1, 1),
            block="basic",
            first_reduction=64,
            include_top=False,
            input_shape=(32, 32, 3),
            data_format="channels_last",
        )
        attended = insert_attention(network, SqueezeExcite(reduction=4))
        assert len(attended.layers) == len(network.layers) + 73
        assert sys.getrecursionlimit() == 500
        # What the builder protects from: it would fail without.
        with pytest.raises(RecursionError):
            keras.Model(network.inputs, network.outputs)
    finally:
        sys.setrecursionlimit(limit)


def test_an_error_restores_the_recursion_limit():
    before = sys.getrecursionlimit()
    with pytest.raises(ValueError, match="name"):
        small(name="a/b")
    assert sys.getrecursionlimit() == before


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
        ({"depths": (1, 1, 0, 1)}, ValueError, r"`depths\[2\]`.*\]=0"),
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
        ({"input_shape": 64}, TypeError, "`input_shape`"),
        ({"input_shape": "64"}, TypeError, "`input_shape`"),
        ({"input_shape": (64, 64)}, ValueError, "`input_shape`"),
        ({"input_shape": (64.0, 64, 3)}, TypeError, r"`input_shape\[0\]`"),
        ({"input_shape": (-64, 64, 3)}, ValueError, r"`input_shape\[0\]`"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        models.ResNet(**{"depths": (1, 1, 1, 1), **arguments})


def test_kernel_sizes_are_odd():
    message = r"`kernel_sizes\[3\]` must be odd.*Received: .*=4"
    with pytest.raises(ValueError, match=message):
        models.ECAResNet18(kernel_sizes=(3, 5, 5, 4))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_attention_of_another_data_format(data_format):
    """Another axis may have as many positions as there are channels."""
    other = ({"channels_last", "channels_first"} - {data_format}).pop()
    message = f"network is {data_format}.*Pass `data_format='{data_format}'`"
    with pytest.raises(ValueError, match=message):
        models.ResNet(
            (1, 1, 1, 1),
            attention=lambda *_: SqueezeExcite(data_format=other),
            data_format=data_format,
        )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"pooling": "mean"}, ValueError), ({"include_top": "no"}, TypeError)],
)
def test_wrong_arguments_that_keras_takes(arguments, error):
    with pytest.raises(error, match=f"`{next(iter(arguments))}`"):
        models.SEInceptionV3(**arguments)


def test_an_argument_of_another_network():
    with pytest.raises(TypeError, match=r"SEResNet18\(\).*'kernel_sizes'"):
        models.SEResNet18(kernel_sizes=(3, 5, 5, 7))


@pytest.mark.parametrize("kernel_sizes", [(3, 5), 3, (3, 5, 5, 4)])
def test_wrong_kernel_sizes(kernel_sizes):
    with pytest.raises((TypeError, ValueError), match="kernel_size"):
        models.ECAResNet18(kernel_sizes=kernel_sizes)
