"""Where channels are after a reshape, compared with NumPy."""

import itertools

import numpy as np
import pytest

from keras_channel_attn.pruning.coupling import Channels
from keras_channel_attn.pruning.rearrangement import channels_after_reshape

SIZES = (2, 3, 4)
SHAPES = [
    shape
    for rank in (1, 2, 3, 4)
    for shape in itertools.product((1, 2, 3, 4, 6, 8, 12, 24), repeat=rank)
    if np.prod(shape) == 24
]


def axes_of_channels(axis, before, after):
    """By NumPy: axes along which a position has one channel, and which."""
    shape = [1] * len(before)
    shape[axis] = -1
    ids = np.broadcast_to(np.arange(before[axis]).reshape(shape), before)
    ids = ids.reshape(after)
    found = {}
    for position in range(len(after)):
        lines = np.moveaxis(ids, position, 0).reshape(after[position], -1)
        if (lines == lines[:, :1]).all():
            found[position] = lines[:, 0].tolist()
    return found


@pytest.mark.parametrize("before", list(itertools.permutations(SIZES)))
@pytest.mark.parametrize("axis", range(3))
def test_known_sizes(axis, before):
    channels = Channels(axis + 1, np.arange(before[axis]))
    for after in SHAPES:
        found = channels_after_reshape(channels, (None, *before), (7, *after))
        assert found is None  # another batch axis
        found = channels_after_reshape(
            channels, (None, *before), (None, *after)
        )
        result = {} if found is None else {found.axis - 1: found.ids.tolist()}
        assert result == axes_of_channels(axis, before, after)


@pytest.mark.parametrize(
    ("axis", "before", "after", "expected"),
    [
        (3, (None, None, 3), (None, 3), (2, [0, 1, 2])),
        (3, (None, 4, 3), (None, 12), (2, [0, 1, 2] * 4)),
        (3, (None, None, 3), (None, None, 3, 1), (3, [0, 1, 2])),
        (1, (3, None, None), (3, None), (1, [0, 1, 2])),
        (1, (3, 2, None), (6, None), (1, [0, 0, 1, 1, 2, 2])),
        (1, (3, 2, None), (3, None), (1, [0, 1, 2])),
        (2, (None, 3), (None,), None),
        (1, (4, None), (2, 2, None), None),
        (2, (None, 4), (None, 2, 2), None),
        # Only with some sizes, or with another batch axis.
        (1, (3, None), (6,), None),
    ],
)
def test_unknown_sizes(axis, before, after, expected):
    channels = Channels(axis, np.arange(before[axis - 1]))
    found = channels_after_reshape(channels, (None, *before), (None, *after))
    result = found if found is None else (found.axis, found.ids.tolist())
    assert result == expected
