"""What a layer computes, from its own arguments, by `support.reference`.

One function for each mechanism, from the layer, an input of NumPy with its
channels last, the effective weights by name, and a mask or `None`. It returns
the outputs and the scores.
"""

import numpy as np

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)
from support import reference


def outputs_and_scores(layer, x, weights=None, mask=None):
    """The outputs of a layer, and its scores `(batch, channels)`.

    Args:
        layer: Built attention layer.
        x: Array of its data format.
        weights: Arrays, stored weights. Defaults to those of the layer.
        mask: Boolean array `(batch, *spatial)`. Defaults to `None`.
    """
    if weights is None:
        weights = [array.astype("float64") for array in layer.get_weights()]
    arrays = {
        variable.name: layer.multiplier_of(variable) * array
        for variable, array in zip(layer.weights, weights, strict=True)
    }
    last = reference.channels_last(np.asarray(x, "float64"), layer.data_format)
    y, scores = FORMULAS[type(layer)](layer, last, arrays, mask)
    if layer.data_format == "channels_first":
        y = np.moveaxis(y, -1, 1)
    return y, scores


def _activation(function):
    names = {"silu": "swish", "hard_silu": "hard_swish"}
    name = function.__name__
    return getattr(reference, names.get(name, name))


def _gate(layer, logits):
    gates = _activation(layer.gate_activation)(logits)
    return gates / (0.5 if layer.identity_start else 1)


def _channel_attention(excite):
    def formula(layer, x, weights, mask):
        logits = reference.excited(
            lambda z: excite(layer, z, [*weights.values()]),
            x,
            pooling=layer.pooling,
            mask=mask,
        )
        gates = _gate(layer, logits)
        return reference.rescale(x, gates), gates

    return formula


def _bottleneck(layer, z, weights):
    activation = _activation(layer.activation)
    return reference.bottleneck(z, weights, layer.use_bias, activation)


def _convolution(layer, z, weights):
    convolve = reference.unshared_channel_convolution
    if layer.shared_kernel:
        convolve = reference.channel_convolution
    return convolve(z, weights[0], layer.padding)


def _of_bottleneck(weights):
    names = ("reduce_kernel", "reduce_bias", "expand_kernel", "expand_bias")
    return [weights[name] for name in names if name in weights]


def _statistics(weights):
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    return [weights[name] for name in names]


def _outside(x, mask):
    """The samples, with zeros where the mask is `False`."""
    return x if mask is None else np.where(mask[..., None], x, 0)


def _convolutional_block(layer, x, weights, mask):
    logits = reference.excited(
        lambda z: _bottleneck(layer, z, _of_bottleneck(weights)),
        x,
        pooling="avg_max_separate",
        mask=mask,
    )
    scores = _gate(layer, logits)
    x = reference.rescale(x, scores)
    seen = _outside(x, mask)
    maps = np.stack([seen.mean(axis=-1), seen.max(axis=-1)], axis=-1)
    logits = np.stack(
        [
            reference.spatial_convolution(sample, weights["spatial_kernel"])
            for sample in maps
        ]
    )
    if layer.batch_normalization:
        logits = reference.normalized(logits, *_statistics(weights))
    return x * _gate(layer, logits)[..., None], scores


def _concurrent(layer, x, weights, mask):
    bias = weights.get("spatial_bias", 0)
    logits = x @ weights["spatial_kernel"] + bias
    spatial = x * _gate(layer, logits)
    if layer.combination == "spatial":
        return spatial, np.ones((len(x), x.shape[-1]))
    z = reference.squeeze(x, mask=mask)
    scores = _gate(layer, _bottleneck(layer, z, _of_bottleneck(weights)))
    channels = reference.rescale(x, scores)
    if layer.combination == "max":
        return np.maximum(channels, spatial), scores
    total = channels + spatial
    return total / (2 if layer.identity_start else 1), scores


def _coordinate(layer, x, weights, mask):
    y, scores = np.zeros_like(x), np.ones((len(x), x.shape[-1]))
    for sample, values in enumerate(x):
        kept = None if mask is None else mask[sample]
        y[sample] = values
        means = reference.position_means(values, kept)
        for axis, mean in enumerate(means):
            hidden = mean @ weights["reduce_kernel"]
            hidden = hidden + weights.get("reduce_bias", 0)
            if layer.batch_normalization:
                hidden = reference.normalized(hidden, *_statistics(weights))
            hidden = _activation(layer.activation)(hidden)
            logits = hidden @ weights[f"expand_kernel_{axis}"]
            logits = logits + weights.get(f"expand_bias_{axis}", 0)
            gates = _gate(layer, logits)
            shape = [1] * values.ndim
            shape[axis], shape[-1] = gates.shape
            y[sample] *= gates.reshape(shape)
            others = tuple(a for a in range(len(means)) if a != axis)
            valid = slice(None) if kept is None else kept.any(axis=others)
            scores[sample] *= gates[valid].mean(axis=0)
    return y, scores


def _global_context(layer, x, weights, mask):
    bias = weights.get("context_bias", 0)
    z, _ = reference.softmax_pooling(x, weights["context_kernel"], bias, mask)

    def activation(hidden):
        mean = hidden.mean(axis=-1, keepdims=True)
        variance = hidden.var(axis=-1, keepdims=True)
        numbers = weights["gamma"], weights["beta"], mean, variance, 1e-6
        return _activation(layer.activation)(
            reference.normalized(hidden, *numbers)
        )

    terms = reference.bottleneck(
        z, _of_bottleneck(weights), layer.use_bias, activation
    )
    if layer.fuse == "scale":
        scores = _gate(layer, terms)
        return reference.rescale(x, scores), scores
    return x + terms.reshape(len(x), *[1] * (x.ndim - 2), -1), terms


FORMULAS = {
    SqueezeExcite: _channel_attention(_bottleneck),
    EfficientChannelAttention: _channel_attention(_convolution),
    LinearSqueezeExcite: _channel_attention(
        lambda layer, z, weights: reference.grouped_linear(
            z, weights, layer.groups
        )
    ),
    SqueezeGate: _channel_attention(lambda layer, z, weights: z),
    ConvolutionalBlockAttention: _convolutional_block,
    ConcurrentSqueezeExcite: _concurrent,
    CoordinateAttention: _coordinate,
    GlobalContext: _global_context,
}
