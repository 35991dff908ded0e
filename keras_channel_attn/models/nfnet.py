"""NFNets: residual networks without normalization.

[High-Performance Large-Scale Image Recognition Without
Normalization](https://arxiv.org/abs/2102.06171).

In the names of timm `eca_` stands for Efficient Channel Attention; without it
the networks have Squeeze-and-Excitation.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras

from keras_channel_attn.arguments import four_integers
from keras_channel_attn.models.attention import (
    Attention,
    apply_attention,
    efficient_channel_attention,
    timm_squeeze_excite,
)
from keras_channel_attn.models.network import (
    NamedNetwork,
    NamesOfTimm,
    build_network,
    named_networks,
)
from keras_channel_attn.models.network_layers import Convolution, Layers
from keras_channel_attn.models.scaled_convolution import (
    ScaledStandardizedConv2D,
)

_CHANNELS = (256, 512, 1536, 1536)
_GROUP_WIDTH = 64
# Filters and strides of the four convolutions of the stem.
_STEM = ((16, 2), (32, 1), (64, 1), (128, 2))
# The branch is multiplied by it before the addition, and by two after gates,
# which are about one half.
_ALPHA = 0.2
_ATTENTION_GAIN = 2
# The gain of SiLU, the inverse of the standard deviation of its output for
# normal inputs, as the authors of the paper have computed it.
_SILU_GAIN = 1.7881293296813965
# Arguments of `NFNet`, by the ends of names.
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "nfnet_l0": {"depths": (1, 2, 6, 3), "last_channels": 2304},
    "nfnet_l1": {"depths": (2, 4, 12, 6), "last_channels": 3072},
    "nfnet_l2": {"depths": (3, 6, 18, 9), "last_channels": 3072},
    "nfnet_l3": {"depths": (4, 8, 24, 12), "last_channels": 3072},
}
_NAMES: NamesOfTimm = (
    (
        "eca_",
        efficient_channel_attention,
        "nfnet_l0 nfnet_l1 nfnet_l2 nfnet_l3",
    ),
    ("", partial(timm_squeeze_excite, reduction=4), "nfnet_l0"),
)


@dataclasses.dataclass(frozen=True)
class _Block:
    """One block: where it stands, and how many additions are before it.

    Only those since the last shortcut with a convolution are counted.
    """

    stage: int
    index: int
    additions: int

    @property
    def channels(self) -> int:
        return _CHANNELS[self.stage]

    @property
    def stride(self) -> int:
        return 2 if self.stage > 0 and self.index == 0 else 1

    @property
    def input_scale(self) -> float:
        """What makes the variance of the input one."""
        return float((1 + self.additions * _ALPHA**2) ** -0.5)

    def name(self, part: str) -> str:
        return f"stages_{self.stage}_{self.index}_{part}"


def NFNet(
    depths: Sequence[int],
    last_channels: int,
    attention: Attention | None = None,
    **options: Any,
) -> keras.Model:
    """A light NFNet of timm, with SiLU.

    Args:
        depths: Tuple of four integers, the number of blocks in each stage.
        last_channels: Integer, channels of the last convolution.
        attention: Callable that takes the number of channels and the index of
            the stage, 0 to 3, and returns a new layer or `None`. Defaults to
            `None`, no attention.
        **options: Other arguments of `build_network`.

    Returns:
        A functional `keras.Model`.
    """
    depths = four_integers("depths", depths)

    def features(layers: Layers, x: Any) -> Any:
        layers = dataclasses.replace(layers, activation_name="silu")
        x = _apply_stem(layers, x)
        additions = 0
        for stage, depth in enumerate(depths):
            for index in range(depth):
                block = _Block(stage, index, additions)
                x = _apply_block(layers, x, block, attention)
                additions = 1 if index == 0 else additions + 1
        x = _convolve(layers, x, Convolution(last_channels, 1), "final_conv")
        return layers.activation(x, "final_act")

    return build_network(features, blocks=sum(depths), **options)


def _convolve(
    layers: Layers,
    x: Any,
    convolution: Convolution,
    name: str,
    **arguments: Any,
) -> Any:
    return layers.convolution_alone(
        x,
        convolution,
        name,
        ScaledStandardizedConv2D,
        use_bias=True,
        activation_gain=_SILU_GAIN,
        **arguments,
    )


def _apply_stem(layers: Layers, x: Any) -> Any:
    for number, (filters, stride) in enumerate(_STEM, start=1):
        if number > 1:
            x = layers.activation(x, f"stem_act{number}")
        convolution = Convolution(filters, 3, stride)
        x = _convolve(layers, x, convolution, f"stem_conv{number}")
    return x


def _apply_block(
    layers: Layers, x: Any, block: _Block, attention: Attention | None
) -> Any:
    shortcut = x
    x = layers.activation(x, block.name("act1"))
    if block.additions:
        x = _rescale(layers, x, block.input_scale, block.name("scale"))
    channels = shortcut.shape[layers.channel_axis]
    if block.stride > 1 or channels != block.channels:
        shortcut = _projection(layers, x, block)
    branch = _apply_branch(layers, x, block)
    gates = block.name("attn_last")
    x = apply_attention(
        layers, attention, branch, block.channels, block.stage, gates
    )
    scale = _ALPHA if x is branch else _ALPHA * _ATTENTION_GAIN
    x = _rescale(layers, x, scale, block.name("branch_scale"))
    return layers.apply(keras.layers.Add, [x, shortcut], block.name("add"))


def _apply_branch(layers: Layers, x: Any, block: _Block) -> Any:
    """The four convolutions of a block."""
    width = block.channels // 4
    groups = width // _GROUP_WIDTH
    x = _convolve(layers, x, Convolution(width, 1), block.name("conv1"))
    for part, stride in (("2", block.stride), ("2b", 1)):
        x = layers.activation(x, block.name(f"act{part}"))
        convolution = Convolution(width, 3, stride, groups)
        x = _convolve(layers, x, convolution, block.name(f"conv{part}"))
    x = layers.activation(x, block.name("act3"))
    # The branch starts at zero, so that the block starts as its shortcut.
    return _convolve(
        layers,
        x,
        Convolution(block.channels, 1),
        block.name("conv3"),
        gain_initializer="zeros",
    )


def _projection(layers: Layers, x: Any, block: _Block) -> Any:
    """The shortcut of a block that changes the size or the channels."""
    if block.stride > 1:
        # With an odd size, the last row and column are averaged alone.
        name = block.name("downsample_pool")
        x = layers.average_pooling(x, name, padding="same")
    convolution = Convolution(block.channels, 1)
    return _convolve(layers, x, convolution, block.name("downsample_conv"))


def _rescale(layers: Layers, x: Any, scale: float, name: str) -> Any:
    return layers.apply(keras.layers.Rescaling, x, name, scale=scale)


def timm_nfnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    return named_networks(NFNet, _ARCHITECTURES, _NAMES)
