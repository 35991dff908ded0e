"""What `benchmarks.gpu` times on torch, in eager mode."""

import torch
from timm.layers import EcaModule, SEModule
from timm.layers.squeeze_excite import SqueezeExciteCl

from benchmarks.gpu import CALLS, COPY
from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

REDUCTION = 16
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PEERS = {
    "channels_last": (SqueezeExciteCl,),
    "channels_first": (SEModule, EcaModule),
}


def device():
    is_gpu = torch.cuda.is_available()
    return f"gpu {torch.cuda.get_device_name()}" if is_gpu else "cpu"


def functions(shape, dtype):
    """From (layer, data format, step) to what is timed."""
    inputs = {
        "channels_last": random(shape, dtype),
        "channels_first": random((shape[0], shape[-1], *shape[1:-1]), dtype),
    }
    source = inputs["channels_last"]
    target = torch.empty_like(source)
    found = {COPY: repeated(lambda: target.copy_(source))}
    for data_format, x in inputs.items():
        for name, layer in layers(shape[-1], data_format, dtype).items():
            found[name, data_format, "forward"] = forward(layer, x)
            found[name, data_format, "training"] = training(layer, x)
    return found


def random(shape, dtype):
    return torch.randn(shape, dtype=getattr(torch, dtype), device=DEVICE)


def layers(channels, data_format, dtype):
    options = {"data_format": data_format, "dtype": dtype}
    found = {
        "ours SE": SqueezeExcite(REDUCTION, use_bias=True, **options),
        "ours ECA": EfficientChannelAttention(**options),
    }
    for peer in PEERS[data_format]:
        width = {"rd_channels": channels // REDUCTION}
        module = peer(channels, **({} if peer is EcaModule else width))
        module = module.to(device=DEVICE, dtype=getattr(torch, dtype))
        found[f"timm {peer.__name__}"] = module
    return found


def forward(layer, x):
    @torch.no_grad()
    def run():
        layer(x)

    return repeated(run)


def training(layer, x):
    layer(x)
    x = x.detach().requires_grad_()
    upstream = torch.randn_like(x)
    weights = [w for w in layer.parameters() if w.requires_grad]
    return repeated(
        lambda: torch.autograd.grad(layer(x), [x, *weights], upstream)
    )


def repeated(function):
    def run():
        for _ in range(CALLS):
            function()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    return run
