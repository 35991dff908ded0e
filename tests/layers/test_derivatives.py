"""First derivatives against the reference, second ones in float64."""

import numpy as np
import pytest
from support.autodiff import finite_differences, outputs_and_gradients
from support.configurations import (
    built,
    over,
    over_configurations_and_formats,
    shape_of,
)
from support.formulas import outputs_and_scores

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

pytestmark = pytest.mark.training


@over_configurations_and_formats
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_input_and_weights(
    rng, layer_class, arguments, data_format, masked
):
    layer = built(layer_class, arguments, data_format=data_format)
    x = rng.normal(size=shape_of(2, (2, 3), 8, data_format))
    mask = rng.random((2, 2, 3)) < 0.7 if masked else None
    upstream = rng.normal(size=x.shape)
    call_arguments = {} if mask is None else {"mask": mask}
    _, dx, dws = outputs_and_gradients(
        layer, x.astype("float32"), upstream.astype("float32"), **call_arguments
    )
    weights = [w.astype("float64") for w in layer.get_weights()]
    expected_dx, *expected_dws = finite_differences(
        lambda: (
            upstream * outputs_and_scores(layer, x, weights, mask)[0]
        ).sum(),
        [x, *weights[: len(dws)]],
    )
    np.testing.assert_allclose(dx, expected_dx, rtol=2e-4, atol=2e-5)
    for dw, expected in zip(dws, expected_dws, strict=True):
        np.testing.assert_allclose(dw, expected, rtol=2e-4, atol=2e-5)


# Smooth everywhere, so that differences of any order exist.
SMOOTH = {
    "se": (
        SqueezeExcite,
        {"reduction": 4, "activation": "swish", "use_bias": True},
    ),
    "se_identity": (
        SqueezeExcite,
        {"reduction": 4, "activation": "swish", "identity_start": True},
    ),
    "eca": (EfficientChannelAttention, {"kernel_size": 3}),
    "eca_circular": (
        EfficientChannelAttention,
        {"kernel_size": 5, "padding": "circular"},
    ),
    "eca_ns": (
        EfficientChannelAttention,
        {"kernel_size": 3, "shared_kernel": False},
    ),
    "eca_ns_circular": (
        EfficientChannelAttention,
        {"kernel_size": 5, "padding": "circular", "shared_kernel": False},
    ),
    "linear": (LinearSqueezeExcite, {"use_bias": True}),
    "linear_groups": (LinearSqueezeExcite, {"groups": 2}),
    "linear_diagonal": (LinearSqueezeExcite, {"groups": 4, "use_bias": True}),
    "gate": (SqueezeGate, {}),
}
over_smooth = over(SMOOTH)
# A mask and a data format change only the squeeze. Each of their values occurs
# with each mechanism; all four pairs are in the test of the gradients above.
over_formats_and_masks = pytest.mark.parametrize(
    ("data_format", "masked"),
    [("channels_last", False), ("channels_first", True)],
)


@pytest.mark.backend("torch")
@over_formats_and_masks
@over_smooth
def test_torch_gradcheck(rng, layer_class, arguments, data_format, masked):
    import torch
    from keras import ops

    layer = built(
        layer_class, arguments, 4, data_format=data_format, dtype="float64"
    )
    shape = shape_of(2, (2, 3), 4, data_format)
    x = ops.convert_to_tensor(rng.normal(size=shape), "float64")
    mask = None
    if masked:
        mask = ops.convert_to_tensor(rng.random((2, 2, 3)) < 0.7)
    weights = [weight.value for weight in layer.weights]
    inputs = (x.requires_grad_(), *weights)

    def function(x, *_):
        # The weights are perturbed in place, the layer sees that.
        return layer(x, mask=mask)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.backend("jax")
@over_formats_and_masks
@over_smooth
def test_jax_check_grads(rng, layer_class, arguments, data_format, masked):
    import jax
    import jax.numpy as jnp
    from jax.test_util import check_grads

    with jax.enable_x64(True):
        layer = built(
            layer_class, arguments, 4, data_format=data_format, dtype="float64"
        )
        shape = shape_of(2, (2, 3), 4, data_format)
        x = jnp.asarray(rng.normal(size=shape))
        mask = jnp.asarray(rng.random((2, 2, 3)) < 0.7) if masked else None
        weights = [weight.value for weight in layer.weights]
        assert {array.dtype for array in (x, *weights)} == {x.dtype}
        assert x.dtype == jnp.float64

        def function(x, weights):
            return layer.stateless_call(weights, [], x, mask=mask)[0]

        check_grads(function, (x, weights), order=2, modes=["rev"])


@pytest.mark.backend("tensorflow")
@over_formats_and_masks
@over_smooth
def test_tensorflow_second_derivatives(
    rng, layer_class, arguments, data_format, masked
):
    import tensorflow as tf

    layer = built(
        layer_class, arguments, 4, data_format=data_format, dtype="float64"
    )
    shape = shape_of(2, (2, 3), 4, data_format)
    mask = tf.constant(rng.random((2, 2, 3)) < 0.7) if masked else None
    upstream = tf.constant(rng.normal(size=shape))

    # As graphs, which take a fraction of the time for some hundred calls.
    @tf.function
    def function(x):
        return layer(x, mask=mask)

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(function(x) * upstream)
        return tape.gradient(loss, x)

    x = [rng.normal(size=shape)]
    for differentiated in (function, gradient):
        theory, numeric = tf.test.compute_gradient(differentiated, x, 1e-6)
        np.testing.assert_allclose(theory[0], numeric[0], atol=1e-6)
