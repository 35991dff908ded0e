"""With `identity_start` a layer returns its input exactly until trained."""

import keras
import numpy as np
import pytest
from keras import ops
from support.configurations import (
    OF_CHANNELS,
    WITH_WEIGHTS,
    Plain,
    over,
    over_those_with_weights,
    randomize,
)

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
)


@over_those_with_weights
def test_is_exact(rng, layer_class, arguments):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    layer = layer_class(**{**arguments, "identity_start": True})
    y, scores = layer(x, return_attention_scores=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), x)
    is_added = getattr(layer, "fuse", None) == "add"
    np.testing.assert_array_equal(
        ops.convert_to_numpy(scores), 0.0 if is_added else 1.0
    )


@pytest.mark.parametrize(
    "gate", ["sigmoid", "hard_sigmoid", "softplus", ops.exp]
)
@over(
    {
        "se": (SqueezeExcite, {"reduction": 4}),
        "eca": (EfficientChannelAttention, {}),
        "linear": (LinearSqueezeExcite, {}),
    }
)
def test_is_exact_with_any_gate(rng, layer_class, arguments, gate):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    layer = layer_class(gate_activation=gate, identity_start=True, **arguments)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)


@pytest.mark.parametrize(
    "initializer", ["ones", "random_normal", keras.initializers.Constant(3)]
)
@over(
    {
        "se": (SqueezeExcite, {"reduction": 4}),
        "linear": (LinearSqueezeExcite, {}),
    }
)
def test_overrules_initializers(rng, layer_class, arguments, initializer):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    layer = layer_class(
        identity_start=True,
        use_bias=True,
        kernel_initializer=initializer,
        bias_initializer=initializer,
        **arguments,
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)


@over(
    {name: WITH_WEIGHTS[name] for name in WITH_WEIGHTS if name in OF_CHANNELS}
)
def test_divides_the_gates_by_gate_at_zero(rng, layer_class, arguments):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    arguments = {**arguments, "learning_rate_multiplier": 1}
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
def test_refuses_a_gate_that_is_zero_at_zero_or_not_elementwise(gate):
    with pytest.raises(ValueError, match="gate_activation"):
        Plain(gate_activation=gate, identity_start=True)


@pytest.mark.training
def test_layer_can_be_created_while_a_graph_is_traced():
    class Block(keras.layers.Layer):
        def build(self, input_shape):
            self.attention = SqueezeExcite(4, identity_start=True)
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


@pytest.mark.training
@over(
    {
        "se": (SqueezeExcite, {}),
        "eca": (EfficientChannelAttention, {}),
        "eca_ns": (EfficientChannelAttention, {"shared_kernel": False}),
        "linear": (LinearSqueezeExcite, {}),
        "linear_groups": (LinearSqueezeExcite, {"groups": 4}),
        "linear_diagonal": (LinearSqueezeExcite, {"groups": 32}),
    }
)
def test_can_learn(rng, layer_class, arguments):
    layer = layer_class(**arguments, identity_start=True)
    x = rng.normal(size=(4, 3, 3, 32)).astype("float32")
    model = keras.Sequential([keras.Input((3, 3, 32)), layer])
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    before = layer.get_weights()[-1]
    assert not before.any()
    target = 2 * x
    history = model.fit(x, target, epochs=5, verbose=0)
    assert layer.get_weights()[-1].any()
    assert history.history["loss"][-1] < history.history["loss"][0]
