"""Attention layers on torch: ours, the peers, and a lower bound."""

import keras
import torch
from timm.layers import EcaModule, GlobalContext, SEModule
from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn
from timm.layers.squeeze_excite import SqueezeExciteCl
from torch import nn
from torchvision.ops import SqueezeExcitation

from benchmarks import spatial
from benchmarks.variants import variants
from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    backend,
)

REDUCTION = 16
MODES = ("eager", "compiled")
BASELINES = {
    "SE": ("timm SEModule", "timm SqueezeExciteCl", "torchvision SE"),
    "ECA": ("timm EcaModule",),
    "CBAM": ("timm CbamModule",),
    "scSE": ("Keras layers, scSE",),
    "coordinate": ("timm CoordAttn",),
    "context": ("timm GlobalContext",),
}


class Empty(keras.layers.Layer):
    """A layer that does nothing. Its time is the overhead of the call."""

    def call(self, inputs):
        return inputs


class KerasLayers(keras.layers.Layer):
    """SE as most tutorials write it: a layer that consists of Keras layers."""

    def build(self, input_shape):
        units = input_shape[-1] // REDUCTION
        self.pool = keras.layers.GlobalAveragePooling2D(keepdims=True)
        self.reduce = keras.layers.Dense(units, activation="relu")
        self.expand = keras.layers.Dense(input_shape[-1], activation="sigmoid")

    def call(self, inputs):
        return inputs * self.expand(self.reduce(self.pool(inputs)))


class SqueezeExciteWithoutKeras(nn.Module):
    """The computation of our SE in a `torch.nn.Module`."""

    def __init__(self, channels, units):
        super().__init__()
        shapes = (channels, units), (units,), (units, channels), (channels,)
        self.weights = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(shape)) for shape in shapes
        )

    def forward(self, inputs):
        def gates(descriptor):
            logits = backend.bottleneck(
                descriptor, *self.weights, keras.activations.relu
            )
            return torch.sigmoid(logits)

        return backend.attend(inputs, gates, "channels_last")[0]


class Floor(torch.autograd.Function):
    """Lower bound: the passes over the input that every layer needs.

    The forward pass has one mean and one product, the backward pass one sum and
    one fused multiply-add.
    """

    @staticmethod
    def forward(ctx, inputs):
        scores = inputs.mean((1, 2), keepdim=True)
        ctx.save_for_backward(inputs, scores)
        return inputs * scores

    @staticmethod
    def backward(ctx, gradient):
        inputs, scores = ctx.saved_tensors
        sums = (gradient * inputs).sum((1, 2), keepdim=True)
        return torch.addcmul(sums, gradient, scores)


def layers(shape):
    """Dictionary from a name to (callable, data format)."""
    channels = shape[-1]
    units = channels // REDUCTION
    bias = {"reduction": REDUCTION, "use_bias": True}
    last = {"data_format": "channels_last"}
    first = {"data_format": "channels_first"}
    return {
        **{
            name: (layer, "channels_last")
            for name, layer in {
                **variants(channels, REDUCTION),
                **spatial.ours(channels, REDUCTION),
                **spatial.keras_layers(channels, REDUCTION),
            }.items()
        },
        "ours SE": (SqueezeExcite(**bias, **last), "channels_last"),
        "ours ECA": (EfficientChannelAttention(**last), "channels_last"),
        "ours SE, first": (SqueezeExcite(**bias, **first), "channels_first"),
        "ours ECA, first": (
            EfficientChannelAttention(**first),
            "channels_first",
        ),
        "timm SEModule": (
            SEModule(channels, rd_channels=units),
            "channels_first",
        ),
        "timm SqueezeExciteCl": (
            SqueezeExciteCl(channels, rd_channels=units),
            "channels_last",
        ),
        "torchvision SE": (
            SqueezeExcitation(channels, units),
            "channels_first",
        ),
        "timm EcaModule": (EcaModule(channels), "channels_first"),
        "timm CbamModule": (
            CbamModule(channels, rd_channels=units),
            "channels_first",
        ),
        "timm CoordAttn": (
            CoordAttn(channels, rd_channels=units),
            "channels_first",
        ),
        "timm GlobalContext": (
            GlobalContext(channels, rd_channels=units),
            "channels_first",
        ),
        "ours SE without Keras": (
            SqueezeExciteWithoutKeras(channels, units),
            "channels_last",
        ),
        "Keras layers": (KerasLayers(), "channels_last"),
        "empty Keras layer": (Empty(), "channels_last"),
        "floor": (Floor.apply, "channels_last"),
    }


def tensor(shape, data_format):
    if data_format == "channels_first":
        shape = (shape[0], shape[-1], *shape[1:-1])
    return torch.randn(shape)


def prepare(contestant, shape, mode):
    """The built layer, compiled if `mode` is `"compiled"`, and an input."""
    layer, data_format = contestant
    x = tensor(shape, data_format)
    layer(x)
    if mode == "compiled":
        # All Keras layers share one `__call__`, which is compiled for each.
        torch._dynamo.config.recompile_limit = 256
        # For each shape a program of its own. Programs may be in parts: torch
        # does not compile all of Keras' batch normalization.
        layer = torch.compile(layer, dynamic=False)
    return layer, x


def forward(contestant, shape, mode):
    layer, x = prepare(contestant, shape, mode)

    def run():
        with torch.no_grad():
            layer(x)

    return run


def training(contestant, shape, mode):
    layer, x = prepare(contestant, shape, mode)
    x.requires_grad_()
    upstream = torch.randn_like(x)
    weights = []
    if isinstance(contestant[0], nn.Module):
        weights = [
            weight
            for weight in contestant[0].parameters()
            if weight.requires_grad
        ]

    trained = spatial.in_training(layer)

    def run():
        torch.autograd.grad(trained(x), [x, *weights], upstream)

    return run
