"""What the base class does for every mechanism."""

import keras
import numpy as np
import pytest
from keras import ops
from support import reference
from support.configurations import (
    over_configurations,
    over_data_formats,
    over_those_with_weights,
    randomize,
    shape_of,
)
from support.gating import assert_gated

from keras_channel_attn import (
    ChannelAttention,
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

RANKS = [(7,), (3, 4), (2, 3, 2), (2, 1, 3, 2)]


class Plain(ChannelAttention):
    """The smallest mechanism: the gate on the descriptor itself."""

    def excite(self, descriptor):
        return descriptor


@over_data_formats
@pytest.mark.parametrize("spatial", RANKS, ids=str)
def test_formula(rng, data_format, spatial):
    x = rng.normal(size=shape_of(3, spatial, 5, data_format)).astype("float32")
    returned = Plain(data_format=data_format)(x, return_attention_scores=True)
    gates = reference.sigmoid(reference.squeeze(x, data_format))
    assert_gated(returned, x, gates, data_format)


class Squared(ChannelAttention):
    """A mechanism that shows in which order it is squared and added."""

    def excite(self, descriptor):
        return descriptor * descriptor


@over_data_formats
@pytest.mark.parametrize("masked", [False, True])
def test_both_poolings_are_excited_and_added(rng, data_format, masked):
    # CBAM (arXiv 1807.06521), eq. 2.
    x = rng.normal(size=shape_of(3, (4, 5), 6, data_format)).astype("float32")
    mask = rng.random((3, 4, 5)) < 0.7 if masked else None
    layer = Squared(pooling="avg+max", data_format=data_format)
    returned = layer(x, mask=mask, return_attention_scores=True)
    average, maximum = (
        reference.squeeze(x, data_format, one, mask) for one in ("avg", "max")
    )
    gates = reference.sigmoid(average**2 + maximum**2)
    assert_gated(returned, x, gates, data_format)


@over_configurations
def test_output_without_scores_is_the_same(rng, layer_class, arguments):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    layer = layer_class(**arguments)
    with_scores, _ = layer(x, return_attention_scores=True)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(with_scores)
    )


@over_data_formats
@over_configurations
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


@over_configurations
def test_weights_serve_every_rank(rng, layer_class, arguments):
    layer = layer_class(**arguments)
    layer.build((None, None, 8))
    randomize(layer)
    flat = rng.normal(size=(2, 6, 8)).astype("float32")
    image = flat.reshape(2, 2, 3, 8)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(image)).reshape(2, 6, 8),
        ops.convert_to_numpy(layer(flat)),
        rtol=1e-5,
        atol=1e-6,
    )


@over_data_formats
@over_configurations
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


@over_configurations
@pytest.mark.parametrize("shape", [(0, 3, 4, 8), (0, 5, 8), (0, 1, 2, 3, 8)])
def test_empty_batch(layer_class, arguments, shape):
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


@over_those_with_weights
def test_identity_start_is_exact(rng, layer_class, arguments):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    layer = layer_class(**{**arguments, "identity_start": True})
    y, scores = layer(x, return_attention_scores=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), x)
    np.testing.assert_array_equal(ops.convert_to_numpy(scores), 1.0)


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid", "softplus", "exp"])
def test_identity_start_with_other_gates(rng, gate):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    if gate == "exp":
        gate = ops.exp
    for layer_class in (
        SqueezeExcite,
        EfficientChannelAttention,
        LinearSqueezeExcite,
    ):
        layer = layer_class(gate_activation=gate, identity_start=True)
        np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)


@pytest.mark.parametrize(
    "initializer", ["ones", "random_normal", keras.initializers.Constant(3)]
)
@pytest.mark.parametrize("layer_class", [SqueezeExcite, LinearSqueezeExcite])
def test_identity_start_overrules_initializers(rng, layer_class, initializer):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    layer = layer_class(
        identity_start=True,
        use_bias=True,
        kernel_initializer=initializer,
        bias_initializer=initializer,
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)


@over_those_with_weights
def test_identity_start_scales_the_gates(rng, layer_class, arguments):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    plain = layer_class(**{**arguments, "identity_start": False})
    scaled = layer_class(**{**arguments, "identity_start": True})
    scaled.build(x.shape)
    plain.build(x.shape)
    randomize(plain)
    scaled.set_weights(plain.get_weights())
    _, gates = plain(x, return_attention_scores=True)
    _, twice = scaled(x, return_attention_scores=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(twice), 2 * ops.convert_to_numpy(gates), rtol=1e-6
    )


@pytest.mark.parametrize("gate", ["tanh", "relu", "linear", "softmax", None])
def test_identity_start_refuses(gate):
    with pytest.raises(ValueError, match="gate_activation"):
        Plain(gate_activation=gate, identity_start=True)


@over_configurations
@pytest.mark.parametrize("shape", [(8,), (2, 8)])
def test_refuses_a_low_rank(layer_class, arguments, shape):
    with pytest.raises(ValueError, match="rank 3 or more"):
        layer_class(**arguments)(np.ones(shape, "float32"))
    with pytest.raises(ValueError, match="rank 3 or more"):
        layer_class(**arguments).build(shape)


@over_configurations
def test_refuses_unknown_channels(layer_class, arguments):
    with pytest.raises(ValueError, match="known number of channels"):
        layer_class(**arguments)(keras.Input((4, 4, None)))
    with pytest.raises(ValueError, match="known number of channels"):
        layer_class(data_format="channels_first", **arguments)(
            keras.Input((None, 4, 4))
        )


@over_data_formats
@over_configurations
def test_refuses_changed_channels(layer_class, arguments, data_format):
    layer = layer_class(data_format=data_format, **arguments)
    layer.build(shape_of(None, (3, 4), 8, data_format))
    with pytest.raises(ValueError, match="built for 8 channels"):
        layer(np.ones(shape_of(1, (3, 4), 16, data_format), "float32"))


@over_configurations
@pytest.mark.parametrize("shape", [(2, 0, 4, 8), (2, 3, 0, 8), (1, 0, 8)])
def test_refuses_an_input_without_positions(layer_class, arguments, shape):
    with pytest.raises(ValueError, match="at least one position"):
        layer_class(**arguments)(np.zeros(shape, "float32"))


@over_configurations
def test_refuses_zero_channels(layer_class, arguments):
    with pytest.raises(ValueError, match="one or more"):
        layer_class(**arguments)(np.zeros((2, 3, 0), "float32"))


def test_refuses_a_mask_that_is_a_list():
    with pytest.raises((TypeError, ValueError), match="`mask`"):
        Plain()(np.ones((1, 2, 8), "float32"), mask=[[True, False]])


def test_output_spec_of_a_layer_that_is_not_built():
    spec = SqueezeExcite().compute_output_spec(keras.KerasTensor((None, 4, 8)))
    assert spec.shape == (None, 4, 8)


@pytest.mark.training
def test_identity_start_can_be_made_while_a_graph_is_traced():
    class Block(keras.layers.Layer):
        def build(self, input_shape):
            self.attention = SqueezeExcite(identity_start=True)
            self.attention.build(input_shape)

        def call(self, inputs):
            return self.attention(inputs)

    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def call(self, inputs):
            return self.block(inputs)

    assert Outer()(keras.Input((4, 4, 8))).shape == (None, 4, 4, 8)


@over_data_formats
@pytest.mark.parametrize(
    "mask_shape", [(2,), (2, 3), (2, 4, 3), (2, 3, 4, 1), (1, 3, 4), (2, 3, 5)]
)
def test_refuses_a_mask_of_another_shape(mask_shape, data_format):
    x = np.ones(shape_of(2, (3, 4), 8, data_format), "float32")
    with pytest.raises(ValueError, match=r"`mask` must have the shape"):
        Plain(data_format=data_format)(x, mask=np.ones(mask_shape, bool))


def test_refuses_a_symbolic_mask_of_another_shape():
    with pytest.raises(ValueError, match=r"`mask` must have the shape"):
        Plain()(keras.Input((3, 4, 8)), mask=keras.Input((4, 3), dtype="bool"))


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("pooling", "mean", ValueError),
        ("pooling", "max+avg", ValueError),
        ("pooling", None, TypeError),
        ("pooling", 1, TypeError),
        ("gate_activation", "gate", ValueError),
        ("gate_activation", 3, ValueError),
        ("identity_start", 1, TypeError),
        ("identity_start", None, TypeError),
        ("identity_start", "yes", TypeError),
        ("data_format", "NCHW", ValueError),
        ("data_format", 1, TypeError),
        ("data_format", float("nan"), TypeError),
    ],
)
@pytest.mark.parametrize(
    "layer_class",
    [
        Plain,
        SqueezeExcite,
        EfficientChannelAttention,
        LinearSqueezeExcite,
        SqueezeGate,
    ],
)
def test_refuses_bad_arguments(layer_class, argument, value, error):
    with pytest.raises(error, match=f"`{argument}`.*Received"):
        layer_class(**{argument: value})


def test_base_class_has_no_formula_of_its_own():
    with pytest.raises(NotImplementedError, match="excite"):
        ChannelAttention()(np.ones((1, 2, 3), "float32"))


@over_configurations
def test_is_found_by_isinstance(layer_class, arguments):
    assert isinstance(layer_class(**arguments), ChannelAttention)
