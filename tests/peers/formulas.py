"""The peers that are not installed, each written afresh from its rule.

Their weights have the layout of the original: that is part of the rule.
"""

import torch
from support.reference import make_divisible
from torch import nn
from torch.nn import functional


class _TwoMaps(nn.Module):
    """x * sigmoid(W2 relu(W1 z + b1) + b2), z = squeeze(x)."""

    def __init__(self, reduce, expand, squeeze=torch.mean):
        super().__init__()
        self.reduce, self.expand, self.squeeze = reduce, expand, squeeze

    def forward(self, x):
        axes = tuple(range(2, x.ndim))
        hidden = functional.relu(_apply(self.reduce, self.squeeze(x, axes)))
        gates = torch.sigmoid(_apply(self.expand, hidden))
        return x * gates.reshape(*gates.shape, *[1] * len(axes))


def _apply(layer, vector):
    # Linear or 1x1 convolution, whose two last axes are of size one.
    return functional.linear(vector, layer.weight.flatten(1), layer.bias)


def moskomule_selayer(channels, reduction=16):
    """moskomule/senet.pytorch at 9d279ec, senet/se_module.py: two Linear
    without biases, `channel // reduction` wide."""
    units = channels // reduction
    return _TwoMaps(
        nn.Linear(channels, units, bias=False),
        nn.Linear(units, channels, bias=False),
    )


def maximum_semodule(channels, reduction=3):
    """The SEModule with a max pool that circulates in snippets: two Linear
    with biases, `channels // 3` wide."""
    units = channels // reduction
    return _TwoMaps(
        nn.Linear(channels, units), nn.Linear(units, channels), torch.amax
    )


def mmpretrain_selayer(channels, ratio=16, divisor=8):
    """mmpretrain 1.2.0, models/utils/se_layer.py and make_divisible.py: 1x1
    convolutions; from `channels // ratio` at most a tenth is rounded off."""
    units = make_divisible(channels // ratio, divisor, round_limit=0.9)
    return _TwoMaps(
        nn.Conv2d(channels, units, 1), nn.Conv2d(units, channels, 1)
    )


def monai_channel_selayer(spatial_dims, in_channels, r=2):
    """MONAI 1.6.1, networks/blocks/squeeze_and_excitation.py: Linear with
    biases, `int(in_channels // r)` wide, over any number of spatial axes."""
    units = int(in_channels // r)
    return _TwoMaps(
        nn.Linear(in_channels, units), nn.Linear(units, in_channels)
    )


class KerasCVSqueezeAndExcite2D(nn.Module):
    """KerasCV 0.9.0, layers/regularization/squeeze_excite.py: channels last,
    1x1 convolutions of Keras' layout, `filters // 4` wide."""

    def __init__(self, filters):
        super().__init__()
        units = filters // 4
        self.reduce_kernel = nn.Parameter(torch.empty(1, 1, filters, units))
        self.reduce_bias = nn.Parameter(torch.empty(units))
        self.expand_kernel = nn.Parameter(torch.empty(1, 1, units, filters))
        self.expand_bias = nn.Parameter(torch.empty(filters))

    def forward(self, x):
        z = x.mean((1, 2), keepdim=True)
        hidden = functional.relu(z @ self.reduce_kernel + self.reduce_bias)
        return x * torch.sigmoid(hidden @ self.expand_kernel + self.expand_bias)


class ECANSLayer(nn.Module):
    """BangguWu/ECANet at 3adf7a9, models/eca_ns.py: windows of `k_size`
    channels, padded with zeros, each convolved with taps of its own."""

    def __init__(self, channel, k_size):
        super().__init__()
        self.conv = nn.Conv1d(
            channel, channel, k_size, bias=False, groups=channel
        )

    def forward(self, x):
        z = x.mean((2, 3))
        size = self.conv.kernel_size[0]
        padded = functional.pad(z, (size // 2, size // 2))
        gates = torch.sigmoid(self.conv(padded.unfold(1, size, 1)))
        return x * gates[..., None]


class SMPSCSEModule(nn.Module):
    """segmentation_models.pytorch 0.5.0, base/modules.py: gates of channels
    from two 1x1 convolutions and of positions from one, all with biases; the
    two products are added."""

    def __init__(self, in_channels, reduction=16):
        super().__init__()
        units = in_channels // reduction
        self.reduce = nn.Conv2d(in_channels, units, 1)
        self.expand = nn.Conv2d(units, in_channels, 1)
        self.position = nn.Conv2d(in_channels, 1, 1)

    def forward(self, x):
        z = x.mean((2, 3), keepdim=True)
        channels = torch.sigmoid(self.expand(functional.relu(self.reduce(z))))
        return x * channels + x * torch.sigmoid(self.position(x))


FORMULAS = {
    "ECANet": {"eca_layer": ECANSLayer},
    "moskomule": {"SELayer": moskomule_selayer},
    "max-pool": {"SEModule": maximum_semodule},
    "KerasCV": {"SqueezeAndExcite2D": KerasCVSqueezeAndExcite2D},
    "mmpretrain": {"SELayer": mmpretrain_selayer},
    "MONAI": {"ChannelSELayer": monai_channel_selayer},
    "segmentation_models.pytorch": {"SCSEModule": SMPSCSEModule},
}
