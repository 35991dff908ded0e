"""The masks for new attention layers."""

import functools
from typing import Any

import keras

from keras_channel_attn.graph import (
    Changes,
    Graph,
    IdentityMap,
    parameters_of_call,
    warn,
)
from keras_channel_attn.graph.keras_internals import mask_of
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.surgery.masked_calls import (
    calls_with_shifting_windows,
    masks_with_tensors,
    origins_of_masked_tensors,
    with_upstream,
)
from keras_channel_attn.surgery.named_tensors import NamedTensors
from keras_channel_attn.surgery.sites import Site
from keras_channel_attn.surgery.tensor_shapes import possible_shapes

# The mask for a site if the user has given none.
_NOT_GIVEN = object()


class SiteMasks:
    """Finds the masks that belong to the tensors at sites.

    Args:
        graph: `Graph` of the outermost model. Calls that compute a mask of the
            user and are not part of the model are added to it.
        changes: `Changes`, where these calls get free names.
        mask: As in `insert_attention`.
    """

    def __init__(self, graph: Graph, changes: Changes, mask: Any) -> None:
        self._graph = graph
        self._tensors = NamedTensors(graph, changes)
        self._is_callable = callable(mask) and not isinstance(
            mask, (keras.layers.Layer, type)
        )
        is_tensor = mask is not None and not self._is_callable
        self._mask = self._tensors.tensor(mask) if is_tensor else mask
        self._pairs_of = functools.cache(masks_with_tensors)
        self._origins_of = functools.cache(origins_of_masked_tensors)
        self._sites_without: list[str] = []
        self._shifting: dict[str, None] = {}

    def of(self, places: list[tuple[Site, Any]]) -> list[Any]:
        """The mask that each layer gets as an argument, or `None`.

        Args:
            places: List of pairs of a site and the new layer for it.
        """
        # First all masks of the user: the graph is complete after them.
        given = [self._mask_of_user(site, layer) for site, layer in places]
        masks = [
            None if mask is None else self._mask_for(site, layer, mask)
            for (site, layer), mask in zip(places, given, strict=True)
        ]
        for (site, _), mask in zip(places, masks, strict=True):
            if mask is not None or mask_of(site.tensor) is not None:
                graph = site.source.graph
                calls = calls_with_shifting_windows(graph, site.tensor)
                self._shifting.update(dict.fromkeys(x.path for x in calls))
        return masks

    def warn(self) -> None:
        """Say where padding changes the outputs in spite of the masks."""
        if self._shifting:
            names = [*self._shifting]
            warn(
                f"The layers {names[:5]}{' and others' * (len(names) > 5)} "
                'have strides and padding="same". Where their first window '
                "begins depends on the length of the input: the outputs change "
                "with the padding in spite of masks. Pad all batches to "
                "multiples of the product of the strides, or build the network "
                'with `ZeroPadding` layers and padding="valid".'
            )
        if self._sites_without:
            warn(
                "The network takes masks, but the attention after "
                f"{self._sites_without} gets none: padding changes its gates. "
                "Pass `mask=` to `insert_attention`: a tensor, the name of an "
                "input or a layer, or a callable that takes the layer at a "
                "site and returns one of these or None. "
                "`mask_after_convolution` computes the mask after layers with "
                "strides. In a nested model, attention takes only masks that "
                "are tensors of that model."
            )

    def _mask_of_user(self, site: Site, layer: Any) -> Any:
        """The mask of the user, `_NOT_GIVEN`, or `None`: none is needed."""
        # Keras passes a mask that comes with the tensor.
        if mask_of(site.tensor) is not None:
            return None
        if "mask" not in parameters_of_call(layer):
            return None
        if self._is_callable:
            mask = self._mask(site.layer)
            return None if mask is None else self._tensors.tensor(mask)
        return _NOT_GIVEN if self._mask is None else self._mask

    def _mask_for(self, site: Site, layer: Any, given: Any) -> Any:
        graph = site.source.graph
        axis = _channel_axis(site, layer)
        if given is not _NOT_GIVEN and given in graph:
            self._check(site, axis, given)
            return given
        found = self._mask_of_other_calls(site, axis)
        if found is None and (
            given is not _NOT_GIVEN or self._is_masked(graph, [site.tensor])
        ):
            self._sites_without.append(site.path)
        return found

    def _check(self, site: Site, axis: int, mask: Any) -> None:
        if _is_before(site, mask):
            raise ValueError(
                f"`mask` for '{site.path}' is computed from the output of that "
                "layer. It must be computed from other tensors."
            )
        symbolic = IdentityMap(
            [mask, site.tensor], [[mask.shape], [site.tensor.shape]]
        )
        if not any(
            _fits(mask, site.tensor, axis, shapes)
            for shapes in self._possible_shapes or [symbolic]
        ):
            raise ValueError(
                f"`mask` does not fit '{site.path}'. It must have the shape of "
                f"the output without the channels, which are axis {axis} of "
                f"{tuple(site.tensor.shape)}. Received: a mask of shape "
                f"{tuple(mask.shape)}, or of another resolution. If masks "
                "differ between sites, pass a callable; "
                "`mask_after_convolution` computes the mask after layers with "
                "strides."
            )

    def _mask_of_other_calls(self, site: Site, axis: int) -> Any:
        """The mask of other calls that fits a site, or `None`.

        Of several masks, the one that the last call before the site takes.
        """
        pairs = self._pairs_of(site.source.graph)
        if not pairs or not self._possible_shapes:
            return None
        # The sizes of the inputs with which most masks fit their own tensors.
        shapes = max(
            self._possible_shapes,
            key=lambda shapes: sum(_fits_own(*pair, shapes) for pair in pairs),
        )
        fitting = [
            (mask, tensor)
            for mask, tensor in pairs
            if _fits_own(mask, tensor, shapes)
            and _fits(mask, site.tensor, axis, shapes)
            and not _is_before(site, mask)
        ]
        upstream = with_upstream(site.source.graph, [site.tensor])
        before = [mask for mask, tensor in fitting if tensor in upstream]
        if before:
            return before[-1]
        masks = IdentityMap([mask for mask, _ in fitting], fitting)
        return next(iter(masks)) if len(masks) == 1 else None

    def _is_masked(self, graph: Graph, tensors: list[Any]) -> bool:
        """Whether tensors have an origin in common with masked ones.

        The masked ones may be in the model itself or in one around it.
        """
        origins = self._origins_of(graph)
        return any(
            tensor in origins for tensor in with_upstream(graph, tensors)
        ) or any(
            self._is_masked(outer, call.inputs)
            for outer in self._graph.nested.values()
            for call in outer.calls
            if call.inner is graph
        )

    @functools.cached_property
    def _possible_shapes(self) -> list[IdentityMap]:
        return list(possible_shapes(self._graph))


def _channel_axis(site: Site, layer: Any) -> int:
    last = len(site.tensor.shape) - 1
    if isinstance(layer, AttentionLayer):
        return 1 if layer.data_format == "channels_first" else last
    return site.source.graph.channel_axis(site.tensor) or last


def _is_before(site: Site, mask: Any) -> bool:
    """Whether a mask is computed from the tensor at a site."""
    return site.tensor in with_upstream(site.source.graph, [mask])


def _fits_own(mask: Any, tensor: Any, shapes: IdentityMap) -> bool:
    """Whether a mask fits the tensor that a layer takes it for."""
    return any(
        _fits(mask, tensor, axis, shapes) for axis in (1, len(tensor.shape) - 1)
    )


def _fits(mask: Any, tensor: Any, axis: int, shapes: IdentityMap) -> bool:
    """Whether a mask has the shapes of a tensor without the channels."""
    return all(
        len(own) == len(shape) - 1
        and all(
            None in sizes or sizes[0] == sizes[1]
            # The first axis is the batch.
            for sizes in zip(own[1:], _without(shape, axis)[1:], strict=True)
        )
        for own, shape in zip(shapes[mask], shapes[tensor], strict=True)
    )


def _without(shape: Any, axis: int) -> Any:
    return (*shape[:axis], *shape[axis + 1 :])
