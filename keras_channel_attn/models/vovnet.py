"""VoVNet and its successors with attention.

[VoVNet](https://arxiv.org/abs/1904.09730), and
[CenterMask](https://arxiv.org/abs/1911.06667), which adds eSE and shortcuts.

In the names of timm `ese_` stands for the attention of CenterMask, `eca_` for
Efficient Channel Attention; `b` for shortcuts, `_slim` for narrower blocks,
`_dw` for depthwise convolutions.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_channel_attn.arguments import four_integers
from keras_channel_attn.models.attention import (
    Attention,
    apply_attention,
    effective_squeeze_excite,
    efficient_channel_attention,
)
from keras_channel_attn.models.layer_names import CAFFE_POOL_PADDING
from keras_channel_attn.models.network import (
    NamedNetwork,
    NamesOfTimm,
    build_network,
    named_networks,
)
from keras_channel_attn.models.network_layers import (
    Convolution,
    Layers,
    unit_names,
)

_VOVNET19 = {"depths": (1, 1, 1, 1), "convolutions": 3}
_SLIM = {"widths": (64, 80, 96, 112), "channels": (112, 256, 384, 512)}
_DEPTHWISE = {"depthwise": True, "stem_channels": 64}
# Arguments of `VoVNet`, by the ends of names.
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "vovnet19b_slim_dw": {**_VOVNET19, **_SLIM, **_DEPTHWISE},
    "vovnet19b_dw": {**_VOVNET19, **_DEPTHWISE},
    "vovnet19b_slim": {**_VOVNET19, **_SLIM},
    "vovnet39a": {"depths": (1, 1, 2, 2), "residual": False},
    "vovnet39b": {"depths": (1, 1, 2, 2)},
    "vovnet57a": {"depths": (1, 1, 4, 3), "residual": False},
    "vovnet57b": {"depths": (1, 1, 4, 3)},
    "vovnet99b": {"depths": (1, 3, 9, 3)},
}
# The beginnings of names, the function that makes the attention, and the ends
# of names.
_NAMES: NamesOfTimm = (
    (
        "ese_",
        effective_squeeze_excite,
        "vovnet19b_slim_dw vovnet19b_dw vovnet19b_slim vovnet39b vovnet57b "
        "vovnet99b",
    ),
    ("eca_", efficient_channel_attention, "vovnet39b"),
    # For comparison and for `insert_attention`.
    ("", None, "vovnet39a vovnet57a"),
)


@dataclasses.dataclass(frozen=True)
class _Stage:
    """Blocks of one width: what they are made of."""

    index: int
    depth: int
    width: int
    channels: int
    convolutions: int
    depthwise: bool
    residual: bool

    def name(self, part: str) -> str:
        return f"stages_{self.index}_{part}"


def VoVNet(
    depths: Sequence[int],
    widths: Sequence[int] = (128, 160, 192, 224),
    channels: Sequence[int] = (256, 512, 768, 1024),
    stem_channels: int = 128,
    convolutions: int = 5,
    depthwise: bool = False,
    residual: bool = True,
    attention: Attention | None = None,
    **options: Any,
) -> keras.Model:
    """A VoVNet: each block concatenates the outputs of its convolutions.

    Args:
        depths: Tuple of four integers, the number of blocks in each stage.
        widths: Tuple of four integers, channels of the 3x3 convolutions.
            Defaults to `(128, 160, 192, 224)`.
        channels: Tuple of four integers, channels of the outputs of blocks.
            Defaults to `(256, 512, 768, 1024)`.
        stem_channels: Integer, channels of the stem. Defaults to `128`.
        convolutions: Integer, 3x3 convolutions in a block. Defaults to `5`.
        depthwise: Boolean, whether the 3x3 convolutions are depthwise, each
            before a 1x1 convolution. Defaults to `False`.
        residual: Boolean, whether all blocks of a stage but the first have a
            shortcut. Defaults to `True`.
        attention: Callable that takes the number of channels and the index of
            the stage, 0 to 3, and returns a new layer or `None`. It is called
            for the last block of each stage. Defaults to `None`.
        **options: Other arguments of `build_network`.

    Returns:
        A functional `keras.Model`.
    """
    depths = four_integers("depths", depths)
    sizes = zip(depths, widths, channels, strict=True)
    stages = [
        _Stage(index, *size, convolutions, depthwise, residual)
        for index, size in enumerate(sizes)
    ]

    def features(layers: Layers, x: Any) -> Any:
        x = _apply_stem(layers, x, stem_channels, depthwise)
        for stage in stages:
            x = _apply_stage(layers, x, stage, attention)
        return x

    return build_network(features, blocks=sum(depths), **options)


def _apply_stem(layers: Layers, x: Any, channels: int, depthwise: bool) -> Any:
    first = Convolution(64, 3, stride=2)
    x = layers.convolution_unit(x, first, unit_names("stem_0"))
    x = _apply_unit(layers, x, Convolution(64, 3), "stem_1", depthwise)
    last = Convolution(channels, 3, stride=2)
    return _apply_unit(layers, x, last, "stem_2", depthwise)


def _apply_stage(
    layers: Layers, x: Any, stage: _Stage, attention: Attention | None
) -> Any:
    if stage.index > 0:
        x = layers.max_pooling(x, stage.name("pool"), CAFFE_POOL_PADDING)
    for index in range(stage.depth):
        block = stage.name(f"blocks_{index}")
        shortcut = x
        x = _apply_block(layers, x, stage, block)
        if index == stage.depth - 1:
            gates = f"{block}_attn"
            x = apply_attention(
                layers, attention, x, stage.channels, stage.index, gates
            )
        if stage.residual and index > 0:
            x = layers.apply(keras.layers.Add, [x, shortcut], f"{block}_add")
    return x


def _apply_block(layers: Layers, x: Any, stage: _Stage, block: str) -> Any:
    outputs = [x]
    if stage.depthwise and x.shape[layers.channel_axis] != stage.width:
        names = unit_names(f"{block}_conv_reduction")
        x = layers.convolution_unit(x, Convolution(stage.width, 1), names)
    for index in range(stage.convolutions):
        name = f"{block}_conv_mid_{index}"
        convolution = Convolution(stage.width, 3)
        x = _apply_unit(layers, x, convolution, name, stage.depthwise)
        outputs.append(x)
    x = layers.apply(
        keras.layers.Concatenate,
        outputs,
        f"{block}_concatenate",
        axis=layers.channel_axis,
    )
    names = unit_names(f"{block}_conv_concat")
    return layers.convolution_unit(x, Convolution(stage.channels, 1), names)


def _apply_unit(
    layers: Layers, x: Any, convolution: Convolution, name: str, depthwise: bool
) -> Any:
    """Convolution, normalization and activation; the former in two parts."""
    if not depthwise:
        return layers.convolution_unit(x, convolution, unit_names(name))
    x = layers.convolution_alone(
        x, convolution, f"{name}_conv_dw", keras.layers.DepthwiseConv2D
    )
    pointwise = Convolution(convolution.filters, 1)
    names = f"{name}_conv_pw", f"{name}_bn"
    return layers.convolution_unit(x, pointwise, names)


def timm_vovnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    return named_networks(VoVNet, _ARCHITECTURES, _NAMES)
