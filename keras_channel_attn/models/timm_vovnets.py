"""timm's VoVNets, by their names in timm.

`ese_` stands for the attention of CenterMask, `eca_` for Efficient Channel
Attention; `b` for shortcuts, `_slim` for narrower blocks, `_dw` for depthwise
convolutions.
"""

from collections.abc import Callable
from typing import Any

from keras_channel_attn.models.attention import (
    Attention,
    effective_squeeze_excite,
    efficient_channel_attention,
)
from keras_channel_attn.models.named_network import NamedNetwork
from keras_channel_attn.models.vovnet import VoVNet

_VOVNET19 = {"depths": (1, 1, 1, 1), "convolutions": 3}
_SLIM = {"widths": (64, 80, 96, 112), "channels": (112, 256, 384, 512)}
_DEPTHWISE = {"depthwise": True, "stem_channels": 64}
# Arguments of `VoVNet`, by the ends of names.
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    "19b_slim_dw": {**_VOVNET19, **_SLIM, **_DEPTHWISE},
    "19b_dw": {**_VOVNET19, **_DEPTHWISE},
    "19b_slim": {**_VOVNET19, **_SLIM},
    "39a": {"depths": (1, 1, 2, 2), "residual": False},
    "39b": {"depths": (1, 1, 2, 2)},
    "57a": {"depths": (1, 1, 4, 3), "residual": False},
    "57b": {"depths": (1, 1, 4, 3)},
    "99b": {"depths": (1, 3, 9, 3)},
}
# The beginnings of names, the function that makes the attention, and the ends
# of names.
_ATTENTION: tuple[tuple[str, Callable[..., Attention] | None, str], ...] = (
    (
        "ese_",
        effective_squeeze_excite,
        "19b_slim_dw 19b_dw 19b_slim 39b 57b 99b",
    ),
    ("eca_", efficient_channel_attention, "39b"),
    # For comparison and for `insert_attention`.
    ("", None, "39a 57a"),
)


def timm_vovnets() -> dict[str, NamedNetwork]:
    """Dictionary from each name to its network."""
    return {
        f"{start}vovnet{end}": NamedNetwork(
            VoVNet, _ARCHITECTURES[end], attention
        )
        for start, attention, ends in _ATTENTION
        for end in ends.split()
    }
