"""Every precision: dtypes, overflow, and mixed policies."""

import keras
import numpy as np
import pytest
from keras import ops
from support.autodiff import outputs_and_gradients
from support.configurations import (
    CONFIGURATIONS,
    WITH_WEIGHTS,
    built,
    over,
    over_configurations,
    over_data_formats,
    shape_of,
)

from keras_channel_attn import SqueezeExcite

BACKEND = keras.config.backend()

# policy: (dtype of the output, dtype of the weights, tolerance)
POLICIES = {
    "float16": ("float16", "float16", 4e-3),
    "bfloat16": ("bfloat16", "bfloat16", 3e-2),
    "mixed_float16": ("float16", "float32", 4e-3),
    "mixed_bfloat16": ("bfloat16", "float32", 3e-2),
    "float32": ("float32", "float32", 1e-5),
    "float64": ("float64", "float64", 1e-12),
}
if BACKEND in ("jax", "openvino"):
    # OpenVINO computes float64 in float32, and so does JAX unless it is told
    # not to: see test_float64_on_jax.
    del POLICIES["float64"]

over_policies = pytest.mark.parametrize("policy", POLICIES)
# A mask changes only the squeeze, so that one mechanism meets it with each
# pooling.
SQUEEZES = {
    pooling: (SqueezeExcite, {"reduction": 2, "pooling": pooling})
    for pooling in ("avg", "max", "avg_max_mean", "avg_max_separate")
}
# They compare products: rounded, another one may be the largest.
WITH_TIES = ("cbam", "cbam_normalized", "scse_max_multiplier")


def over_configurations_and_squeezes(left_out=()):
    return pytest.mark.parametrize(
        ("layer_class", "arguments", "masked"),
        [
            pytest.param(*row, masked, id=f"{name}-{masked}")
            for masked, table in [(False, CONFIGURATIONS), (True, SQUEEZES)]
            for name, row in table.items()
            if name not in left_out
        ],
    )


over_masks = over_configurations_and_squeezes()
over_masks_without_ties = over_configurations_and_squeezes(WITH_TIES)


def as_float64(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32")).astype("float64")


@over_policies
@over_masks
def test_dtypes_and_values(rng, layer_class, arguments, masked, policy):
    compute, variable, tolerance = POLICIES[policy]
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    mask = rng.random((2, 3, 4)) < 0.7 if masked else None
    layer = built(layer_class, arguments, dtype=policy)
    exact = built(layer_class, arguments, dtype="float32")
    y, scores = layer(x, mask=mask, return_attention_scores=True)
    for tensor in (y, scores):
        assert keras.backend.standardize_dtype(tensor.dtype) == compute
    for weight in layer.weights:
        assert keras.backend.standardize_dtype(weight.dtype) == variable
    np.testing.assert_allclose(
        as_float64(y),
        as_float64(exact(x, mask=mask)),
        rtol=max(tolerance, 1e-5),
        atol=max(tolerance, 1e-6),
    )


@over_policies
@over_configurations
def test_symbolic_dtype(layer_class, arguments, policy):
    compute = POLICIES[policy][0]
    layer = layer_class(dtype=policy, **arguments)
    outputs = layer(keras.Input((4, 4, 8)), return_attention_scores=True)
    assert [tensor.dtype for tensor in outputs] == [compute, compute]


@over_data_formats
@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
@pytest.mark.parametrize("masked", [False, True])
@over(SQUEEZES)
def test_large_float16_maps_do_not_overflow(
    layer_class, arguments, policy, data_format, masked
):
    """12,544 positions of 60 add up to eleven times the largest float16.

    Only the squeeze adds up positions: one mechanism stands for all.
    """
    shape = shape_of(1, (112, 112), 16, data_format)
    x = np.full(shape, 60, "float16")
    few = np.full(shape_of(1, (2, 2), 16, data_format), 60, "float16")
    mask = np.ones((1, 112, 112), bool) if masked else None
    layer = layer_class(dtype=policy, data_format=data_format, **arguments)
    layer.build(shape)
    layer.set_weights([np.full(w.shape, 1e-3) for w in layer.get_weights()])
    y, scores = layer(x, mask=mask, return_attention_scores=True)
    _, expected = layer(few, return_attention_scores=True)
    assert np.isfinite(ops.convert_to_numpy(y)).all()
    np.testing.assert_array_equal(
        ops.convert_to_numpy(scores), ops.convert_to_numpy(expected)
    )


# Each mechanism has to give zeros in each precision. Zeros being equal, one
# mechanism stands for all with the other gates.
@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16"])
@over(
    {
        **WITH_WEIGHTS,
        **{
            gate: (SqueezeExcite, {"reduction": 4, "gate_activation": gate})
            for gate in ("hard_sigmoid", "softplus")
        },
    }
)
def test_identity_start_is_exact(rng, layer_class, arguments, policy):
    x = ops.cast(rng.normal(size=(2, 3, 4, 8)), POLICIES[policy][0])
    arguments = {**arguments, "identity_start": True}
    layer = layer_class(dtype=policy, **arguments)
    np.testing.assert_array_equal(as_float64(layer(x)), as_float64(x))


@pytest.mark.training
@over_masks_without_ties
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_gradients_under_mixed_precision(
    rng, layer_class, arguments, masked, policy
):
    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    upstream = rng.normal(size=x.shape).astype("float32")
    call_arguments = {}
    if masked:
        call_arguments["mask"] = rng.random((2, 3, 4)) < 0.7
    results = []
    for dtype in (policy, "float32"):
        layer = built(layer_class, arguments, dtype=dtype)
        _, dx, dws = outputs_and_gradients(layer, x, upstream, **call_arguments)
        results.append([dx, *dws])
    for mixed, exact in zip(*results, strict=True):
        assert mixed.dtype == np.float32
        # The gradient of a bias before a softmax is zero.
        scale = max(np.abs(exact).max(), 0.1)
        tolerance = {"mixed_float16": 0.04, "mixed_bfloat16": 0.06}[policy]
        np.testing.assert_allclose(mixed, exact, atol=tolerance * scale)


@over_configurations
def test_inputs_of_another_dtype_are_cast(rng, layer_class, arguments):
    x = rng.normal(size=(2, 3, 4, 8))
    layer = layer_class(dtype="float32", **arguments)
    for dtype in ("float16", "float64"):
        y = layer(x.astype(dtype))
        assert keras.backend.standardize_dtype(y.dtype) == "float32"


@over_configurations
def test_without_autocast_the_output_has_the_compute_dtype(
    rng, layer_class, arguments
):
    x = ops.cast(rng.normal(size=(2, 3, 4, 8)), "float16")
    layer = layer_class(dtype="float32", autocast=False, **arguments)
    assert keras.backend.standardize_dtype(layer(x).dtype) == "float32"


@pytest.mark.backend("jax")
@over_configurations
def test_float64_on_jax(rng, layer_class, arguments):
    import jax

    x = rng.normal(size=(2, 3, 4, 8))
    with jax.enable_x64(True):
        layer = layer_class(dtype="float64", **arguments)
        y = layer(jax.numpy.asarray(x))
        assert y.dtype == jax.numpy.float64
