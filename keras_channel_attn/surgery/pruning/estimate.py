"""The multiply-adds that a narrower model would have."""

import collections
import math
from typing import Any

from keras_channel_attn.analysis.counting import multiply_adds
from keras_channel_attn.analysis.shapes import shaped_calls
from keras_channel_attn.layers import EfficientChannelAttention
from keras_channel_attn.surgery.pruning.groups import Grouping
from keras_channel_attn.surgery.pruning.removal import is_kept


class Estimate:
    """The multiply-adds of a model without some channels, not built.

    Those of a layer are proportional to the numbers in its kernels.

    Args:
        grouping: `Grouping` of the model.
        input_shapes: Shapes of its inputs, with the batch size.
    """

    def __init__(self, grouping: Grouping, input_shapes: Any) -> None:
        self._grouping = grouping
        batch = input_shapes[0][0]
        macs: collections.Counter[Any] = collections.Counter()
        for call in shaped_calls(grouping.graph, input_shapes):
            macs[call.operation] += (multiply_adds(call) or 0) // batch
        kernels = _kernels(grouping)
        self._constant = sum(
            count for layer, count in macs.items() if layer not in kernels
        )
        self._terms = [
            (count, kernels[layer])
            for layer, count in macs.items()
            if layer in kernels
        ]

    def total(self, removed: dict[str, Any]) -> int:
        """Multiply-adds without some channels of each group."""
        kept = self._grouping.kept(removed)
        total = self._constant
        for count, kernels in self._terms:
            sizes = [math.prod(shape) for shape, _ in kernels]
            new = [_size(shape, axes, kept) for shape, axes in kernels]
            total += count * sum(new) // sum(sizes)
        return total


_Kernel = tuple[list[int], dict[int, Any]]


def _kernels(grouping: Grouping) -> dict[Any, list[_Kernel]]:
    """From each layer to the shapes and channels of its kernels."""
    axes: dict[tuple[Any, str], dict[int, Any]] = collections.defaultdict(dict)
    for cut in grouping.reading.cuts.values():
        axes[cut.layer, cut.weight][cut.axis] = cut.ids
    kernels = collections.defaultdict(list)
    for (layer, weight), ids in axes.items():
        shape = list(getattr(layer, weight).shape)
        if len(shape) > 1:
            kernels[layer].append((shape, ids))
    for operation, (ids, _) in grouping.reading.sizes.items():
        if isinstance(operation, EfficientChannelAttention):
            # One kernel for all channels.
            kernels[operation] = [([len(ids)], {0: ids})]
    return kernels


def _size(shape: list[int], axes: dict[int, Any], kept: Any) -> int:
    sizes = list(shape)
    for axis, ids in axes.items():
        sizes[axis] = int(is_kept(ids, kept).sum())
    return math.prod(sizes)
