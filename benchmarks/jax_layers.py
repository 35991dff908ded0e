"""Attention layers on JAX, compiled: ours, and SE written in `jax.numpy`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import spatial
from benchmarks.variants import variants
from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

REDUCTION = 16
MODES = ("jit",)
BASELINES = {
    "SE": ("jax.numpy SE",),
    "ECA": (),
    **{name: (f"Keras layers, {name}",) for name in spatial.NAMES},
}


def squeeze_excite(weights, x):
    w1, b1, w2, b2 = weights
    z = x.mean((1, 2))
    gates = jax.nn.sigmoid(jax.nn.relu(z @ w1 + b1) @ w2 + b2)
    return x * gates[:, None, None]


def floor(_, x):
    return x * x.mean((1, 2), keepdims=True)


def stateless(layer, shape):
    """The weights, and a function of the weights and the input."""
    layer(jnp.zeros((1, *shape[1:])))
    weights = [weight.value for weight in layer.trainable_weights]
    state = [weight.value for weight in layer.non_trainable_weights]

    def call(weights, x):
        return layer.stateless_call(weights, state, x)[0]

    def trained(weights, x, training):
        return layer.stateless_call(weights, state, x, training=training)[0]

    is_spatial = spatial.in_training(layer) is not layer
    return weights, trained if is_spatial else call


def layers(shape):
    """Dictionary from a name to (weights, function, data format)."""
    channels = shape[-1]
    first = (shape[0], channels, *shape[1:-1])
    bias = {"reduction": REDUCTION, "use_bias": True}
    ours = {}
    for data_format, input_shape, suffix in (
        ("channels_last", shape, ""),
        ("channels_first", first, ", first"),
    ):
        se = SqueezeExcite(**bias, data_format=data_format)
        eca = EfficientChannelAttention(data_format=data_format)
        ours[f"ours SE{suffix}"] = (*stateless(se, input_shape), data_format)
        ours[f"ours ECA{suffix}"] = (*stateless(eca, input_shape), data_format)
    for name, layer in {
        **variants(channels, REDUCTION),
        **spatial.ours(channels, REDUCTION),
        **spatial.keras_layers(channels, REDUCTION),
    }.items():
        ours[name] = (*stateless(layer, shape), "channels_last")
    return {
        **ours,
        "jax.numpy SE": (ours["ours SE"][0], squeeze_excite, "channels_last"),
        "floor": ([], floor, "channels_last"),
    }


def tensor(shape, data_format):
    if data_format == "channels_first":
        shape = (shape[0], shape[-1], *shape[1:-1])
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=shape), "float32")


def forward(contestant, shape, mode):
    weights, function, data_format = contestant
    x = tensor(shape, data_format)
    if spatial.in_training(function) is not function:
        function = functools.partial(function, training=False)
    compiled = jax.jit(function)
    return lambda: compiled(weights, x).block_until_ready()


def training(contestant, shape, mode):
    weights, function, data_format = contestant
    x = tensor(shape, data_format)
    upstream = tensor(shape, data_format)
    trained = spatial.in_training(function)

    @jax.jit
    def step(weights, x, upstream):
        y, gradients = jax.vjp(trained, weights, x)
        return y, gradients(upstream)

    return lambda: jax.block_until_ready(step(weights, x, upstream))
