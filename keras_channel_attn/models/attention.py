"""Attention as the builders take it: functions that return a new layer each."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_channel_attn.arguments import four_integers, odd_integer
from keras_channel_attn.layers import (
    AttentionLayer,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
)
from keras_channel_attn.models.network_layers import Layers
from keras_channel_attn.surgery.attention_layers import check_data_format_is

# From the number of channels and the index of the stage to a new layer.
Attention = Callable[[int, int], keras.layers.Layer | None]


@dataclasses.dataclass(frozen=True)
class LayersByStage:
    """Makes layers of one class, with other arguments in each stage."""

    layer_class: type[AttentionLayer]
    arguments: Sequence[dict[str, Any]]

    def __call__(
        self, channels: int, stage: int, name: str | None = None
    ) -> AttentionLayer:
        return self.layer_class(**self.arguments[stage], name=name)


def squeeze_excite(use_bias: bool = False, **options: Any) -> LayersByStage:
    """Squeeze-and-Excitation with the same arguments in every block.

    Args:
        use_bias: Boolean, whether the excitation has biases, as in the
            published checkpoints. Defaults to `False`.
        **options: Other arguments of `SqueezeExcite`.
    """
    return LayersByStage(SqueezeExcite, [{"use_bias": use_bias, **options}] * 4)


def timm_squeeze_excite(**options: Any) -> LayersByStage:
    """Squeeze-and-Excitation as timm's SEModule has it."""
    # timm rounds the width of the excitation to a multiple of eight.
    return squeeze_excite(use_bias=True, divisor=8, **options)


def effective_squeeze_excite(**options: Any) -> LayersByStage:
    """The eSE of [CenterMask](https://arxiv.org/abs/1911.06667)."""
    arguments = {"use_bias": True, "gate_activation": "hard_sigmoid", **options}
    return LayersByStage(LinearSqueezeExcite, [arguments] * 4)


def efficient_channel_attention(
    kernel_sizes: Sequence[int] | None = None, **options: Any
) -> LayersByStage:
    """ECA in every block.

    Args:
        kernel_sizes: Tuple of four odd integers, the kernel size in each
            stage. The published checkpoints need theirs: see the documentation
            of published networks. Defaults to `None`: the rule of the paper.
        **options: Other arguments of `EfficientChannelAttention`.
    """
    sizes: Sequence[int | None] = [None] * 4
    if kernel_sizes is not None:
        sizes = four_integers("kernel_sizes", kernel_sizes, odd_integer)
    return LayersByStage(
        EfficientChannelAttention,
        [{"kernel_size": size, **options} for size in sizes],
    )


def global_context(**options: Any) -> LayersByStage:
    """Global context in every block, as in timm's gcresnets."""
    arguments = {"reduction": 8, **options}
    return LayersByStage(GlobalContext, [arguments] * 4)


def check_attention(attention: Any) -> None:
    """Raise a `TypeError` for what is no function that returns layers."""
    is_layer = isinstance(attention, (type, keras.layers.Layer))
    if attention is not None and (is_layer or not callable(attention)):
        raise TypeError(
            "`attention` must be a function that takes the number of channels "
            "and the index of the stage and returns a new layer, or None, such "
            "as `lambda channels, stage: SqueezeExcite()`. Received: "
            f"attention={attention!r} (of type {type(attention).__name__})."
        )


def apply_attention(
    layers: Layers,
    attention: Attention | None,
    x: Any,
    channels: int,
    stage: int,
    name: str,
) -> Any:
    """What a new layer computes, or `x` itself where there is none.

    The layer has the name that checkpoints give it.
    """
    if isinstance(attention, LayersByStage):
        return attention(channels, stage, name)(x)
    layer = attention(channels, stage) if attention is not None else None
    if layer is None:
        return x
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            "`attention` must return a new layer or None. It returned: "
            f"{layer!r} (of type {type(layer).__name__})."
        )
    if isinstance(layer, AttentionLayer):
        check_data_format_is(layer, layers.data_format, name)
    # A copy, because the paths of weights can contain the name already.
    return type(layer).from_config({**layer.get_config(), "name": name})(x)
