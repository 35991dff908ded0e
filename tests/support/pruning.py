"""Networks with channels that are zero, and the same ones without them."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_channel_attn import SqueezeExcite, model_costs
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.pruning import (
    channel_groups,
    prune_channels,
    remove_channels,
)
from support.networks import distance, predictions, randomize, sample


def axis():
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def network(body, rank=2, filters=12):
    """Layers between a convolution and one that reads what they return."""
    shape = (6,) * rank
    shape = (4, *shape) if axis() == 1 else (*shape, 4)
    x = keras.Input(shape, name="image")
    convolution = getattr(layers, f"Conv{rank}D")
    y = convolution(filters, 3, padding="same", name="first")(x)
    y = body(y)
    if len(y.shape) > 2:
        y = convolution(5, 1, name="last")(y)
    else:
        y = layers.Dense(5, name="last")(y)
    return keras.Model(x, y)


def lowest_share(model, importance, **arguments):
    """The share of the MACs that is left at least, as the error says."""
    with pytest.raises(ValueError, match="% of the MACs are left") as error:
        prune_channels(model, importance, 1e-9, **arguments)
    return float(str(error.value).partition("%")[0].split()[-1]) / 100


def some_channels(model, every=3, start=1):
    """Some of the channels of each group that is not locked."""
    return {
        group.name: np.arange(start % group.channels, group.channels, every)
        for group in channel_groups(model).values()
        if not group.locked and group.channels > 1
    }


def silence(model, removed):
    """Set all weights to zero that make these channels, or shift them."""
    groups = channel_groups(model)
    for name, channels in removed.items():
        for part in groups[name].slices:
            if (
                part.role != "consumers"
                and part.weight != "moving_variance"
                and (
                    not isinstance(part.layer, AttentionLayer)
                    # What it adds shifts the channels.
                    or (
                        getattr(part.layer, "fuse", None) == "add"
                        and part.weight.startswith("expand")
                    )
                )
            ):
                chosen = part.positions[np.isin(part.channels, channels)]
                set_zero(getattr(part.layer, part.weight), part.axis, chosen)


def set_zero(variable, axis, positions):
    array = np.array(keras.ops.convert_to_numpy(variable))
    np.moveaxis(array, axis, 0)[positions] = 0
    variable.assign(array)


def assert_removal_is_exact(model, removed=None, tolerance=1e-5):
    """Silent channels change no output when they are removed."""
    randomize(model)
    removed = some_channels(model) if removed is None else removed
    assert removed
    silence(model, removed)
    x = sample(model)
    expected = predictions(model, x)
    narrower = remove_channels(model, removed)
    assert narrower.count_params() < model.count_params()
    assert distance(expected, predictions(narrower, x)) < tolerance
    return narrower


def conv(filters, name, size=3, **arguments):
    return layers.Conv2D(filters, size, padding="same", name=name, **arguments)


def small():
    x = keras.Input((8, 8, 3))
    y = conv(12, "a")(x)
    y = layers.BatchNormalization(name="norm")(y)
    y = SqueezeExcite(4, name="se")(layers.ReLU()(y))
    y = conv(20, "b", activation="relu")(y)
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(4, name="head")(y))


def macs_share(pruned, model):
    return model_costs(pruned).macs / model_costs(model).macs
