"""A subclass of `ChannelAttention` describes the channels of its weights."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.pruning import assert_removal_is_exact, network

from keras_channel_attn import ChannelAttention, LinearSqueezeExcite
from keras_channel_attn.pruning import (
    channel_groups,
    magnitude,
    prune_channels,
    remove_channels,
)


class LowRank(ChannelAttention):
    """Two kernels, a weight that all channels share, and an offset for each."""

    def __init__(self, rank=2, **kwargs):
        super().__init__(**kwargs)
        self.rank = rank

    def build_excitation(self, channels):
        self.inner = self.add_weight(shape=(channels, self.rank), name="inner")
        self.outer = self.add_weight(shape=(self.rank, channels), name="outer")
        self.middle = self.add_weight(shape=(self.rank,), name="middle")
        self.offset = self.add_weight(shape=(channels,), name="offset")

    def excite(self, descriptor):
        inner = ops.matmul(descriptor, self.inner) * self.middle
        return ops.matmul(inner, self.outer) + self.offset

    def channel_axes(self):
        return {
            "inner": (0,),
            "outer": (-1,),
            "middle": (),
            "offset": (0,),
        }

    def get_config(self):
        return {**super().get_config(), "rank": self.rank}


class Full(ChannelAttention):
    """One kernel with two axes of channels, and their number as argument."""

    def __init__(self, channels=12, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build_excitation(self, channels):
        assert channels == self.channels
        self.kernel = self.add_weight(shape=(channels, channels), name="kernel")

    def excite(self, descriptor):
        return ops.matmul(descriptor, self.kernel)

    def channel_axes(self):
        return {"kernel": (0, 1)}

    def config_for_channels(self, channels):
        return {"channels": channels}

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


class Pairs(ChannelAttention):
    """The channels of a pair have one weight."""

    def build_excitation(self, channels):
        self.pairs = self.add_weight(shape=(channels // 2,), name="pairs")

    def excite(self, descriptor):
        return descriptor * ops.repeat(self.pairs, 2)

    def coupled_blocks(self):
        return self.pairs.shape[0]


class Undescribed(Full):
    def channel_axes(self):
        return {}


class OtherAxis(LowRank):
    def channel_axes(self):
        return {**super().channel_axes(), "outer": (0,)}


class NoSuchAxis(LowRank):
    def channel_axes(self):
        return {**super().channel_axes(), "offset": (1,)}


class UnevenBlocks(LowRank):
    def coupled_blocks(self):
        return 5


class OwnCall(LowRank):
    def call(self, inputs, mask=None, return_attention_scores=False):
        return super().call(inputs, mask, return_attention_scores)


class OtherExcite(LinearSqueezeExcite):
    """The base class describes its weights for another computation."""

    def excite(self, descriptor):
        return super().excite(descriptor) + ops.mean(descriptor)


class OtherSqueeze(LinearSqueezeExcite):
    def squeeze(self, inputs, mask=None):
        descriptor = super().squeeze(inputs, mask)
        return descriptor - ops.mean(descriptor, axis=-1, keepdims=True)


class DescribedAgain(OtherExcite):
    def channel_axes(self):
        return super().channel_axes()


class Blocks(LinearSqueezeExcite):
    """It inherits what its base class says."""


@pytest.mark.parametrize("kind", [LowRank, Full, Blocks])
def test_described_attention_is_pruned_exactly(kind):
    groups = {"groups": 4} if kind is Blocks else {}
    model = network(kind(name="attention", **groups))
    narrower = assert_removal_is_exact(model)
    attention = narrower.get_layer("attention")
    assert type(attention) is kind
    before = model.get_layer("attention").get_config()
    changed = {
        key: value
        for key, value in attention.get_config().items()
        if before[key] != value
    }
    expected = {LowRank: {}, Full: {"channels": 8}, Blocks: {"groups": 3}}
    assert changed == expected[kind]


def test_weights_of_kept_channels_stay():
    model = network(LowRank(name="attention"))
    narrower = remove_channels(model, {"first": [0, 3]})
    inner, outer, middle, offset = model.get_layer("attention").get_weights()
    kept = np.delete(np.arange(12), [0, 3])
    expected = [inner[kept], outer[:, kept], middle, offset[kept]]
    actual = narrower.get_layer("attention").get_weights()
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Undescribed, "has the weight 'kernel', whose channels are unknown"),
        (Pairs, "has the weight 'pairs'"),
        (OtherAxis, "'outer' of shape (2, 12)"),
        (NoSuchAxis, "'offset' of shape (12,)"),
        (UnevenBlocks, "has 12 channels, and `coupled_blocks` says"),
        (OwnCall, "has a `call` of its own"),
        (OtherExcite, "has a method `excite` of its own"),
        (OtherSqueeze, "has a method `squeeze` of its own"),
    ],
)
def test_reason_to_lock(kind, reason):
    model = network(kind(name="attention"))
    locked = channel_groups(model)["first"].locked
    assert locked.startswith(f"'attention' (of type {kind.__name__}) ")
    assert reason in locked


def test_a_class_may_say_that_the_description_holds():
    model = network(DescribedAgain(name="attention"))
    assert channel_groups(model)["first"].locked is None


def test_reason_names_the_method_to_write():
    model = network(Undescribed())
    assert "`channel_axes`" in channel_groups(model)["first"].locked


@pytest.mark.filterwarnings("ignore:The multiply-adds of these layers")
def test_least_important_channels_of_own_attention_are_removed():
    model = network(Full(name="attention"))
    pruned = prune_channels(model, magnitude)
    channels = pruned.get_layer("first").filters
    assert channels < 12
    assert pruned.get_layer("attention").kernel.shape == (channels, channels)


def test_attention_scores_have_the_channels():
    x = keras.Input((6, 6, 4))
    y = layers.Conv2D(12, 1, name="first")(x)
    y, scores = LowRank()(y, return_attention_scores=True)
    scores = layers.Dense(3, name="on_scores")(scores)
    y = layers.Dense(3)(layers.GlobalAveragePooling2D()(y))
    model = keras.Model(x, layers.Add()([y, scores]))
    assert "on_scores" in channel_groups(model)["first"].consumers
    narrower = remove_channels(model, {"first": [1, 5]})
    assert narrower.get_layer("on_scores").kernel.shape == (10, 3)
