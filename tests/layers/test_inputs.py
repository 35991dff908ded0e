"""Which inputs a layer takes: shapes, dtypes, data formats; what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops
from support.configurations import (
    CONFIGURATIONS,
    OF_ANY_RANK,
    built,
    over,
    over_configurations,
    over_configurations_and_formats,
    over_data_formats,
    shape_of,
)

from keras_channel_attn import ConvolutionalBlockAttention, SqueezeExcite


@over_configurations_and_formats
def test_symbolic_shapes(layer_class, arguments, data_format):
    shape = shape_of(None, (None, None), 8, data_format)
    inputs = keras.Input(shape[1:])
    layer = layer_class(data_format=data_format, **arguments)
    assert layer.compute_output_shape(shape) == shape
    assert layer(inputs).shape == shape
    outputs, scores = layer(inputs, return_attention_scores=True)
    assert outputs.shape == shape
    assert scores.shape == (None, 8)


@over_configurations
def test_functional_model_with_unknown_sizes(rng, layer_class, arguments):
    inputs = keras.Input((None, None, 8))
    layer = layer_class(**arguments)
    model = keras.Model(inputs, layer(inputs, return_attention_scores=True))
    for shape in [(2, 3, 4, 8), (1, 5, 2, 8)]:
        x = rng.normal(size=shape).astype("float32")
        outputs, scores = model(x)
        assert tuple(outputs.shape) == shape
        assert tuple(scores.shape) == (shape[0], 8)


@over(OF_ANY_RANK)
def test_weights_serve_every_rank(rng, layer_class, arguments):
    layer = built(layer_class, arguments)
    flat = rng.normal(size=(2, 6, 8)).astype("float32")
    image = flat.reshape(2, 2, 3, 8)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(image)).reshape(2, 6, 8),
        ops.convert_to_numpy(layer(flat)),
        rtol=1e-5,
        atol=1e-6,
    )


@over_configurations_and_formats
def test_does_not_depend_on_the_global_data_format(
    rng, layer_class, arguments, data_format
):
    x = rng.normal(size=shape_of(2, (3, 4), 8, data_format)).astype("float32")
    results = []
    for global_format in ("channels_last", "channels_first"):
        keras.config.set_image_data_format(global_format)
        keras.utils.set_random_seed(3)
        layer = layer_class(data_format=data_format, **arguments)
        results.append(ops.convert_to_numpy(layer(x)))
    np.testing.assert_array_equal(*results)


def test_data_format_is_the_global_one_at_construction():
    keras.config.set_image_data_format("channels_first")
    layer = SqueezeExcite()
    keras.config.set_image_data_format("channels_last")
    assert layer.data_format == "channels_first"
    assert layer.get_config()["data_format"] == "channels_first"


@pytest.mark.parametrize("shape", [(0, 5, 8), (0, 1, 2, 3, 8)])
def test_empty_batch_of_other_ranks(shape):
    layer = SqueezeExcite(
        reduction=4, pooling="avg_max_separate", data_format="channels_last"
    )
    assert tuple(layer(np.zeros(shape, "float32")).shape) == shape


@over_configurations
def test_empty_batch(layer_class, arguments):
    shape = (0, 3, 4, 8)
    y, scores = layer_class(**arguments)(
        np.zeros(shape, "float32"), return_attention_scores=True
    )
    assert tuple(y.shape) == shape
    assert tuple(scores.shape) == (0, 8)


@over_configurations
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_integers_are_cast(rng, layer_class, arguments, dtype):
    x = rng.integers(0, 2, size=(2, 3, 4, 8)).astype(dtype)
    layer = layer_class(**arguments)
    y = layer(ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    np.testing.assert_array_equal(
        ops.convert_to_numpy(y),
        ops.convert_to_numpy(layer(x.astype("float32"))),
    )


# What follows is refused by the base class, before a mechanism is asked: one
# mechanism stands for all.


@pytest.mark.parametrize("shape", [(8,), (2, 8)])
def test_refuses_a_low_rank(shape):
    with pytest.raises(ValueError, match="rank 3 or more"):
        SqueezeExcite()(np.ones(shape, "float32"))
    with pytest.raises(ValueError, match="rank 3 or more"):
        SqueezeExcite().build(shape)


@over_data_formats
def test_refuses_unknown_channels(data_format):
    inputs = keras.Input(shape_of(None, (4, 4), None, data_format)[1:])
    with pytest.raises(ValueError, match="known number of channels"):
        SqueezeExcite(data_format=data_format)(inputs)


@over_data_formats
def test_refuses_changed_channels(data_format):
    layer = SqueezeExcite(reduction=4, data_format=data_format)
    layer.build(shape_of(None, (3, 4), 8, data_format))
    with pytest.raises(ValueError, match="built for 8 channels"):
        layer(np.ones(shape_of(1, (3, 4), 16, data_format), "float32"))


@pytest.mark.parametrize("shape", [(2, 0, 4, 8), (2, 3, 0, 8), (1, 0, 8)])
def test_refuses_an_input_without_positions(shape):
    with pytest.raises(ValueError, match="at least one position"):
        SqueezeExcite(reduction=4)(np.zeros(shape, "float32"))


@over({name: CONFIGURATIONS[name] for name in ("cbam", "coordinate")})
def test_refuses_another_rank_than_its_weights_have(layer_class, arguments):
    layer = built(layer_class, arguments)
    message = "built for 2 spatial axes.*Received.*with 1"
    with pytest.raises(ValueError, match=message):
        layer(np.ones(shape_of(1, (7,), 8, layer.data_format), "float32"))


def test_refuses_more_axes_than_a_convolution_has():
    with pytest.raises(ValueError, match=r"rank 3, 4 or 5.*Received"):
        ConvolutionalBlockAttention().build((None, 2, 2, 2, 2, 8))


def test_refuses_zero_channels():
    with pytest.raises(ValueError, match="one or more"):
        SqueezeExcite()(np.zeros((2, 3, 0), "float32"))
