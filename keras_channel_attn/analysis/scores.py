"""The attention scores of a model over data."""

import contextlib
import difflib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import keras

from keras_channel_attn.analysis.attention_layers import (
    attention_inside,
    layers_with_hidden_attention,
    wrapped_models,
)
from keras_channel_attn.analysis.keys import unique_keys
from keras_channel_attn.arguments import boolean, positive_integer
from keras_channel_attn.graph import (
    Call,
    Graph,
    IdentityMap,
    graph_of,
    interpret,
    is_model,
    new_input,
    warn,
)
from keras_channel_attn.graph.keras_internals import (
    functional_model,
    keep_names,
    mask_of,
    sync_jax_state,
)
from keras_channel_attn.layers import ChannelAttention


def attention_scores(
    model: Any,
    x: Any,
    layers: Any = None,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: Any = "auto",
    return_labels: bool = False,
) -> Any:
    """The scores of the attention layers of a model, for each sample.

    The model computes as in `model.predict`: with dropout off and the moving
    statistics of batch normalization. It is not changed.

    Args:
        model: Functional or sequential model of Keras, built. Models in it are
            searched too, at any depth.
        x: What `model.predict` takes: arrays, a structure of arrays, a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, a torch `DataLoader`,
            a grain dataset, or a generator. Labels in it are ignored, unless
            `return_labels=True`.
        layers: List of names of attention layers, such as
            `["backbone/conv1_se"]` or `["conv1_se"]`, or a callable from an
            attention layer to a boolean. Defaults to `None`: all of them.
        batch_size: Integer, samples in a batch, for arrays. Defaults to
            `None`: 32.
        steps: Integer, how many batches to take. Defaults to `None`: all. A
            dataset without an end needs it.
        verbose: `"auto"`, 0, 1 or 2: the progress bar, as in `model.predict`.
            Defaults to `"auto"`.
        return_labels: Boolean, whether the labels in `x` are returned as well.
            They come from the same pass over the data, so that they belong to
            the scores if the data is shuffled. Defaults to `False`.

    Returns:
        Dictionary from the path of each attention layer to a NumPy array of
        shape `(samples, channels)`, in the order of computation. Attention
        inside `keras.layers.TimeDistributed` has `(samples, steps, channels)`.
        The path is the name of the layer, preceded by the names of the models
        and wrappers around it: `"backbone/conv1_se"`. A layer that is called
        several times has the keys `"conv1_se"`, `"conv1_se:1"`, `"conv1_se:2"`
        and so on. Scores of half precision are returned as float32.

        With `return_labels=True`, a pair of this dictionary and the labels: the
        `y` of all batches `(x, y)` or `(x, y, sample_weight)`, a NumPy array or
        the structure of arrays that `y` is.

    Raises:
        TypeError: If `model` is not a model of Keras, or `layers` is neither a
            list of names nor a callable.
        ValueError: If the model has a `call` method of its own, is not built,
            or calls no attention layer; if a name in `layers` is unknown, or
            `layers` selects nothing; if `return_labels=True` and the batches
            of `x` have no labels; on the openvino backend.

    Examples:

    >>> inputs = keras.Input((8, 8, 16))
    >>> outputs = SqueezeExcite(reduction=4, name="se")(inputs)
    >>> model = keras.Model(inputs, outputs)
    >>> images = np.random.normal(size=(5, 8, 8, 16))
    >>> scores = attention_scores(model, images, verbose=0)
    >>> scores["se"].shape
    (5, 16)
    """
    if keras.config.backend() == "openvino":
        raise ValueError(
            "`attention_scores` does not run on the openvino backend, whose "
            "`predict` compiles functional models only. Use another backend."
        )
    if batch_size is not None:
        batch_size = positive_integer("batch_size", batch_size)
    if steps is not None:
        steps = positive_integer("steps", steps)
    boolean("return_labels", return_labels)
    _check_has_graph(model)
    graph = graph_of(model)
    _nest_wrapped_models(graph)
    calls = _attention_calls(graph)
    _check_any(graph, calls)
    chosen = _selected_layers(graph, calls, layers)
    calls = [call for call in calls if call.layer in chosen]
    with keep_names():
        predictor = _Predictor(graph, chosen, return_labels)
    with _keep_state(model, predictor), keep_names():
        arrays, *labels = predictor.predict(
            x, batch_size=batch_size, steps=steps, verbose=verbose
        )
    keys = unique_keys(call.path for call in calls)
    scores = dict(zip(keys, arrays, strict=True))
    return (scores, *labels) if labels else scores


class _Predictor(keras.Model):
    """A model with the layers of another, whose outputs are the scores.

    It predicts a tuple: the list of the scores, and the labels if wanted. It
    calls the layers on arrays only. A symbolic call would be recorded in the
    layer, and its `output` would become ambiguous.
    """

    def __init__(
        self, graph: Graph, chosen: set[Any], returns_labels: bool
    ) -> None:
        super().__init__(autocast=False, name="attention_scores")
        # As an attribute, so that Keras finds its variables.
        self.observed = graph.model
        self._entries = {model: _entry(model) for model in graph.nested}
        self._graph = graph
        self._chosen = chosen
        self._returns_labels = returns_labels
        if graph.model.compiled:
            self.run_eagerly = graph.model.run_eagerly
            self.jit_compile = graph.model.jit_compile
        self.built = True

    def predict_step(self, *arguments: Any) -> Any:
        # On JAX a state comes before the batch, and is returned.
        results = super().predict_step(*arguments)
        is_pair = keras.config.backend() == "jax"
        scores, state = results if is_pair else (results, None)
        outputs = (scores,)
        if self._returns_labels:
            outputs += (_labels(arguments[-1]),)
        return (outputs, state) if is_pair else outputs

    def call(self, inputs: Any, training: bool | None = None) -> list[Any]:
        scores: list[Any] = []

        def apply(call: Call, arrays: IdentityMap) -> Any:
            args, kwargs = _arguments(call, arrays)
            outputs = outputs_of(call.operation, *args, **kwargs)
            # A call without scores among its outputs has one tensor.
            return keras.tree.flatten(outputs)[: len(call.outputs)]

        def outputs_of(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if layer in self._chosen:
                kwargs["return_attention_scores"] = True
                outputs = layer(*args, **kwargs)
                scores.append(_single_precision(outputs[1]))
                return outputs
            if isinstance(
                layer, keras.layers.TimeDistributed
            ) and self._chosen.intersection(attention_inside(layer)):
                return outputs_in_time(layer, *args, **kwargs)
            return layer(*args, **kwargs)

        def outputs_in_time(layer: Any, inputs: Any, mask: Any = None) -> Any:
            """All steps are computed as one batch."""
            count, steps = len(scores), keras.ops.shape(inputs)[1]
            mask = mask_of(inputs) if mask is None else mask
            options = {} if mask is None else {"mask": _without_time(mask)}
            inner, folded = layer.layer, _without_time(inputs)
            if inner in self._graph.nested:
                values = keras.tree.flatten(
                    self._entries[inner](folded, **options)
                )
                graph = self._graph.nested[inner]
                outputs = interpret(graph, values, apply, self._enter)[0]
            else:
                outputs = outputs_of(inner, folded, **options)
            scores[count:] = [_with_time(x, steps) for x in scores[count:]]
            if mask is not None:
                # Keras gives the outputs a mask.
                return layer(inputs, mask=mask)
            return _with_time(keras.tree.flatten(outputs)[0], steps)

        entry = self._entries[self._graph.model]
        inputs = keras.tree.flatten(entry(inputs))
        interpret(self._graph, inputs, apply, self._enter)
        return scores

    def _enter(self, call: Call, arrays: IdentityMap) -> list[Any]:
        args, kwargs = _arguments(call, arrays)
        entry = self._entries[call.operation]
        return keras.tree.flatten(entry(*args, **kwargs))


def _labels(batch: Any) -> Any:
    _, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if labels is None:
        raise ValueError(
            "`return_labels=True` needs labels in `x`: a dataset, a loader or "
            "a generator with batches `(x, y)` or `(x, y, sample_weight)`. "
            "Received: batches without labels. The scores of arrays have the "
            "order of the arrays, so that labels of that order belong to them."
        )
    return labels


def _without_time(tensor: Any) -> Any:
    return keras.ops.reshape(tensor, (-1, *keras.ops.shape(tensor)[2:]))


def _with_time(tensor: Any, steps: Any) -> Any:
    shape = (-1, steps, *keras.ops.shape(tensor)[1:])
    return keras.ops.reshape(tensor, shape)


def _arguments(call: Call, arrays: IdentityMap) -> tuple[Any, dict[str, Any]]:
    args, kwargs = call.arguments(arrays)
    if isinstance(call.operation, keras.layers.Layer):
        # Inference, whatever was recorded: as `predict` does.
        kwargs = {k: v for k, v in kwargs.items() if k != "training"}
    return args, kwargs


def _entry(model: Any) -> Any:
    """A model that returns its inputs as another receives them.

    Keras matches names, adjusts ranks and converts dtypes before the first
    layer is called.
    """
    inputs = keras.tree.map_structure(new_input, functional_model(model).input)
    # In Keras 3.12 the output of a model cannot be its input.
    outputs = [
        keras.layers.Identity(dtype=tensor.dtype, name=f"{position}")(tensor)
        for position, tensor in enumerate(keras.tree.flatten(inputs))
    ]
    return keras.Model(inputs, outputs, name=f"{model.name}_inputs")


def _single_precision(scores: Any) -> Any:
    # NumPy has no bfloat16, and little can be computed in float16.
    dtype = keras.backend.standardize_dtype(scores.dtype)
    if dtype in ("float16", "bfloat16"):
        return keras.ops.cast(scores, "float32")
    return scores


class _AttentionCall(NamedTuple):
    """A call of an attention layer, also inside `TimeDistributed`."""

    path: str
    layer: ChannelAttention


def _nest_wrapped_models(graph: Graph) -> None:
    """Add the models inside `TimeDistributed` to those of a graph."""
    for call in [*graph.all_calls()]:
        layer, path = call.operation, call.path
        while isinstance(layer, keras.layers.TimeDistributed):
            layer = layer.layer
            path += f"/{layer.name}"
        if is_model(layer) and layer not in graph.nested:
            _nest_wrapped_models(Graph(layer, f"{path}/", graph.nested))


def _attention_calls(graph: Graph) -> list[_AttentionCall]:
    """The calls of attention layers as they are computed.

    Unlike in `Graph.all_calls`, those in a nested model come once for each
    call of that model.
    """
    calls: list[_AttentionCall] = []

    def enter(layer: Any, path: str) -> None:
        if isinstance(layer, ChannelAttention):
            calls.append(_AttentionCall(path, layer))
        elif isinstance(layer, keras.layers.TimeDistributed):
            enter(layer.layer, f"{path}/{layer.layer.name}")
        elif layer in graph.nested:
            interpret(graph.nested[layer], [None] * len(layer.inputs), apply)

    def apply(call: Call, values: IdentityMap) -> list[None]:
        enter(call.operation, call.path)
        return [None] * len(call.outputs)

    enter(graph.model, "")
    return calls


def _selected_layers(
    graph: Graph, calls: list[_AttentionCall], layers: Any
) -> set[Any]:
    """The attention layers that the argument `layers` selects."""
    if layers is None:
        return {call.layer for call in calls}
    if callable(layers) and not isinstance(layers, (type, keras.layers.Layer)):
        chosen = {call.layer for call in calls if layers(call.layer)}
    elif isinstance(layers, Collection) and not isinstance(layers, str):
        chosen = {
            layer for name in layers for layer in _layers_named(calls, name)
        }
    else:
        raise TypeError(
            "`layers` must be a list of names, or a callable from an attention "
            f"layer to a boolean. Received: layers={layers!r}."
        )
    if not chosen:
        raise ValueError(
            "`layers` selects no attention layer of the model "
            f"'{graph.model.name}'. It has {_paths(calls)}."
        )
    return chosen


def _layers_named(calls: list[_AttentionCall], name: Any) -> set[Any]:
    found = {
        call.layer for call in calls if name in (call.path, call.layer.name)
    }
    if not found:
        near = difflib.get_close_matches(str(name), _paths(calls), n=5)
        raise ValueError(
            f"`layers` names '{name}', and the model has no attention layer "
            f"of that name. Near it: {near or _paths(calls)}."
        )
    return found


def _paths(calls: list[_AttentionCall]) -> list[str]:
    return list(dict.fromkeys(call.path for call in calls))


def _check_has_graph(model: Any) -> None:
    if isinstance(model, keras.Model) and not is_model(model):
        raise ValueError(
            f"The model '{model.name}' computes its outputs in a `call` method "
            f"of its own ({type(model).__name__}.call), so Keras does not know "
            "where its attention layers are called. Pass a functional model "
            "inside it, such as its backbone, or change that method so that it "
            "returns the scores: `x, scores = self.attention(x, "
            "return_attention_scores=True)`."
        )


def _check_any(graph: Graph, calls: list[_AttentionCall]) -> None:
    """Attention may be called where the graph does not show it."""
    hidden = layers_with_hidden_attention(graph, (call.layer for call in calls))
    if not calls:
        raise ValueError(
            f"The model '{graph.model.name}' calls no attention layer of "
            "`keras_channel_attn`. "
            + (
                _advice(hidden)
                if hidden
                else "Squeeze-and-Excitation that is written as several "
                "layers, as in the MobileNetV3 and EfficientNet of "
                "`keras.applications`, becomes a layer by "
                "`fuse_squeeze_excite(model)`."
            )
        )
    if hidden:
        warn(f"Some attention scores are missing. {_advice(hidden)}")


def _advice(hidden: dict[str, Any]) -> str:
    """What to do with layers that hold attention."""
    advice = (
        f"Attention is called inside the layers {sorted(hidden)}, where Keras "
        "does not record it."
    )
    models = wrapped_models(hidden)
    if models:
        lines = (f"`attention_scores({code}, x)`" for code in models)
        advice += (
            " Pass the models that they wrap, with their inputs: "
            f"{', '.join(lines)}."
        )
    if len(models) < len(hidden):
        advice += (
            " Let their `call` methods return the scores: `x, scores = "
            "self.attention(x, return_attention_scores=True)`."
        )
    return advice


@contextlib.contextmanager
def _keep_state(model: Any, predictor: Any) -> Iterator[None]:
    """Undo what `predict` does to the layers of a model, also after errors."""
    backend = keras.backend.backend()
    modules = list(model.modules()) if backend == "torch" else []
    modes = [module.training for module in modules]
    values = [(variable, variable.value) for variable in model.variables]
    try:
        yield
    except BaseException:
        if backend == "jax":
            # `predict` moves the values from the variables to a state of the
            # predictor, and leaves them there if a batch fails.
            for variable, value in values:
                if not value.is_deleted():
                    variable.assign(value)
            sync_jax_state(predictor)
        raise
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
