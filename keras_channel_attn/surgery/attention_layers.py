"""The new attention layers: one for each site, with names of their own."""

import re
from collections.abc import Callable
from typing import Any

import keras

from keras_channel_attn.graph import Graph
from keras_channel_attn.layers import ChannelAttention


class AttentionLayers:
    """New layers, the same one wherever a shared layer is called.

    Args:
        attention: What the user passed: a layer that is copied for each site,
            or a callable.
        graph: `Graph` of the model, whose names are taken.
    """

    def __init__(self, attention: Any, graph: Graph) -> None:
        self._make = _factory(attention)
        self._made: dict[Any, Any] = {}
        self._taken = set(graph.operations())

    def at(
        self,
        site: Any,
        path: str,
        data_format: str | None,
        instead_of: str | None = None,
    ) -> Any:
        """The layer for a site, or `None` to leave the site alone.

        Args:
            site: Layer that is followed or replaced by the new one.
            path: String, the path that the name of the new layer begins with.
            data_format: String or `None`, what is known of the network there.
            instead_of: Path of the layer that is replaced, whose name becomes
                free. Defaults to `None`.
        """
        if site not in self._made:
            self._made[site] = self._new(site, path, instead_of)
        layer = self._made[site]
        _check_data_format(layer, data_format, instead_of or path)
        return layer

    def _new(self, site: Any, path: str, instead_of: str | None) -> Any:
        outer, slash, base = path.rpartition("/")
        layer = self._make(site, base)
        if layer is None:
            return None
        if layer.built or any(layer is other for other in self._made.values()):
            raise ValueError(
                f"`attention` returned the layer '{layer.name}' for "
                f"'{site.name}', which is in use already. It has to return a "
                "new one each time."
            )
        if instead_of is not None:
            self._taken.discard(instead_of)
        name, count = layer.name, 0
        while outer + slash + layer.name in self._taken:
            # Keras gives layers without a name one that is unique in a
            # process, but not in a model that comes from a file.
            count += 1
            layer.name = f"{name}_{count}"
        self._taken.add(outer + slash + layer.name)
        return layer


def mechanism_name(layer: Any) -> str:
    """The class of a layer in snake case: `"squeeze_excite"`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(layer).__name__).lower()


def _factory(attention: Any) -> Callable[[Any, str], Any]:
    """Callable from a site and a name for it to a new layer or `None`."""
    if isinstance(attention, ChannelAttention):
        return lambda site, base: _copy_for_site(attention, site, base)
    if isinstance(attention, (type, keras.layers.Layer)) or not callable(
        attention
    ):
        raise TypeError(
            "`attention` must be a layer of `keras_channel_attn`, such as "
            "`SqueezeExcite()`, or a callable that takes the layer at a site "
            "and returns a new layer or None. "
            f"Received: attention={attention!r}. For another kind of layer "
            "pass a callable: `lambda site: MyLayer()`."
        )

    def make(site: Any, base: str) -> Any:
        layer = attention(site)
        if layer is not None and not isinstance(layer, keras.layers.Layer):
            raise TypeError(
                "The callable `attention` must return a Keras layer or None. "
                f"For '{site.name}' it returned {layer!r}."
            )
        return layer

    return make


def _copy_for_site(template: Any, site: Any, base: str) -> Any:
    config = template.get_config()
    config["name"] = f"{base}_{mechanism_name(template)}"
    policy = getattr(site, "dtype_policy", None)
    if (
        policy is not None
        and policy.quantization_mode is None
        and template.dtype_policy == keras.config.dtype_policy()
    ):
        config["dtype"] = policy
    return type(template).from_config(config)


def _check_data_format(layer: Any, data_format: str | None, path: str) -> None:
    if (
        isinstance(layer, ChannelAttention)
        and data_format is not None
        and layer.data_format != data_format
    ):
        raise ValueError(
            f"The network is {data_format} at '{path}', the attention for it "
            f"is {layer.data_format}. Pass `data_format='{data_format}'` to "
            f"{type(layer).__name__}."
        )
