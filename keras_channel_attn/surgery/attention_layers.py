"""The new attention layers: one for each site, with names of their own."""

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import keras

from keras_channel_attn.graph import Call, Graph, snake_name
from keras_channel_attn.graph.keras_internals import has_been_called
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.surgery.sites import Site


class AttentionLayers:
    """New layers, the same one wherever a shared layer is called.

    `attention` is what the user passed: a layer that is copied for each site,
    or a callable. The names in `graph` are taken.
    """

    def __init__(self, attention: Any, graph: Graph) -> None:
        self._make = _factory(attention)
        self._graph = graph
        self._made: dict[Any, Any] = {}
        operations = graph.operations()
        self._taken = set(operations)
        self._in_use = set(operations.values())

    def at(self, site: Site) -> Any:
        """The layer for a site, or `None` to leave the site alone."""
        if site.key not in self._made:
            self._made[site.key] = self._new(site.layer, site.path)
        layer = self._made[site.key]
        if isinstance(layer, AttentionLayer):
            self._check_data_format(layer, site)
        return layer

    def instead_of(self, call: Call) -> Any:
        """The layer for the place of an attention layer, or `None`."""
        old = call.operation
        path = call.path.removesuffix("_" + snake_name(old))
        if old not in self._made:
            self._made[old] = self._new(old, path, freed=call.path)
        layer = self._made[old]
        if isinstance(layer, AttentionLayer):
            check_data_format_is(layer, old.data_format, call.path)
        return layer

    def _new(self, site: Any, path: str, freed: str = "") -> Any:
        outer, slash, base = path.rpartition("/")
        layer = self._make(site, base.replace(":", "_"))
        if layer is None:
            return None
        if layer in self._in_use or has_been_called(layer):
            raise ValueError(
                f"`attention` returned the layer '{layer.name}' for "
                f"'{site.name}', which is in use already. It has to return a "
                "new one each time."
            )
        self._in_use.add(layer)
        self._taken.discard(freed)
        # Keras gives layers without a name one that is unique in a process,
        # but not in a model that comes from a file.
        layer.name = free_name(layer.name, outer + slash, self._taken)
        return layer

    def _check_data_format(self, layer: AttentionLayer, site: Site) -> None:
        axis = site.source.graph.channel_axis(site.tensor)
        last = len(site.tensor.shape) - 1
        if axis is None:
            formats = self._graph.data_formats()
            if formats and layer.data_format not in formats:
                raise ValueError(
                    f"The axis of the channels after '{site.path}' is unknown, "
                    f"and all layers of the network that have a data format "
                    f"are {formats.pop()}, the attention is "
                    f"{layer.data_format}. Pass `data_format=` to "
                    f"{type(layer).__name__}."
                )
            return
        if axis not in (1, last):
            raise ValueError(
                f"The channels after '{site.path}' are axis {axis} of "
                f"{tuple(site.tensor.shape)}: neither the first nor the last "
                "axis after the batch. Insert attention inside the layer that "
                "`keras.layers.TimeDistributed` wraps."
            )
        data_format = "channels_first" if axis == 1 else "channels_last"
        check_data_format_is(layer, data_format, site.path)


def free_name(name: str, outer: str, taken: set[str]) -> str:
    """The name, with a number if it is one of the `taken` paths in `outer`.

    It is taken afterwards.
    """
    numbered = (f"{name}_{count}" for count in itertools.count(1))
    names = itertools.chain([name], numbered)
    free = next(x for x in names if outer + x not in taken)
    taken.add(outer + free)
    return free


def check_data_format_is(
    layer: AttentionLayer, data_format: str, path: str
) -> None:
    """Raise an error if a new layer has another data format than its place."""
    if layer.data_format != data_format:
        raise ValueError(
            f"The network is {data_format} at '{path}', the attention for it "
            f"is {layer.data_format}. Pass `data_format='{data_format}'` to "
            f"{type(layer).__name__}."
        )


def _factory(attention: Any) -> Callable[[Any, str], Any]:
    """Callable from a site and a name for it to a new layer or `None`."""
    if isinstance(attention, AttentionLayer):
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
    # It is in the configuration only where it is not 1.
    multiplier = {"learning_rate_multiplier": template.learning_rate_multiplier}
    _check_arguments_are_in({**multiplier, **config}, type(template))
    config["name"] = f"{base}_{snake_name(template)}"
    policy = getattr(site, "dtype_policy", None)
    if (
        policy is not None
        and policy.quantization_mode is None
        and template.dtype_policy == keras.config.dtype_policy()
    ):
        config["dtype"] = policy
    return type(template).from_config(config)


# Keras leaves some of these out of configurations.
_ARGUMENTS_OF_KERAS = inspect.signature(keras.layers.Layer.__init__).parameters


def _check_arguments_are_in(config: dict[str, Any], kind: Any) -> None:
    """Raise an error for arguments that a copy would silently lose."""
    lost = [
        parameter.name
        for parameter in inspect.signature(kind.__init__).parameters.values()
        if parameter.kind
        not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name not in {*config, *_ARGUMENTS_OF_KERAS}
    ]
    if lost:
        entries = ", ".join(f'"{name}": self.{name}' for name in lost)
        raise ValueError(
            f"A copy of {kind.__name__} would lose the arguments {lost}, which "
            "are not in its configuration. Add this method to the class:\n\n"
            "    def get_config(self):\n"
            f"        return {{**super().get_config(), {entries}}}\n"
        )
