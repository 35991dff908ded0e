"""Published networks: sizes, names, and checkpoints of torch."""

import keras
import numpy as np
import pytest

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    models,
)

# Trainable parameters. FACTS sections 3 and 4: SENet and ECA-Net as published,
# with and without biases, by the rule and with ECANet's own kernel sizes.
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


def trainable_parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"), PUBLISHED.values(), ids=PUBLISHED.keys()
)
def test_published_parameters(name, arguments, expected):
    assert trainable_parameters(getattr(models, name)(**arguments)) == expected


def small(data_format="channels_last", **options):
    shape = (3, 33, 40) if data_format == "channels_first" else (33, 40, 3)
    return models.from_timm(
        "seresnet18",
        input_shape=shape,
        data_format=data_format,
        classes=5,
        classifier_activation=None,
        **options,
    )


@pytest.fixture(scope="module")
def network():
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


# FACTS section 3.
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
        (without("layer4.1.se.fc2.bias"), "missing: layer4.1.se.fc2.bias"),
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


@pytest.mark.parametrize(
    "names",
    [
        ("fc1", "fc2"),
        ("fc.0", "fc.2"),
        ("conv_reduce", "conv_expand"),
        ("module.fc1", "module.fc2"),
    ],
    ids=str,
)
def test_squeeze_excite_alone(rng, names):
    layer = SqueezeExcite(bottleneck_units=2, use_bias=True)
    layer.build(
        (None, 5, 5, 6) if layer.data_format[-4:] == "last" else (None, 6, 5, 5)
    )
    first, second = rng.normal(size=(2, 6)), rng.normal(size=(6, 2))
    models.load_torch_weights(
        layer,
        {
            f"{names[0]}.weight": first,
            f"{names[0]}.bias": np.ones(2),
            f"{names[1]}.weight": second,
            f"{names[1]}.bias": np.zeros(6),
        },
    )
    for actual, wanted in zip(
        layer.get_weights(),
        [first.T, np.ones(2), second.T, np.zeros(6)],
        strict=True,
    ):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)


def test_efficient_channel_attention_alone(rng):
    layer = EfficientChannelAttention(
        kernel_size=3, data_format="channels_last"
    )
    layer.build((None, 5, 5, 6))
    taps = rng.normal(size=3).astype("float32")
    models.load_torch_weights(layer, {"conv.weight": taps.reshape(1, 1, 3)})
    np.testing.assert_array_equal(layer.get_weights()[0].ravel(), taps)


def test_a_kernel_for_each_channel_alone(rng):
    # ECANet, models/eca_ns.py: a grouped convolution of k taps per channel.
    layer = EfficientChannelAttention(
        kernel_size=3, shared_kernel=False, data_format="channels_last"
    )
    layer.build((None, 5, 5, 6))
    taps = rng.normal(size=(6, 1, 3)).astype("float32")
    models.load_torch_weights(layer, {"conv.weight": taps})
    np.testing.assert_array_equal(layer.get_weights()[0], taps[:, 0].T)
    with pytest.raises(ValueError, match=r"shape: conv.weight is \(1, 1, 3\)"):
        models.load_torch_weights(layer, {"conv.weight": taps[:1]})


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("include_top", [True, False])
def test_linear_squeeze_excite_alone(rng, groups, include_top):
    # timm, EffectiveSEModule: a 1x1 convolution, here also a grouped one.
    layer = LinearSqueezeExcite(
        groups, use_bias=True, data_format="channels_last"
    )
    layer.build((None, 5, 5, 6))
    kernel = rng.normal(size=(6, 6 // groups, 1, 1)).astype("float32")
    bias = rng.normal(size=6).astype("float32")
    models.load_torch_weights(
        layer, {"fc.weight": kernel, "fc.bias": bias}, include_top
    )
    for actual, wanted in zip(
        layer.get_weights(), [kernel[:, :, 0, 0].T, bias], strict=True
    ):
        np.testing.assert_array_equal(actual, wanted)


def test_channel_branch_of_cbam_alone(rng):
    # timm, ChannelAttn: two 1x1 convolutions without biases.
    layer = SqueezeExcite(
        bottleneck_units=2, pooling="avg+max", data_format="channels_last"
    )
    layer.build((None, 5, 5, 6))
    first, second = rng.normal(size=(2, 6, 1, 1)), rng.normal(size=(6, 2, 1, 1))
    models.load_torch_weights(
        layer, {"fc1.weight": first, "fc2.weight": second}
    )
    for actual, wanted in zip(
        layer.get_weights(),
        [first[..., 0, 0].T, second[..., 0, 0].T],
        strict=True,
    ):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)


def test_a_layer_without_weights():
    with pytest.raises(TypeError, match="LinearSqueezeExcite, Efficient"):
        models.load_torch_weights(SqueezeGate(), {})


def test_a_layer_that_is_not_built():
    with pytest.raises(ValueError, match="`build`"):
        models.load_torch_weights(SqueezeExcite(), {})


@pytest.mark.parametrize("weights", [None, 3, "model.h5"])
def test_what_is_no_checkpoint(network, weights):
    with pytest.raises((TypeError, ValueError), match="`weights` must be"):
        models.load_torch_weights(network, weights)


def test_a_network_too_deep_for_keras():
    one = {"block": "basic", "input_shape": (32, 32, 3), "first_reduction": 64}
    with pytest.raises(RecursionError, match="setrecursionlimit"):
        models.ResNet((300, 1, 1, 1), **one)


def test_unknown_name_lists_the_near_ones():
    with pytest.raises(ValueError, match="'seresnet50'"):
        models.from_timm("se_resnet50")


@pytest.mark.training
@pytest.mark.parametrize("name", ["seresnext26d_32x4d", "resnetrs50"])
def test_both_data_formats_agree(name, rng):
    if keras.config.backend() == "tensorflow":
        pytest.skip("TensorFlow has no channels_first convolution on every CPU")
    images = rng.normal(size=(1, 33, 40, 3)).astype("float32")
    outputs = []
    weights = None
    for data_format in ("channels_last", "channels_first"):
        x = images
        if data_format == "channels_first":
            x = images.transpose(0, 3, 1, 2)
        network = models.from_timm(
            name,
            input_shape=x.shape[1:],
            data_format=data_format,
            classes=5,
            classifier_activation=None,
        )
        if weights is not None:
            network.set_weights(weights)
        weights = network.get_weights()
        outputs.append(keras.ops.convert_to_numpy(network(x)))
    np.testing.assert_allclose(*outputs, rtol=1e-3, atol=1e-4)
