"""Outputs and gradients of a layer on whichever backend runs the tests."""

import keras
import numpy as np
from keras import ops


def outputs_and_gradients(layer, x, upstream, **call_arguments):
    """`(y, dx, [dw, ...])` of sum(y * upstream), as NumPy arrays."""
    run = {"tensorflow": _tensorflow, "torch": _torch, "jax": _jax}
    results = run[keras.config.backend()](layer, x, upstream, call_arguments)
    y, dx, dws = results
    return (
        ops.convert_to_numpy(y),
        ops.convert_to_numpy(dx),
        [ops.convert_to_numpy(dw) for dw in dws],
    )


def _tensorflow(layer, x, upstream, call_arguments):
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **call_arguments)
        loss = tf.reduce_sum(y * tf.cast(upstream, y.dtype))
    weights = [weight.value for weight in layer.trainable_weights]
    dx, dws = tape.gradient(loss, (x, weights))
    return y, dx, dws


def _torch(layer, x, upstream, call_arguments):
    import torch

    x = ops.convert_to_tensor(x).requires_grad_()
    y = layer(x, **call_arguments)
    weights = [weight.value for weight in layer.trainable_weights]
    dx, *dws = torch.autograd.grad(
        (y * ops.convert_to_tensor(upstream, y.dtype)).sum(), [x, *weights]
    )
    return y.detach(), dx, dws


def _jax(layer, x, upstream, call_arguments):
    import jax
    import jax.numpy as jnp

    state = [variable.value for variable in layer.non_trainable_variables]

    def loss(x, weights):
        y, _ = layer.stateless_call(weights, state, x, **call_arguments)
        return jnp.sum(y * jnp.asarray(upstream, y.dtype)), y

    weights = [weight.value for weight in layer.trainable_weights]
    (_, y), (dx, dws) = jax.value_and_grad(loss, (0, 1), has_aux=True)(
        jnp.asarray(x), weights
    )
    return y, dx, dws


def finite_differences(function, arrays, step=1e-6):
    """Central differences of a scalar function of float64 NumPy arrays."""
    gradients = []
    for array in arrays:
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = function()
            array[index] = kept - step
            below = function()
            array[index] = kept
            gradient[index] = (above - below) / (2 * step)
        gradients.append(gradient)
    return gradients
