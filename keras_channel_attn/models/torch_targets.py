"""Under which names, and in which order of axes, torch keeps each weight.

Loading a checkpoint and saving one both read this.
"""

from collections.abc import Iterable
from typing import Any

import keras

from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.layers.torch_arrays import (
    Arrange,
    TorchWeights,
    depthwise_kernel_from_torch,
    gain_from_torch,
    kernel_from_torch,
    linear_from_torch,
    vector_from_torch,
)
from keras_channel_attn.models.layer_names import torch_module_name
from keras_channel_attn.models.scaled_convolution import (
    ScaledStandardizedConv2D,
)

# As `TorchWeights`, and the number that the stored weight is divided by.
Targets = dict[str, tuple[Any, Arrange, float]]

_KERNELS: dict[type[keras.layers.Layer], Arrange] = {
    keras.layers.Conv2D: kernel_from_torch,
    keras.layers.DepthwiseConv2D: depthwise_kernel_from_torch,
    keras.layers.Dense: linear_from_torch,
}


def targets_of_network(layers: Iterable[tuple[str, Any]]) -> Targets:
    """What each weight of a network is in torch.

    Args:
        layers: Pairs of the name that a layer has in networks of this package,
            and the layer.
    """
    return {
        f"{torch_module_name(layer_name)}.{name}": target
        for layer_name, layer in layers
        if layer.weights
        for name, target in _targets_in_network(layer).items()
    }


def targets_of_layer(layer: Any) -> Targets:
    """What each weight of a single attention layer is in torch."""
    if not _has_torch_weights(layer):
        raise TypeError(
            "`model` must be a network of `keras_channel_attn.models`, or a "
            "layer: SqueezeExcite, another attention layer with weights, or "
            "one of a class that implements `torch_weights` for its "
            "`build_excitation`. "
            f"Received: model={layer!r} (of type {type(layer).__name__})."
        )
    if not layer.built:
        raise ValueError(
            f"The layer '{layer.name}' has no weights yet. Call its `build` "
            "with an input shape first."
        )
    return _with_multipliers(layer, layer.torch_weights())


def _targets_in_network(layer: Any) -> Targets:
    if _has_torch_weights(layer):
        return targets_of_layer(layer)
    if isinstance(layer, keras.Model):
        raise TypeError(
            "`load_torch_weights` loads one network, without models around it. "
            f"Received: a model that holds '{layer.name}'. If that is the "
            f"network, pass `model.get_layer({layer.name!r})`."
        )
    return _with_multipliers(layer, _torch_weights(layer))


def _torch_weights(layer: Any) -> TorchWeights:
    """As `torch_weights` of an attention layer, for all other layers."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return {
            "weight": (layer.gamma, vector_from_torch),
            "bias": (layer.beta, vector_from_torch),
            "running_mean": (layer.moving_mean, vector_from_torch),
            "running_var": (layer.moving_variance, vector_from_torch),
        }
    for kind, arrange in _KERNELS.items():
        if isinstance(layer, kind):
            weights: TorchWeights = {
                "weight": (layer.kernel, arrange),
                "bias": (layer.bias, vector_from_torch),
            }
            if isinstance(layer, ScaledStandardizedConv2D):
                weights["gain"] = (layer.gain, gain_from_torch)
            return weights
    raise TypeError(
        f"`load_torch_weights` does not support the layer '{layer.name}' "
        f"(of type {type(layer).__name__}). It loads the networks of "
        "`keras_channel_attn.models`, and channel attention whose class "
        "implements `torch_weights` for its `build_excitation`."
    )


def _with_multipliers(layer: Any, weights: TorchWeights) -> Targets:
    multiplier_of = getattr(layer, "multiplier_of", lambda weight: 1)
    return {
        name: (weight, arrange, multiplier_of(weight))
        for name, (weight, arrange) in weights.items()
        if weight is not None
    }


def _has_torch_weights(layer: Any) -> bool:
    return isinstance(layer, AttentionLayer) and layer.is_described(
        "build_excitation", by="torch_weights"
    )
