"""The networks of timm by their names there."""

import difflib

from keras_channel_attn.conversion import load_torch_weights
from keras_channel_attn.models.networks import (
    efficient_channel_attention,
    squeeze_excite,
)
from keras_channel_attn.models.resnet import ResNet

_18 = {"depths": (2, 2, 2, 2), "block": "basic"}
_34 = {"depths": (3, 4, 6, 3), "block": "basic"}
_26 = {"depths": (2, 2, 2, 2)}
_50 = {"depths": (3, 4, 6, 3)}
_101 = {"depths": (3, 4, 23, 3)}
_152 = {"depths": (3, 8, 36, 3)}
_200 = {"depths": (3, 24, 36, 3)}
_269 = {"depths": (3, 30, 48, 8)}

_D = {"stem": "deep", "stem_width": 32, "average_shortcut": True}
_T = {**_D, "stem": "tiered"}
_AA = {**_D, "antialias": True}
_RS = {**_D, "stem_pool": "convolution"}
_CAFFE = {"stem_pool": "max_ceil"}
_FIRST = {"stride_first": True}
_32X4D = {"cardinality": 32, "base_width": 4}
_32X8D = {"cardinality": 32, "base_width": 8}
_64X4D = {"cardinality": 64, "base_width": 4}
_SENET = {
    **_64X4D,
    "stem": "deep",
    "shortcut_kernel_size": 3,
    "first_reduction": 2,
}
_RELU_FIRST = {"activation_before_attention": True}

# From the name to the arguments of `ResNet`.
_SE = {
    "seresnet18": _18,
    "seresnet34": _34,
    "seresnet50": _50,
    "seresnet50t": _50 | _T,
    "seresnet101": _101,
    "seresnet152": _152,
    "seresnet152d": _152 | _D,
    "seresnet200d": _200 | _D,
    "seresnet269d": _269 | _D,
    "seresnetaa50d": _50 | _AA,
    "seresnext26d_32x4d": _26 | _D | _32X4D,
    "seresnext26t_32x4d": _26 | _T | _32X4D,
    "seresnext50_32x4d": _50 | _32X4D,
    "seresnext101_32x4d": _101 | _32X4D,
    "seresnext101_32x8d": _101 | _32X8D,
    "seresnext101d_32x8d": _101 | _D | _32X8D,
    "seresnext101_64x4d": _101 | _64X4D,
    "seresnextaa101d_32x8d": _101 | _AA | _32X8D,
    "seresnextaa201d_32x8d": (
        {"depths": (3, 24, 36, 4)} | _AA | _32X8D | {"stem_width": 64}
    ),
    "senet154": _152 | _SENET,
}
_RESNETRS = {
    "resnetrs50": _50 | _RS,
    "resnetrs101": _101 | _RS,
    "resnetrs152": _152 | _RS,
    "resnetrs200": _200 | _RS,
    "resnetrs270": {"depths": (4, 29, 53, 4)} | _RS,
    "resnetrs350": {"depths": (4, 36, 72, 4)} | _RS,
    "resnetrs420": {"depths": (4, 44, 87, 4)} | _RS,
}
_LEGACY = {
    "legacy_seresnet18": _18 | _CAFFE | _RELU_FIRST,
    "legacy_seresnet34": _34 | _CAFFE | _RELU_FIRST,
    "legacy_seresnet50": _50 | _CAFFE | _FIRST,
    "legacy_seresnet101": _101 | _CAFFE | _FIRST,
    "legacy_seresnet152": _152 | _CAFFE | _FIRST,
    "legacy_seresnext26_32x4d": _26 | _CAFFE | _32X4D,
    "legacy_seresnext50_32x4d": _50 | _CAFFE | _32X4D,
    "legacy_seresnext101_32x4d": _101 | _CAFFE | _32X4D,
    "legacy_senet154": _152 | _CAFFE | _SENET,
}
_ECA = {
    "ecaresnet26t": _26 | _T,
    "ecaresnet50d": _50 | _D,
    "ecaresnet50t": _50 | _T,
    "ecaresnet101d": _101 | _D,
    "ecaresnet200d": _200 | _D,
    "ecaresnet269d": _269 | _D,
    "ecaresnetlight": {
        "depths": (1, 1, 11, 3),
        "stem_width": 32,
        "average_shortcut": True,
    },
    "ecaresnext26t_32x4d": _26 | _T | _32X4D,
    "ecaresnext50t_32x4d": _50 | _T | _32X4D,
}
# Without attention: what the same builder makes too.
_PLAIN = {
    "resnet18": _18,
    "resnet18d": _18 | _D,
    "resnet34": _34,
    "resnet34d": _34 | _D,
    "resnet26": _26,
    "resnet26d": _26 | _D,
    "resnet26t": _26 | _T,
    "resnet50": _50,
    "resnet50d": _50 | _D,
    "resnet50t": _50 | _T,
    "resnet101": _101,
    "resnet101d": _101 | _D,
    "resnet152": _152,
    "resnet152d": _152 | _D,
    "resnet200d": _200 | _D,
    "resnext50_32x4d": _50 | _32X4D,
    "resnext50d_32x4d": _50 | _D | _32X4D,
    "resnext101_32x4d": _101 | _32X4D,
    "resnext101_32x8d": _101 | _32X8D,
    "resnext101_64x4d": _101 | _64X4D,
    "wide_resnet50_2": _50 | {"base_width": 128},
    "wide_resnet101_2": _101 | {"base_width": 128},
    "resnetaa50": _50 | {"antialias": True},
    "resnetaa50d": _50 | _AA,
    "resnetaa101d": _101 | _AA,
}


def _networks():
    """Dictionary from each name to (architecture, attention)."""
    # The width of timm's Squeeze-and-Excitation is a multiple of eight.
    timm = {"use_bias": True, "divisor": 8}
    families = (
        (_SE, squeeze_excite, timm),
        (_RESNETRS, squeeze_excite, {**timm, "reduction": 4}),
        (_LEGACY, squeeze_excite, {"use_bias": True}),
        # The rule of timm is never below three, which these are not either.
        (_ECA, efficient_channel_attention, {}),
        (_PLAIN, None, {}),
    )
    return {
        name: (architecture, attention, options)
        for family, attention, options in families
        for name, architecture in family.items()
    }


def from_timm(name, weights=None, data_format=None, dtype=None, **options):
    """A network of timm by its name there, with its checkpoint if given.

    Args:
        name: String, such as `"seresnet50"` or `"ecaresnet50t"`.
        weights: `None`, random ones; or a checkpoint: what
            `load_torch_weights` takes. Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of all layers. Defaults to the global policy.
        **options: Other arguments of `ResNet`, such as `include_top`,
            `input_shape`, `classes`, `classifier_activation`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If there is no such network here; with the nearest names.

    Examples:

    >>> network = from_timm("seresnet18", input_shape=(64, 64, 3))
    >>> network.count_params()
    11789224
    """
    networks = _networks()
    if name not in networks:
        near = difflib.get_close_matches(str(name), networks, n=5, cutoff=0.5)
        raise ValueError(
            f"There is no network of timm here with name={name!r}. Near it: "
            f"{near}. All: {sorted(networks)}."
        )
    architecture, attention, arguments = networks[name]
    if attention is not None:
        attention = attention(**arguments, data_format=data_format, dtype=dtype)
    model = ResNet(
        attention=attention,
        data_format=data_format,
        dtype=dtype,
        name=name,
        **{**architecture, **options},
    )
    if weights is not None:
        load_torch_weights(model, weights)
    return model
