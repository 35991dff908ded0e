"""Attention put into networks that exist, taken out, or replaced."""

import difflib
import re

import keras

from keras_channel_attn import graph
from keras_channel_attn.layers import ChannelAttention
from keras_channel_attn.surgery import residual


def attention_sites(model, where="residual"):
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
    inserting = _Inserting(checked_model(model), where, lambda site, base: None)
    graph.rebuild(model, inserting)
    return inserting.finished()


def insert_attention(model, attention, where="residual"):
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
    inserting = _Inserting(checked_model(model), where, _factory(attention))
    copy = graph.rebuild(model, inserting)
    inserting.finished()
    return copy


def remove_attention(model):
    """A copy of a network without its channel attention.

    What `insert_attention` has put in is taken out, and so is every other
    layer of this library: each passes its input on. All other layers keep their
    names, weights and `trainable` flags. The result is not compiled.

    Args:
        model: Functional or sequential model of Keras, built.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If `model` is not a model of Keras.
        ValueError: If it has no graph, is not built or has no attention; if
            attention scores are used in it.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> model = keras.Model(x, SqueezeExcite()(x))
    >>> remove_attention(model).count_params()
    0
    """

    def remove(call):
        if call.kwargs.get("return_attention_scores"):
            raise ValueError(
                f"`remove_attention` cannot remove '{call.path}': the model "
                "uses its attention scores. Pass a model without them."
            )
        if call.graph.source(call.inputs[0]) is None:
            # A model whose output is its input cannot be made everywhere.
            return keras.layers.Identity(name=f"{call.operation.name}_removed")(
                call.inputs[0]
            )
        return call.inputs[0]

    _operations_with_attention(model, "remove_attention")
    return _replace_calls(model, remove)


def replace_attention(model, attention):
    """A copy of a network with other channel attention in the same places.

    A layer named `<site>_squeeze_excite` becomes `<site>_<mechanism>`. All
    other layers keep their names, weights and `trainable` flags. The result is
    not compiled.

    Args:
        model: Functional or sequential model of Keras, built.
        attention: As in `insert_attention`. A callable takes the layer that is
            to be replaced; where it returns `None`, that one stays.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If the model has no graph, is not built or has no attention;
            if the layer has another data format than the network.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> model = keras.Model(x, SqueezeExcite(name="conv_squeeze_excite")(x))
    >>> other = replace_attention(model, EfficientChannelAttention())
    >>> other.layers[-1].name
    'conv_efficient_channel_attention'
    """
    factory = _factory(attention)
    known = _operations_with_attention(model, "replace_attention")
    layers = _OnePerSite(factory, known)

    def replace(call):
        old = call.operation
        path = call.path.removesuffix("_" + _mechanism(old))
        layer = layers.at(old, path, instead_of=call.path)
        if layer is None:
            return None
        _check_data_format(layer, old.data_format, call.path)
        return layer(*call.args, **call.kwargs)

    return _replace_calls(model, replace)


def _operations_with_attention(model, name):
    """`graph.operations` of a model; there has to be attention among them."""
    known = graph.operations(checked_model(model))
    if not any(isinstance(one, ChannelAttention) for one in known.values()):
        raise ValueError(
            f"`{name}` found no channel attention in the model "
            f"'{model.name}'. It looks for layers of `keras_channel_attn`; "
            "`fuse_squeeze_excite` makes them of Squeeze-and-Excitation that "
            "is written as several layers."
        )
    return known


def _replace_calls(model, replace):
    """Rebuild with `replace` at each call of attention."""

    def rewrite(call):
        if isinstance(call.operation, ChannelAttention):
            return replace(call)
        return None

    return graph.rebuild(model, rewrite)


class _Inserting:
    """Rewrites calls such that sites are followed by attention."""

    def __init__(self, model, where, factory):
        self.model = model
        self.where = where
        known = graph.operations(model)
        self.layers = _OnePerSite(factory, known)
        self.sites = {}
        self.residual = isinstance(where, str)
        # Not by path: a model may be nested in several places.
        self.named = {id(one) for one in _named(model, where, known)}

    def __call__(self, call):
        if self.residual:
            return self._before(
                call,
                [
                    branch
                    for branch in residual.branches(call)
                    if residual.can_be_attended(call, branch)
                ],
            )
        if self._is_site(call):
            return self._after(call)
        return None

    def _is_site(self, call):
        if not callable(self.where):
            return id(call.operation) in self.named
        return isinstance(call.operation, keras.layers.Layer) and self.where(
            call.operation
        )

    def _before(self, call, tensors):
        attended = {}
        prefix = call.path.removesuffix(call.operation.name)
        for tensor in tensors:
            source = call.graph.source(tensor)
            path = prefix + source.operation.name
            layer = self._layer(source.operation, path, tensor, call.graph)
            if layer is not None:
                attended[id(tensor)] = layer(tensor)
        return call.run(attended) if attended else None

    def _after(self, call):
        outputs = call.run()
        tensors = keras.tree.flatten(outputs)
        if len(tensors) != 1:
            raise ValueError(
                f"`where` names '{call.path}', which has {len(tensors)} "
                "outputs. Attention is inserted after layers with one."
            )
        call.graph.record(call, outputs)
        layer = self._layer(call.operation, call.path, tensors[0], call.graph)
        return outputs if layer is None else layer(tensors[0])

    def _layer(self, site, path, tensor, calls):
        self.sites.setdefault(id(site), path)
        if len(tensor.shape) < 3:
            raise ValueError(
                f"No attention can follow '{path}': its output has the shape "
                f"{tensor.shape}, and attention needs batch, one or more "
                "spatial axes, and channels. Name other layers in `where`."
            )
        layer = self.layers.at(site, path)
        _check_data_format(layer, calls.data_format(tensor), path)
        return layer

    def finished(self):
        """The paths of all sites, of which there has to be one."""
        if self.sites:
            return list(self.sites.values())
        if self.residual:
            raise ValueError(
                f"The model '{self.model.name}' has no residual branches: no "
                "addition of a tensor to one that is made from it. (An "
                "addition inside a layer cannot be seen.) Pass the names of "
                "layers as `where`, or a predicate such as "
                "`lambda layer: isinstance(layer, keras.layers.Conv2D)`."
            )
        raise ValueError(
            f"The predicate `where` is true for no layer of the model "
            f"'{self.model.name}'. It is given each layer but the inputs, "
            "those of nested models included."
        )


class _OnePerSite:
    """New layers, the same one wherever a shared layer is called."""

    def __init__(self, factory, known):
        self.factory = factory
        self.made = {}
        self.taken = set(known)

    def at(self, site, path, instead_of=None):
        """The layer for a site, whose name begins with the end of `path`.

        It may have the name of the layer at `instead_of`, which goes.
        """
        if id(site) not in self.made:
            # The site is kept, so that no `id` is used again.
            self.made[id(site)] = site, self._new(site, path, instead_of)
        return self.made[id(site)][1]

    def _new(self, site, path, instead_of):
        outer, slash, base = path.rpartition("/")
        layer = self.factory(site, base)
        if layer is None:
            return None
        if layer.built or any(
            layer is other for _, other in self.made.values()
        ):
            raise ValueError(
                f"`attention` returned the layer '{layer.name}' for "
                f"'{site.name}', which is in use already. It has to return a "
                "new one each time."
            )
        self.taken.discard(instead_of)
        name, count = layer.name, 0
        while outer + slash + layer.name in self.taken:
            # Keras gives layers without a name one that is unique in a
            # process, but not in a model that comes from a file.
            count += 1
            layer.name = f"{name}_{count}"
        self.taken.add(outer + slash + layer.name)
        return layer


def _factory(attention):
    """Callable from a site and a name for it to a new layer or `None`."""
    if isinstance(attention, ChannelAttention):
        return lambda site, base: _copy_of(attention, site, base)
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

    def make(site, base):
        layer = attention(site)
        if layer is not None and not isinstance(layer, keras.layers.Layer):
            raise TypeError(
                "The callable `attention` must return a layer of Keras or "
                f"None. For '{site.name}' it returned {layer!r}."
            )
        return layer

    return make


def _copy_of(template, site, base):
    config = template.get_config()
    config["name"] = f"{base}_{_mechanism(template)}"
    policy = getattr(site, "dtype_policy", None)
    if (
        policy is not None
        and policy.quantization_mode is None
        and template.dtype_policy == keras.config.dtype_policy()
    ):
        config["dtype"] = policy
    return type(template).from_config(config)


def _mechanism(layer):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(layer).__name__).lower()


def _check_data_format(layer, data_format, path):
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


def checked_model(model):
    """The model, if Keras knows its graph."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a model of Keras. "
            f"Received: model={model!r} (of type {type(model).__name__})."
        )
    if not graph.is_model(model):
        raise ValueError(
            f"The model '{model.name}' is called by code of its own "
            f"({type(model).__name__}.call), not by a graph that could be "
            "changed. Use the layers of `keras_channel_attn` in that code, or "
            "pass a functional model, such as the backbone inside."
        )
    if not model.built:
        raise ValueError(
            f"The sequential model '{model.name}' is not built. Give it a "
            "`keras.Input` as its first layer, or call its `build`."
        )
    return model


def _named(model, where, known):
    """The layers that `where` names; checks it, whatever it is."""
    if isinstance(where, str):
        if where != "residual":
            raise ValueError(
                '`where` must be "residual", a list of names of layers, or a '
                f"predicate. Received: where={where!r}. For a single layer "
                f"pass a list: [{where!r}]."
            )
        return []
    if isinstance(where, (type, keras.layers.Layer)):
        raise TypeError(
            '`where` must be "residual", a list of names of layers, or a '
            f"predicate. Received: where={where!r}. For all layers of a class "
            "pass a predicate: `lambda layer: isinstance(layer, ...)`."
        )
    if callable(where):
        return []
    if not isinstance(where, (list, tuple, set)) or not all(
        isinstance(name, str) for name in where
    ):
        raise TypeError(
            '`where` must be "residual", a list of names of layers, or a '
            f"predicate. Received: where={where!r}."
        )
    if not where:
        raise ValueError("`where` is an empty list: no layer to attend to.")
    known = {
        path: operation
        for path, operation in known.items()
        if not isinstance(operation, keras.layers.InputLayer)
    }
    for name in where:
        if name not in known:
            raise ValueError(_unknown(model, name, known))
    return [known[name] for name in where]


def _unknown(model, name, known):
    inner = sorted(path for path in known if path.endswith("/" + name))
    near = inner or difflib.get_close_matches(name, sorted(known), n=5)
    hint = f"Near it: {near}." if near else "`model.summary()` lists them."
    return (
        f"The model '{model.name}' has no layer '{name}' that attention could "
        f"follow. {hint} A layer of a nested model is named 'outer/inner'."
    )
