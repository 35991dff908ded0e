"""Attention inserted into networks, and the places for it."""

from typing import Any

from keras_channel_attn.graph import (
    Changes,
    check_classes,
    graph_of,
    rebuild,
    warn,
)
from keras_channel_attn.graph.keras_internals import keep_names
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.surgery.attention_layers import AttentionLayers
from keras_channel_attn.surgery.site_masks import SiteMasks
from keras_channel_attn.surgery.sites import Site, find_sites


def attention_sites(model: Any, where: Any = "residual") -> list[str]:
    """The places in a network where `insert_attention` would put attention.

    The network is not copied. Layers that may add their inputs are tried out
    on small random arrays; the global random state stays as it is.

    Args:
        model: Functional or sequential model of Keras, built.
        where: `"residual"`, names, classes, or a predicate: see
            `insert_attention`. Defaults to `"residual"`.

    Returns:
        List of strings in the order of computation: the names of the layers
        whose output is attended to. The name of a layer in a nested model
        begins with the name of the model: `"backbone/conv1"`. One output of a
        layer with several outputs is named `"split:1"`, counted from 0. A
        layer with weights that is called several times is listed once, one
        without weights, such as a shared ReLU, once for each call. The list
        can be passed on as `where`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has no graph or is not built, or if there is
            no such place: see `insert_attention`.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> y = keras.layers.Conv2D(8, 3, padding="same", name="conv")(x)
    >>> model = keras.Model(x, keras.layers.Add()([x, y]))
    >>> attention_sites(model)
    ['conv']
    """
    with keep_names():
        sites = find_sites(graph_of(model), where)
    # Sites that share an attention layer are one place.
    return list({site.key: site.path for site in sites}.values())


def insert_attention(
    model: Any, attention: Any, where: Any = "residual", mask: Any = None
) -> Any:
    """A copy of a network with channel attention in it.

    With `identity_start=True` the copy computes what the original does, until
    it is trained. The original stays as it is.

    The copy keeps of each layer: name, configuration, functions and
    initializers (the same objects), weights, other state such as vocabularies
    and random seeds, dtype policy, and `trainable` flags. Layers and variables
    that are shared or tied stay so. The copy has the Python attributes of the
    model; layers and tensors among them become its own. Attributes that
    cannot be translated, because they refer to the original, are named in a
    warning.

    `.weights.h5` files of the original have to be loaded before attention is
    inserted: they know layers by their position, which insertion changes.

    Args:
        model: Functional or sequential model of Keras, built.
        attention: What to insert. A layer such as
            `SqueezeExcite(identity_start=True)`: each site gets a new layer of
            the same configuration, named `<site>_squeeze_excite`. If it has
            the global dtype policy, it gets the policy of the layer at the
            site. Or a callable that takes the layer at a site and returns a
            new layer of any class, a functional model included, or `None` to
            leave the site alone.
        where: One of

            - `"residual"`: the end of each residual branch that has a
              convolution, just before its addition. The shortcut is left
              alone. Branches of transformers (attention or dense layers only)
              and sums of scales or of parts of one tensor, as in HRNet and
              Res2Net, are not included: pass names, classes, or a predicate.
            - The name of a layer, or a list of names: after each of them. A
              layer of a nested model has the name `"outer/inner"`, the second
              output of a layer with several outputs `"name:1"`.
            - A class of layers such as `keras.layers.Conv2D`, or a list of
              classes: after each layer of them and of their subclasses. A list
              may have both names and classes.
            - A predicate, a callable that takes a layer and returns a boolean:
              after each layer for which it is true.

            Defaults to `"residual"`. A layer with weights that is called
            several times gets one attention layer for all calls, one without
            weights gets one for each call.
        mask: Where to take the masks for the attention from, in a network that
            handles masks by hand. A symbolic tensor that is computed from
            those of the model, the name of an input or of a layer whose output
            it is, or a callable that takes the layer at a site and returns one
            of these, or `None` for no mask. It has the shape of the output at
            the site without the channels. Defaults to `None`: the tensor of
            this shape that the last layer before the site takes as its mask,
            or the only one that a layer takes. Where a tensor has a Keras
            mask, Keras passes that one. Layers without an argument `mask` get
            none.

    Returns:
        A model of the same class, or a plain functional model where that class
        is not constructed from inputs and outputs. It is not compiled.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If the model has no graph (subclassed) or is not built; if
            its class has training logic of its own and is not constructed
            from inputs and outputs; if an input is ragged; if a layer cannot
            be made again from its configuration; if there is no such layer, or
            no site at all; if a site has no spatial axes, or several outputs
            of which none is named; if a new layer changes the shape of its
            input, is in use already, or has another data format than the
            network at its site; if a mask is unknown, has another shape than
            the output at a site, or is computed from it.

    Warns:
        UserWarning: If an attribute of the model is not carried over; if
            attention after an output layer changes the name of that output; if
            the network takes masks, and none is known for a site; if attention
            gets a mask after layers with strides and `padding="same"`, whose
            outputs depend on the padded length; if a site has attention
            already.

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
    sites = find_sites(graph, where)
    check_classes(graph, [site.source for site in sites])
    changes = Changes()
    masks = SiteMasks(graph, changes, mask)
    places = [
        (site, layer)
        for site in sites
        if (layer := layers.at(site)) is not None
    ]
    for (site, layer), own in zip(places, masks.of(places), strict=True):
        if site.consumer is None:
            changes.insert_after(site.source, site.tensor, layer, own)
        else:
            changes.insert_before(site.consumer, site.tensor, layer, own)
    copy = rebuild(graph, changes)
    masks.warn()
    _warn_of_stacked_attention(places)
    _warn_of_renamed_outputs(model, copy)
    return copy


def _warn_of_stacked_attention(places: list[tuple[Site, Any]]) -> None:
    paths = [
        site.path
        for site, layer in places
        if isinstance(layer, AttentionLayer) and site.has_attention
    ]
    if paths:
        warn(
            f"{paths} have channel attention already, and the copy has two "
            "attention layers in a row there. `replace_attention` puts other "
            "attention in the same places, and `remove_attention` removes it."
        )


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
            warn(
                "Attention after an output layer changes the name of the "
                f"output: {renamed}. Use the new names in `compile(loss=...)`."
            )
