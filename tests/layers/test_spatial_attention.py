"""The layers that attend to positions: formulas, maps, masks, normalization."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.autodiff import outputs_and_gradients
from support.configurations import (
    CONFIGURATIONS,
    OF_CHANNELS,
    built,
    over,
    over_alternating_formats,
    over_data_formats,
    shape_of,
)
from support.formulas import outputs_and_scores

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    GlobalContext,
    SqueezeExcite,
    attention_scores,
    models,
    replace_attention,
)
from keras_channel_attn.pruning import channel_groups

SPATIAL = {
    name: row for name, row in CONFIGURATIONS.items() if name not in OF_CHANNELS
}
over_spatial = over(SPATIAL)
WITH_STATISTICS = {
    "cbam": (
        ConvolutionalBlockAttention,
        {"reduction": 4, "kernel_size": 3, "batch_normalization": True},
    ),
    "coordinate": (CoordinateAttention, {"divisor": 4}),
}


def arrays(tensors):
    return [ops.convert_to_numpy(tensor) for tensor in tensors]


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(
        ops.convert_to_numpy(actual), expected, rtol=tolerance, atol=tolerance
    )


@over_alternating_formats(SPATIAL)
@pytest.mark.parametrize("spatial", [(7,), (4, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_formula(rng, layer_class, arguments, data_format, spatial, masked):
    layer = built(
        layer_class, arguments, rank=len(spatial), data_format=data_format
    )
    x = rng.normal(size=shape_of(3, spatial, 8, data_format)).astype("float32")
    mask = rng.random((3, *spatial)) < 0.6 if masked else None
    expected = outputs_and_scores(layer, x, mask=mask)
    y, scores = layer(x, mask=mask, return_attention_scores=True)
    close(y, expected[0])
    close(scores, expected[1])


def shown(x, mask, filling, data_format="channels_last"):
    """The input with other values at masked positions."""
    axis = -1 if data_format == "channels_last" else 1
    return np.where(np.expand_dims(mask, axis), x, np.float32(filling))


@over_alternating_formats(SPATIAL)
@pytest.mark.parametrize("filling", [1e30, -np.inf, np.nan], ids=str)
def test_what_masked_positions_hold_does_not_matter(
    rng, layer_class, arguments, data_format, filling
):
    x = rng.normal(size=shape_of(2, (4, 5), 8, data_format)).astype("float32")
    mask = rng.random((2, 4, 5)) < 0.5
    layer = built(layer_class, arguments, data_format=data_format)
    results = [
        arrays(layer(inputs, mask=mask, return_attention_scores=True))
        for inputs in (x, shown(x, mask, filling, data_format))
    ]
    (y, scores), (y_filled, scores_filled) = results
    np.testing.assert_array_equal(scores_filled, scores)
    np.testing.assert_array_equal(
        shown(y_filled, mask, 0, data_format), shown(y, mask, 0, data_format)
    )


@over_spatial
def test_padding_along_two_axes_changes_nothing(rng, layer_class, arguments):
    layer = built(layer_class, arguments)
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    padded = np.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)), constant_values=9)
    mask = np.zeros(padded.shape[:-1], bool)
    inside = (slice(None), slice(1, 4), slice(0, 4))
    mask[inside] = True
    asked = {"return_attention_scores": True, "return_spatial_scores": True}
    y, scores, positions = arrays(layer(padded, mask=mask, **asked))
    expected = arrays(layer(x, **asked))
    for actual, alone in zip(
        (y[inside], scores, positions[inside]), expected, strict=True
    ):
        close(actual, alone)


# Maps of the positions


@over_alternating_formats(SPATIAL)
def test_what_is_returned(rng, layer_class, arguments, data_format):
    layer = built(layer_class, arguments, data_format=data_format)
    x = rng.normal(size=shape_of(2, (3, 4), 8, data_format)).astype("float32")
    shapes = {(): (x.shape,)}
    shapes[("attention",)] = (x.shape, (2, 8))
    shapes[("spatial",)] = (x.shape, (2, 3, 4))
    shapes["attention", "spatial"] = (x.shape, (2, 8), (2, 3, 4))
    for names, expected in shapes.items():
        asked = {f"return_{name}_scores": True for name in names}
        symbolic = layer(keras.Input(x.shape[1:], batch_size=2), **asked)
        for results in (layer(x, **asked), symbolic):
            results = results if names else (results,)
            assert tuple(tuple(x.shape) for x in results) == expected


def test_map_of_cbam(rng):
    """The output is the input times the gates of both."""
    layer = built(*CONFIGURATIONS["cbam"])
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    y, channels, positions = arrays(
        layer(x, return_attention_scores=True, return_spatial_scores=True)
    )
    close(y, x * channels[:, None, None] * positions[..., None])


@pytest.mark.parametrize("name", ["scse", "scse_spatial"])
def test_map_of_scse(rng, name):
    layer = built(*CONFIGURATIONS[name])
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    y, channels, positions = arrays(
        layer(x, return_attention_scores=True, return_spatial_scores=True)
    )
    factors = positions[..., None]
    if name == "scse":
        factors = factors + channels[:, None, None]
    close(y, x * factors)


def test_map_of_global_context(rng):
    layer = built(*CONFIGURATIONS["context"])
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    mask = rng.random((2, 3, 4)) < 0.5
    _, positions = layer(x, mask=mask, return_spatial_scores=True)
    _, expected = reference.softmax_pooling(
        x, *layer.get_weights()[:2], mask=mask
    )
    close(positions, expected)


def test_map_of_coordinate_attention(rng):
    """With one channel it is what the input is multiplied by."""
    layer = built(*CONFIGURATIONS["coordinate"], channels=1)
    x = rng.normal(size=(2, 3, 4, 1)).astype("float32")
    y, positions = layer(x, return_spatial_scores=True)
    close(y, x * ops.convert_to_numpy(positions)[..., None])


# OpenVINO has no `predict` of several outputs.
@pytest.mark.backend("tensorflow", "torch", "jax", "numpy")
@over({name: SPATIAL[name] for name in ("cbam", "scse", "coordinate")})
def test_scores_of_a_model(rng, layer_class, arguments):
    layer = built(layer_class, arguments, data_format="channels_last")
    inputs = keras.Input((3, 4, 8))
    outputs, _ = layer(inputs, return_spatial_scores=True)
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    model = keras.Model(inputs, outputs)
    (scores,) = attention_scores(model, x, verbose=0).values()
    _, expected = layer(x, return_attention_scores=True)
    close(scores, ops.convert_to_numpy(expected))


# Normalization over the batch


@pytest.mark.training
@over(WITH_STATISTICS)
def test_statistics_of_a_batch(rng, layer_class, arguments):
    """In training the features are normalized by their own statistics."""
    layer = built(layer_class, arguments, data_format="channels_last")
    layer.moving_mean.assign(np.zeros(layer.gamma.shape))
    layer.moving_variance.assign(np.ones(layer.gamma.shape))
    x = rng.normal(size=(4, 3, 5, 8)).astype("float32")
    trained = ops.convert_to_numpy(layer(x, training=True))
    # The moving averages went a tenth of the way, from zero and from one.
    mean = ops.convert_to_numpy(layer.moving_mean) / 0.1
    moved = ops.convert_to_numpy(layer.moving_variance)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign((moved - 0.9) / 0.1)
    close(layer(x, training=False), trained, 1e-4)


@pytest.mark.training
@over(WITH_STATISTICS)
def test_statistics_do_not_depend_on_padding(rng, layer_class, arguments):
    x = rng.normal(size=(4, 3, 5, 8)).astype("float32")
    padded = np.pad(x, ((0, 0), (0, 2), (0, 1), (0, 0)), constant_values=5)
    mask = np.zeros(padded.shape[:-1], bool)
    mask[:, :3, :5] = True
    results = []
    for inputs, own in ((x, None), (padded, mask)):
        layer = built(layer_class, arguments, data_format="channels_last")
        y = layer(inputs, mask=own, training=True)
        results.append([ops.convert_to_numpy(y)[:, :3, :5]])
        results[-1] += layer.get_weights()
    for alone, masked in zip(*results, strict=True):
        close(masked, alone, 1e-4)


@pytest.mark.training
@over(WITH_STATISTICS)
def test_frozen_statistics(rng, layer_class, arguments):
    layer = built(layer_class, arguments, data_format="channels_last")
    layer.trainable = False
    before = layer.get_weights()
    x = rng.normal(size=(4, 3, 5, 8)).astype("float32")
    close(layer(x, training=True), ops.convert_to_numpy(layer(x)))
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.training
@over(WITH_STATISTICS)
def test_an_empty_batch_changes_no_statistics(layer_class, arguments):
    layer = built(layer_class, arguments, data_format="channels_last")
    before = layer.get_weights()
    layer(np.zeros((0, 3, 5, 8), "float32"), training=True)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.training
@over(SPATIAL)
def test_an_identity_start_can_learn(rng, layer_class, arguments):
    """The weights that start at zero have gradients."""
    layer = layer_class(
        **{**arguments, "identity_start": True, "data_format": "channels_last"}
    )
    x = rng.normal(size=(4, 3, 5, 8)).astype("float32")
    layer.build(x.shape)
    y, _, gradients = outputs_and_gradients(layer, x, x)
    np.testing.assert_array_equal(y, x)
    assert any(gradient.any() for gradient in gradients)


# Precision


@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
@over_data_formats
@over({name: SPATIAL[name] for name in ("cbam", "coordinate", "context")})
def test_large_float16_maps(layer_class, arguments, data_format, policy):
    """As many positions as sums in 16 bits overflow with."""
    arguments = {**arguments, "dtype": policy, "data_format": data_format}
    results = []
    for size in (112, 4):
        layer = layer_class(**arguments)
        x = np.full(shape_of(1, (size, size), 16, data_format), 60, "float16")
        layer.build(x.shape)
        for weight in layer.trainable_weights:
            weight.assign(np.full(weight.shape, 1e-3))
        results += arrays(layer(x, return_attention_scores=True))[1:]
    np.testing.assert_allclose(*results, rtol=2e-3)


# What is refused, and what is described


def test_pruning_of_cbam_is_locked():
    inputs = keras.Input((6, 6, 4))
    x = keras.layers.Conv2D(8, 3, name="conv", data_format="channels_last")(
        inputs
    )
    x = ConvolutionalBlockAttention(4, data_format="channels_last")(x)
    x = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    locked = channel_groups(keras.Model(inputs, x))["conv"].locked
    assert "the mean and the maximum over all channels" in locked


def test_a_map_that_is_used_is_kept():
    inputs = keras.Input((3, 4, 8))
    layer = ConcurrentSqueezeExcite(2, data_format="channels_last", name="old")
    model = keras.Model(inputs, layer(inputs, return_spatial_scores=True))
    with pytest.raises(ValueError, match=r"replace 'old'.*spatial_scores"):
        replace_attention(model, SqueezeExcite(2, data_format="channels_last"))
    context = GlobalContext(2, data_format="channels_last")
    copy = replace_attention(model, context)
    assert [x.shape for x in copy.outputs] == [x.shape for x in model.outputs]


KEYS = {
    "cbam_normalized": "channel.fc1.weight channel.fc1.bias channel.fc2.weight "
    "channel.fc2.bias spatial.conv.conv.weight spatial.conv.bn.weight "
    "spatial.conv.bn.bias spatial.conv.bn.running_mean "
    "spatial.conv.bn.running_var",
    "scse": "cSE.1.weight cSE.1.bias cSE.3.weight cSE.3.bias sSE.0.weight "
    "sSE.0.bias",
    "scse_spatial": "sSE.0.weight",
    "coordinate": "conv1.weight bn1.weight bn1.bias conv_h.weight "
    "conv_w.weight bn1.running_mean bn1.running_var",
    "context": "conv_attn.weight conv_attn.bias mlp_add.fc1.weight "
    "mlp_add.fc1.bias mlp_add.norm.weight mlp_add.norm.bias "
    "mlp_add.fc2.weight mlp_add.fc2.bias",
    "context_scale": "conv_attn.weight mlp_scale.fc1.weight "
    "mlp_scale.norm.weight mlp_scale.norm.bias mlp_scale.fc2.weight",
}


@pytest.mark.parametrize("name", KEYS)
def test_weights_of_torch(rng, name):
    """The names of timm's and segmentation_models.pytorch's modules."""
    layer = built(*CONFIGURATIONS[name], data_format="channels_last")
    checkpoint, expected = {}, []
    for key, weight in zip(KEYS[name].split(), layer.weights, strict=True):
        array = rng.random(weight.shape).astype("float32")
        expected.append(array / layer.multiplier_of(weight))
        if array.ndim > 1:
            array = array.T[..., None, None] if array.ndim == 2 else array
            axes = (3, 2, 0, 1) if weight.name == "spatial_kernel" else range(4)
            if name.startswith("scse"):
                axes = range(4)
            array = array.transpose(*axes)
        checkpoint[key] = array
    # torch counts the batches; the number is not used.
    checkpoint["bn1.num_batches_tracked"] = np.array(3)
    models.load_torch_weights(layer, checkpoint)
    for actual, wanted in zip(layer.get_weights(), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # Two descriptors of 8 channels and 4 units, and 3x3x2 at 20 positions.
        (ConvolutionalBlockAttention(2, kernel_size=3), 2 * 64 + 18 * 20),
        (ConcurrentSqueezeExcite(2), 64 + 8 * 20),
        (ConcurrentSqueezeExcite(combination="spatial"), 8 * 20),
        # 4 + 5 positions, two maps each.
        (CoordinateAttention(bottleneck_units=3), 9 * 2 * 24),
        (GlobalContext(2), 2 * 8 * 20 + 64),
    ],
    ids=lambda value: "" if isinstance(value, int) else type(value).__name__,
)
def test_multiply_adds(layer, expected):
    layer.build(shape_of(None, (4, 5), 8, layer.data_format))
    assert layer.attention_macs((4, 5), 8) == expected
