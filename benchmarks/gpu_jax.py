"""What `benchmarks.gpu` times on JAX, compiled."""

import jax

from benchmarks.gpu import CALLS, COPY
from benchmarks.jax_layers import REDUCTION, squeeze_excite, stateless
from keras_channel_attn import EfficientChannelAttention, SqueezeExcite


def device():
    found = jax.devices()[0]
    return " ".join(dict.fromkeys((found.platform, found.device_kind)))


def functions(shape, dtype):
    """From (layer, data format, step) to what is timed."""
    x = random(shape, dtype)
    # Returned as it is, the input would not be copied.
    found = {COPY: repeated(jax.jit(lambda x: -x), x)}
    for data_format in ("channels_last", "channels_first"):
        if data_format == "channels_first":
            shape = (shape[0], shape[-1], *shape[1:-1])
            x = random(shape, dtype)
        upstream = random(shape, dtype)
        for name, (weights, layer) in layers(shape, data_format, dtype).items():
            found[name, data_format, "forward"] = repeated(
                jax.jit(layer), weights, x
            )
            found[name, data_format, "training"] = repeated(
                jax.jit(training(layer)), weights, x, upstream
            )
    return found


def random(shape, dtype):
    return jax.random.normal(jax.random.key(0), shape, dtype)


def layers(shape, data_format, dtype):
    """Dictionary from a name to weights and a function of them and an input."""
    options = {"data_format": data_format, "dtype": dtype}
    se = SqueezeExcite(REDUCTION, use_bias=True, **options)
    found = {
        "ours SE": stateless(se, shape),
        "ours ECA": stateless(EfficientChannelAttention(**options), shape),
    }
    if data_format == "channels_last":
        found["jax.numpy SE"] = (found["ours SE"][0], squeeze_excite)
    return found


def training(layer):
    def step(weights, x, upstream):
        y, gradients = jax.vjp(layer, weights, x)
        return y, gradients(upstream)

    return step


def repeated(function, *arguments):
    def run():
        for _ in range(CALLS):
            results = function(*arguments)
        jax.block_until_ready(results)

    return run
