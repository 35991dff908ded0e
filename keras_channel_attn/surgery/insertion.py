"""Attention inserted into networks, and the places for it."""

import warnings
from typing import Any

from keras_channel_attn.graph import (
    Changes,
    check_classes,
    graph_of,
    rebuild,
)
from keras_channel_attn.surgery.attention_layers import AttentionLayers
from keras_channel_attn.surgery.sites import find_sites


def attention_sites(model: Any, where: Any = "residual") -> list[str]:
    """The places in a network where `insert_attention` would put attention.

    Args:
        model: Functional or sequential model of Keras, built.
        where: `"residual"`, list of names, or predicate: see
            `insert_attention`. Defaults to `"residual"`.

    Returns:
        List of strings in the order of computation: the names of the layers
        whose output is attended to. That of a layer in a nested model begins
        with the name of the model: `"backbone/conv1"`. It can be passed on as
        `where`.

    Raises:
        TypeError, ValueError: As `insert_attention`.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> y = keras.layers.Conv2D(8, 3, padding="same", name="conv")(x)
    >>> model = keras.Model(x, keras.layers.Add()([x, y]))
    >>> attention_sites(model)
    ['conv']
    """
    sites = find_sites(graph_of(model), where)
    # Sites that share an attention layer are one place.
    return list({site.key: site.path for site in sites}.values())


def insert_attention(
    model: Any, attention: Any, where: Any = "residual"
) -> Any:
    """A copy of a network with channel attention in it.

    Each original layer keeps its name, configuration, weights, dtype policy and
    `trainable` flag. With `identity_start=True` the copy computes what the
    original does, until it is trained. The original stays as it is.

    `.weights.h5` files of the original have to be loaded before attention is
    inserted: they know layers by their position, which insertion changes.

    Args:
        model: Functional or sequential model of Keras, built.
        attention: What to insert. A layer such as
            `SqueezeExcite(identity_start=True)`: each site gets a new layer of
            the same configuration, named `<site>_squeeze_excite`; a site whose
            dtype policy is not the global one lends it to a layer that has the
            global one. Or a callable that takes the layer at a site and
            returns a new layer, or `None` to leave the site alone.
        where: One of

            - `"residual"`: the end of each residual branch, just before its
              addition. The shortcut is left alone.
            - A list of names of layers: after each of them. A layer of a
              nested model has the name `"outer/inner"`.
            - A predicate, a callable that takes a layer and returns a boolean:
              after each layer for which it is true.

            Defaults to `"residual"`.

    Returns:
        A model of the same class, or a plain functional model where that class
        cannot be made from inputs and outputs. It is not compiled.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If the model has no graph (subclassed) or is not built; if
            there is no such layer, or no site at all; if a site has no spatial
            axes, or several outputs; if the layer has another data format than
            the network at its site.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> y = keras.layers.Conv2D(8, 3, padding="same", name="conv")(x)
    >>> model = keras.Model(x, keras.layers.Add(name="add")([x, y]))
    >>> attention = SqueezeExcite(reduction=4, identity_start=True)
    >>> insert_attention(model, attention).layers[2].name
    'conv_squeeze_excite'
    """
    graph = graph_of(model)
    layers = AttentionLayers(attention, graph)
    check_classes(graph, ())
    sites = find_sites(graph, where)
    check_classes(graph, [site.source for site in sites])
    changes = Changes()
    for site in sites:
        layer = layers.at(site)
        if layer is None:
            continue
        if site.consumer is None:
            changes.insert_after(site.source, site.tensor, layer)
        else:
            changes.insert_before(site.consumer, site.tensor, layer)
    copy = rebuild(graph, changes)
    _warn_of_renamed_outputs(model, copy)
    return copy


def _warn_of_renamed_outputs(model: Any, copy: Any) -> None:
    """Keras names an output after its last layer."""
    # Those in a dictionary have keys, and a single one needs no name.
    names = getattr(model, "output_names", [])
    if len(names) > 1 and not isinstance(model.output, dict):
        renamed = {
            old: new
            for old, new in zip(names, copy.output_names, strict=True)
            if old != new
        }
        if renamed:
            warnings.warn(
                "Attention after an output layer changes the name of the "
                f"output: {renamed}. Use the new names in `compile(loss=...)`.",
                stacklevel=3,
            )
