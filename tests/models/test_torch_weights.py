"""Torch checkpoints given as mappings, for networks and for single layers."""

import functools
import re

import keras
import numpy as np
import pytest
from support.initial_weights import zero_weights

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    models,
)


def small(data_format="channels_last", **options):
    shape = (3, 33, 40) if data_format == "channels_first" else (33, 40, 3)
    return models.from_timm(
        "seresnet18",
        depths=(1, 1, 2, 1),
        input_shape=shape,
        data_format=data_format,
        classes=5,
        classifier_activation=None,
        **options,
    )


@pytest.fixture(scope="module")
def network():
    with zero_weights():
        return small()


@pytest.fixture
def checkpoint(network):
    """Arrays under torch's names, in torch's order of axes."""
    rng = np.random.default_rng(0)
    arrays = {"bn1.num_batches_tracked": np.array(3)}
    for layer in network.layers:
        prefix = layer.name.replace("_", ".")
        if isinstance(layer, keras.layers.Conv2D):
            kernel = rng.normal(0, 0.1, layer.kernel.shape)
            arrays[f"{prefix}.weight"] = kernel.transpose(3, 2, 0, 1)
        elif isinstance(layer, SqueezeExcite):
            channels, units = layer.reduce_kernel.shape
            arrays[f"{prefix}.fc1.weight"] = rng.normal(
                size=(units, channels, 1, 1)
            )
            arrays[f"{prefix}.fc1.bias"] = rng.normal(size=units)
            arrays[f"{prefix}.fc2.weight"] = rng.normal(
                size=(channels, units, 1, 1)
            )
            arrays[f"{prefix}.fc2.bias"] = rng.normal(size=channels)
        elif isinstance(layer, keras.layers.BatchNormalization):
            for name in ("weight", "bias", "running_mean", "running_var"):
                values = rng.uniform(0.5, 1.5, layer.gamma.shape)
                arrays[f"{prefix}.{name}"] = values
    arrays["fc.weight"] = rng.normal(0, 0.1, (5, 512))
    arrays["fc.bias"] = rng.normal(size=5)
    return arrays


def test_every_weight_gets_its_array(network, checkpoint):
    models.load_torch_weights(network, checkpoint)
    convolution = network.get_layer("layer3_1_conv2")
    np.testing.assert_allclose(
        convolution.get_weights()[0],
        checkpoint["layer3.1.conv2.weight"].transpose(2, 3, 1, 0),
        rtol=1e-6,
    )
    attention = network.get_layer("layer3_1_se")
    np.testing.assert_allclose(
        attention.get_weights()[0],
        checkpoint["layer3.1.se.fc1.weight"][:, :, 0, 0].T,
        rtol=1e-6,
    )


# The names in the state dicts of other repositories.
OTHER_NAMES = {
    "Cadene, timm's legacy": (
        ("conv1.", "layer0.conv1."),
        ("bn1.", "layer0.bn1."),
        (".se.", ".se_module."),
        ("fc.weight", "last_linear.weight"),
        ("fc.bias", "last_linear.bias"),
    ),
    "moskomule": ((".se.fc1.", ".se.fc.0."), (".se.fc2.", ".se.fc.2.")),
    "in parallel": (("", "module."),),
}


@pytest.mark.parametrize("rules", OTHER_NAMES.values(), ids=OTHER_NAMES.keys())
def test_other_names_of_the_same_modules(checkpoint, rules):
    # Cadene's pool like Caffe's, and the others' names fit it as well.
    network = small(stem_pool="max_ceil")
    renamed = {}
    for name, array in checkpoint.items():
        for old, new in rules:
            # At the beginning, but for what has a dot in front of it.
            if old.startswith("."):
                name = name.replace(old, new)
            elif name.startswith(old):
                name = new + name.removeprefix(old)
        renamed[name] = array
    models.load_torch_weights(network, checkpoint)
    expected = network.get_weights()
    network.set_weights([np.zeros_like(one) for one in expected])
    models.load_torch_weights(network, renamed)
    for actual, wanted in zip(network.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def without(name):
    return lambda arrays: arrays.pop(name)


def with_another(name):
    return lambda arrays: arrays.update({name: np.zeros(3)})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without("layer4.0.se.fc2.bias"), "missing: layer4.0.se.fc2.bias"),
        (with_another("layer9.conv1.weight"), "left over: layer9.conv1.weight"),
        (with_another("bn1.weight"), "shape: bn1.weight"),
        (with_another("conv1.weight"), "shape: conv1.weight"),
        (
            lambda arrays: arrays.update(
                {"fc.bias": np.array(list("abcde"), object)}
            ),
            "dtype: fc.bias is object",
        ),
        (
            lambda arrays: arrays.update({"fc.bias": np.ones(5, complex)}),
            "dtype: fc.bias is complex128",
        ),
        (
            lambda arrays: arrays.update({"fc.0.bias": np.ones(5)}),
            r"left over: fc\.0\.bias",
        ),
    ],
    ids=[
        "missing",
        "left over",
        "shape",
        "rank",
        "objects",
        "complex",
        "another top",
    ],
)
def test_strict_and_all_or_nothing(network, checkpoint, change, problem):
    change(checkpoint)
    before = network.get_weights()
    with pytest.raises(ValueError, match=problem) as raised:
        models.load_torch_weights(network, checkpoint)
    assert "1 problems" in str(raised.value)
    for actual, wanted in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("use_bias", [True, False])
def test_advice_on_biases_of_attention(checkpoint, use_bias):
    if not use_bias:
        for name in [x for x in checkpoint if re.search(r"se\.fc.\.bias", x)]:
            del checkpoint[name]

    def network(use_bias):
        return models.ResNet(
            (1, 1, 2, 1),
            lambda *_: SqueezeExcite(divisor=8, use_bias=use_bias),
            block="basic",
            classes=5,
        )

    with pytest.raises(ValueError, match=f"build it with `use_bias={use_bias}"):
        models.load_torch_weights(network(not use_bias), checkpoint)
    models.load_torch_weights(network(use_bias), checkpoint)


# For each torch module: its source; the layer that loads it; the names and the
# shapes of its weights; and how each is arranged in the layer.
def transposed(array):
    return array.reshape(array.shape[:2]).T


def unchanged(array):
    return array


def named(first, second):
    return {
        f"{first}.weight": ((2, 6), transposed),
        f"{first}.bias": ((2,), unchanged),
        f"{second}.weight": ((6, 2), transposed),
        f"{second}.bias": ((6,), unchanged),
    }


def squeeze_excite():
    return SqueezeExcite(bottleneck_units=2, use_bias=True)


MODULES = {
    "timm, SEModule": (squeeze_excite, named("fc1", "fc2")),
    "moskomule, SELayer": (squeeze_excite, named("fc.0", "fc.2")),
    "timm, EfficientNet": (squeeze_excite, named("conv_reduce", "conv_expand")),
    "in parallel": (squeeze_excite, named("module.fc1", "module.fc2")),
    "timm, ChannelAttn": (
        lambda: SqueezeExcite(bottleneck_units=2, pooling="avg_max_separate"),
        {
            "fc1.weight": ((2, 6, 1, 1), transposed),
            "fc2.weight": ((6, 2, 1, 1), transposed),
        },
    ),
    "timm, EcaModule": (
        lambda: EfficientChannelAttention(kernel_size=3),
        {"conv.weight": ((1, 1, 3), lambda array: array.transpose(2, 1, 0))},
    ),
    # models/eca_ns.py: a grouped convolution of k taps per channel.
    "ECANet, eca_ns": (
        lambda: EfficientChannelAttention(kernel_size=3, shared_kernel=False),
        {"conv.weight": ((6, 1, 3), lambda array: array[:, 0].T)},
    ),
    **{
        f"timm, EffectiveSEModule, {groups} groups": (
            functools.partial(LinearSqueezeExcite, groups, use_bias=True),
            {
                "fc.weight": ((6, 6 // groups, 1, 1), transposed),
                "fc.bias": ((6,), unchanged),
            },
        )
        for groups in (1, 2, 6)
    },
}


def built(layer):
    is_last = layer.data_format == "channels_last"
    layer.build((None, 5, 5, 6) if is_last else (None, 6, 5, 5))
    return layer


@pytest.mark.parametrize(("make", "known"), MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("include_top", [True, False])
def test_a_single_layer(rng, make, known, include_top):
    """The argument `include_top` concerns networks only."""
    layer = built(make())
    arrays = {
        name: rng.normal(size=shape).astype("float32")
        for name, (shape, _) in known.items()
    }
    models.load_torch_weights(layer, arrays, include_top)
    expected = [arrange(arrays[name]) for name, (_, arrange) in known.items()]
    for actual, wanted in zip(layer.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_one_kernel_for_a_layer_with_a_kernel_for_each_channel():
    layer = built(EfficientChannelAttention(3, shared_kernel=False))
    with pytest.raises(ValueError, match=r"shape: conv.weight is \(1, 1, 3\)"):
        models.load_torch_weights(layer, {"conv.weight": np.ones((1, 1, 3))})


def test_a_layer_without_weights():
    with pytest.raises(TypeError, match="another attention layer with weights"):
        models.load_torch_weights(SqueezeGate(), {})


def test_a_layer_that_is_not_built():
    with pytest.raises(ValueError, match="`build`"):
        models.load_torch_weights(SqueezeExcite(), {})


@pytest.mark.parametrize("weights", [None, 3, "model.h5"])
def test_what_is_no_checkpoint(network, weights):
    with pytest.raises((TypeError, ValueError), match="`weights` must be"):
        models.load_torch_weights(network, weights)


def test_unknown_name_lists_the_near_ones():
    with pytest.raises(ValueError, match="'seresnet50'"):
        models.from_timm("se_resnet50")
