"""Related layers, which should take no longer than SE."""

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)


def variants(channels, reduction):
    """Dictionary from a name to one of our layers, with `channels_last`."""
    last = {"data_format": "channels_last"}
    return {
        "ours SqueezeGate": SqueezeGate(**last),
        "ours LinearSE": LinearSqueezeExcite(**last),
        "ours LinearSE, 16 groups": LinearSqueezeExcite(16, **last),
        "ours LinearSE, diagonal": LinearSqueezeExcite(-1, **last),
        "ours ECA-NS": EfficientChannelAttention(shared_kernel=False, **last),
        "ours SE, avg_max_separate": SqueezeExcite(
            reduction, use_bias=True, pooling="avg_max_separate", **last
        ),
    }
