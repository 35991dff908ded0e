"""Networks of timm of each family, as `from_timm` builds them."""

import keras
import numpy as np
import pytest
from support.initial_weights import zero_weights
from support.networks import predictions, randomize
from support.prepared_images import image

from keras_channel_attn import (
    SqueezeExcite,
    attention_layers,
    insert_attention,
    model_costs,
    models,
)
from keras_channel_attn.models.regnet import regnet_stages
from keras_channel_attn.models.timm import timm_networks

# One of each family, with the last feature map of timm's network for 65x65.
FAMILIES = {
    "seresnet18": (3, 3, 512),
    "ecaresnet26t": (3, 3, 2048),
    "regnety_002": (3, 3, 368),
    "eca_resnet33ts": (3, 3, 1280),
    "ese_vovnet19b_slim_dw": (2, 2, 512),
    "eca_nfnet_l0": (3, 3, 2304),
}
over_families = pytest.mark.parametrize("name", FAMILIES)
CHANNELS_FIRST = keras.config.backend() in ("torch", "jax")


@pytest.fixture(scope="module", autouse=True)
def _zero_weights():
    """Each test counts weights, or gives them random numbers itself."""
    with zero_weights():
        yield


def small(name, **arguments):
    """A network with one block in each stage."""
    arguments = {"data_format": "channels_last", **arguments}
    return randomize(models.from_timm(name, depths=(1, 1, 1, 1), **arguments))


def photographs(size=65):
    return image((size, size))[None].astype("float32") / 255


@pytest.fixture(scope="module")
def networks():
    """Built once: none of the tests changes them."""
    return {name: small(name, classes=5) for name in FAMILIES}


@over_families
def test_probabilities_of_any_size(name, networks):
    assert networks[name].name == name
    for size in (64, 65):
        y = predictions(networks[name], photographs(size))
        assert y.shape == (1, 5)
        np.testing.assert_allclose(y.sum(), 1, rtol=1e-5)


@over_families
def test_without_top(name):
    features = small(name, include_top=False)
    x = photographs()
    y = predictions(features, x)
    assert y.shape == (1, *FAMILIES[name])
    for pooling, pooled in (("avg", np.mean), ("max", np.max)):
        model = small(name, include_top=False, pooling=pooling)
        model.set_weights(features.get_weights())
        np.testing.assert_allclose(
            predictions(model, x), pooled(y, axis=(1, 2)), rtol=1e-4, atol=1e-5
        )


@over_families
@pytest.mark.skipif(not CHANNELS_FIRST, reason="no channels_first on a CPU")
def test_channels_first(name, networks):
    first = small(name, classes=5, data_format="channels_first")
    first.set_weights(networks[name].get_weights())
    x = photographs()
    np.testing.assert_allclose(
        predictions(first, x.transpose(0, 3, 1, 2)),
        predictions(networks[name], x),
        rtol=1e-4,
        atol=1e-6,
    )


@over_families
def test_input_tensor_and_shape(name, networks):
    inputs = keras.Input((65, 65, 3))
    x = keras.layers.Rescaling(2.0)(inputs)
    scaled = small(name, classes=5, input_tensor=x)
    scaled.set_weights(networks[name].get_weights())
    np.testing.assert_allclose(
        predictions(scaled, photographs()),
        predictions(networks[name], 2 * photographs()),
        rtol=1e-4,
        atol=1e-6,
    )
    grey = small(name, input_shape=(65, None, 1))
    assert grey.input_shape == (None, 65, None, 1)


@over_families
def test_policy(name):
    model = small(name, dtype="mixed_bfloat16")
    policies = {
        layer.dtype_policy.name
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }
    assert policies == {"mixed_bfloat16"}


@over_families
def test_files(name, networks, tmp_path):
    model = networks[name]
    expected = predictions(model, photographs())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        predictions(loaded, photographs()), expected, rtol=1e-5, atol=1e-6
    )
    model.save_weights(tmp_path / "model.weights.h5")
    again = small(name, classes=5, weights=tmp_path / "model.weights.h5")
    np.testing.assert_allclose(
        predictions(again, photographs()), expected, rtol=1e-5, atol=1e-6
    )


@over_families
def test_wrong_arguments(name):
    for arguments, argument in (
        ({"depths": (1, 1, 1)}, "depths"),
        ({"classes": 0}, "classes"),
        ({"pooling": "mean"}, "pooling"),
        ({"data_format": "NHWC"}, "data_format"),
        ({"input_shape": (64, 64)}, "input_shape"),
        ({"include_top": "no"}, "include_top"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"`{argument}`"):
            models.from_timm(name, **arguments)


def test_an_argument_of_another_family():
    with pytest.raises(TypeError, match="'antialias'"):
        models.from_timm("regnety_002", antialias=True)


# Parameters of timm's networks, from the table of its checkpoints.
SMALLEST = (
    "regnety_002.pycls_in1k",
    "regnety_004.tv2_in1k",
    "regnety_008_tv.tv2_in1k",
    "regnetx_002.pycls_in1k",
    "seresnext26ts.ch_in1k",
    "eca_resnext26ts.ch_in1k",
    "gcresnext26ts.ch_in1k",
    "ese_vovnet19b_dw.ra_in1k",
    "eca_nfnet_l0.ra2_in1k",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_parameters(name, checkpoints):
    model = models.from_timm(name)
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trainable == int(checkpoints[name]["parameters"])


@pytest.fixture(scope="module")
def checkpoints():
    from support.models_page import rows

    return {row["checkpoint"]: row for row in rows()}


@over_families
def test_analysis(name, networks):
    """The functions of the package take these networks as others."""
    model = networks[name]
    assert len(attention_layers(model)) == 4
    costs = model_costs(model, input_shape=(65, 65, 3))
    assert costs.macs > 0
    assert all(layer.macs is not None for layer in costs.layers)


def test_attention_can_be_inserted():
    plain = small("regnetx_002", classes=5)
    attended = insert_attention(plain, SqueezeExcite(4, identity_start=True))
    assert len(attention_layers(attended)) == 4
    np.testing.assert_allclose(
        predictions(attended, photographs()),
        predictions(plain, photographs()),
        rtol=1e-5,
    )


# RegNetY-3.2GF and RegNetX-3.2GF in https://arxiv.org/abs/2003.13678.
STAGES = {
    "regnety_032": ((2, 5, 13, 1), (72, 216, 576, 1512)),
    "regnetx_032": ((2, 6, 15, 2), (96, 192, 432, 1008)),
}


@pytest.mark.parametrize(("name", "expected"), STAGES.items(), ids=STAGES)
def test_stages_of_the_paper(name, expected):
    architecture = timm_networks()[name].architecture
    assert (architecture["depths"], architecture["widths"]) == expected


def test_widths_of_torchvision():
    """Halves are rounded up, and a width loses a tenth at most."""
    row = (17, 192, 76.82, 2.19, 56)
    _, widths = regnet_stages(*row)
    assert widths == (168, 448, 896, 2016)
    _, widths = regnet_stages(*row, as_torchvision=True)
    assert widths == (224, 448, 896, 2016)


def test_maxima_of_negative_numbers():
    """SiLU returns them: the padding of the pooling must be lower."""
    model = models.from_timm(
        "resnext26ts", depths=(1, 1, 1, 1), data_format="channels_last"
    )
    stem = keras.Model(
        model.get_layer("stem_pool").input,
        model.get_layer("stem_pool_stride").output,
    )
    rng = np.random.default_rng(0)
    for size in (6, 7):
        x = -1 - rng.random((1, size, size, 64), dtype="float32")
        padded = np.pad(
            x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf
        )
        expected = np.stack(
            [
                [
                    padded[0, i : i + 3, j : j + 3].max(axis=(0, 1))
                    for j in range(0, size, 2)
                ]
                for i in range(0, size, 2)
            ]
        )
        np.testing.assert_array_equal(predictions(stem, x)[0], expected)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("eca_botnext26ts_256", "eca_resnext26ts"),
        ("eca_halonext26ts.c1_in1k", "eca_resnext26ts"),
        ("sehalonet33ts", "seresnet33ts"),
    ],
)
def test_networks_with_self_attention(name, instead):
    message = rf"self-attention.*name='{name}'.*'{instead}'"
    with pytest.raises(ValueError, match=message):
        models.from_timm(name)


def test_unknown_name_lists_similar_ones():
    with pytest.raises(ValueError, match="'regnety_032'"):
        models.from_timm("regnety_033")
