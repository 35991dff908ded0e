"""Attention whose gates are constants, in place of computed ones."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_channel_attn.analysis.attention_layers import (
    attention_places,
    path_of,
)
from keras_channel_attn.analysis.batches import Batches
from keras_channel_attn.analysis.measurement import Effect, Measurement
from keras_channel_attn.analysis.observable_layers import (
    check_backend,
    keep_state,
    selected_layers,
)
from keras_channel_attn.arguments import finite_number, positive_integer
from keras_channel_attn.graph import (
    Call,
    Changes,
    Graph,
    first_lines,
    graph_of,
    rebuild,
    warn,
)
from keras_channel_attn.graph.keras_internals import mask_of
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.surgery.attention_calls import (
    attention_calls,
    check_scores_unused,
)
from keras_channel_attn.surgery.attention_layers import free_name
from keras_channel_attn.surgery.folded_scales import FoldedScales
from keras_channel_attn.surgery.scales import (
    NotFolded,
    Scale,
    channel_axis,
)

# How many layers a warning names.
_NAMED = 5


def freeze_attention(
    model: Any,
    x: Any,
    layers: Any = None,
    tolerance: float | None = None,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: Any = "auto",
) -> Any:
    """A copy of a network in which the gates of attention are constants.

    The gates of a layer are fixed at their means over data. In the copy nothing
    is pooled for them, and its files need this library no more. Attention is
    the part of a network that accelerators are slowest at. `attention_report`
    measures which layers can be frozen, and what that changes.

        y = x * mean of gate(excite(squeeze(x))) over the data

    Constants are multiplied into the weights before the attention: those of a
    convolution, a transposed, separable or depthwise one, a dense layer, or the
    scale of a batch or group normalization. Activations such as `relu`, which
    commute with positive factors, dropout, pooling, padding, upsampling and
    layers that move axes may be in between. Where that is not exact, they are
    multiplied into the next convolution or dense layer. Where that is not exact
    either, such as between a `swish` and an addition, a
    `keras.layers.Rescaling` with the name of the attention multiplies by them,
    and a warning says why. A regularizer of a kernel gets the new values.

    `GlobalContext`, whose scores may be added, is frozen alike. Layers that
    attend to positions, such as `ConvolutionalBlockAttention`, cannot be
    frozen, and neither can attention inside layers that a user wrote. A layer
    that is called several times has one gate for each channel, the mean over
    all of its calls. Masks are used for the means, and not in the copy.

    Everything else is kept as `insert_attention` keeps it. The result is not
    compiled, and can be trained further.

    Args:
        model: Functional or sequential model of Keras, built.
        x: Data, as in `attention_scores`. With `layers="auto"` it must not be a
            generator, which can be read only once.
        layers: List of names of attention layers, or a callable from an
            attention layer to a boolean, as in `attention_scores`; or `"auto"`:
            as many as `tolerance` allows. The layers are sorted by the change
            of the outputs when each is frozen alone. Then the first, the first
            two, the first three and so on are frozen and measured together,
            until the change is above the tolerance. Defaults to `None`: all
            that can be frozen.
        tolerance: Number of zero or more, the largest change of the outputs for
            `layers="auto"`, relative to their spread over the data: the
            `change_if_constant` of `attention_report`. Defaults to `None`,
            without `"auto"`.
        batch_size: Integer, samples in a batch, for arrays. Defaults to
            `None`: 32.
        steps: Integer, how many batches to take. Defaults to `None`: all.
        verbose: `"auto"`, 0, 1 or 2: the progress bars. Defaults to `"auto"`.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If `model` is not a model of Keras, or an argument has
            another type.
        ValueError: If the model has no graph, is not built or has no attention;
            if `layers` names attention that is unknown or cannot be frozen; if
            all of it cannot; if attention scores are used in the model; if
            `x` has no samples, or some whose gates are not finite; if
            `tolerance` is missing for `"auto"`, or given without it, or the
            change is unknown, as it is for one sample; if no layer can be
            frozen within the tolerance; if the model cannot be copied: see
            `insert_attention`; on the openvino backend.

    Warns:
        UserWarning: If constants could not be multiplied into weights; if
            attention cannot be frozen, and stays; if an attribute of the model
            is not carried over.

    Examples:

    >>> x = keras.Input((32, 32, 3))
    >>> y = keras.layers.Conv2D(16, 3)(x)
    >>> y = keras.layers.BatchNormalization()(y)
    >>> y = SqueezeExcite(reduction=4)(keras.layers.ReLU()(y))
    >>> model = keras.Model(x, y)
    >>> images = np.random.normal(size=(8, 32, 32, 3))
    >>> frozen = freeze_attention(model, images, verbose=0)
    >>> [type(layer).__name__ for layer in frozen.layers[1:]]
    ['Conv2D', 'BatchNormalization', 'ReLU']
    """
    check_backend("freeze_attention")
    if batch_size is not None:
        batch_size = positive_integer("batch_size", batch_size)
    if steps is not None:
        steps = positive_integer("steps", steps)
    is_automatic = isinstance(layers, str) and layers == "auto"
    _check_tolerance(tolerance, is_automatic)
    graph = graph_of(model)
    calls = attention_calls(graph, "freeze_attention")
    paths = _freezable_paths(model, calls, None if is_automatic else layers)
    calls = [call for call in calls if _attention_of(call) in paths]
    for call in calls:
        check_scores_unused(call, "freeze")
    batches = Batches(
        x, None, batch_size, steps, verbose, is_repeatable=is_automatic
    )
    with keep_state(model):
        measurement = Measurement(model, list(paths), batches)
        measurement.observe_gates()
        scores = {layer: measurement.gates[layer].mean for layer in paths}
        _check_finite(scores, paths)
        if tolerance is not None:
            scores = _within_tolerance(measurement, scores, paths, tolerance)
    constants = _Constants(graph)
    for call in calls:
        if _attention_of(call) in scores:
            constants.put_in_place_of(call, scores[_attention_of(call)])
    copy = rebuild(graph, constants.changes)
    _warn_of_multiplications(constants.reasons)
    return copy


def _check_tolerance(tolerance: Any, is_automatic: bool) -> None:
    if tolerance is None:
        if is_automatic:
            raise ValueError(
                '`layers="auto"` needs a `tolerance`, the largest change of '
                "the outputs relative to their spread, such as 0.05."
            )
        return
    if not is_automatic:
        raise ValueError(
            '`tolerance` is for `layers="auto"`. '
            f"Received: tolerance={tolerance!r}."
        )
    if finite_number("tolerance", tolerance) < 0:
        raise ValueError(
            "`tolerance` must be zero or more. "
            f"Received: tolerance={tolerance!r}."
        )


def _attention_of(call: Call) -> AttentionLayer:
    """The attention layer of a call, also if it is wrapped."""
    layer = call.operation
    return layer if isinstance(layer, AttentionLayer) else layer.layer


def _freezable_paths(
    model: Any, calls: list[Call], layers: Any
) -> dict[AttentionLayer, str]:
    """The paths of the layers to freeze, which can all be frozen."""
    places = attention_places(model)
    paths = {layer: path_of(place) for layer, place in places.items()}
    chosen = selected_layers(model, paths, layers)
    shown = {_attention_of(call): call for call in calls}
    reasons = {}
    for layer, path in chosen.items():
        reason = _obstacle(layer, shown.get(layer))
        if reason is not None:
            reasons[path] = reason
    lines = [f"{path}: {reason}" for path, reason in reasons.items()]
    if lines and (layers is not None or len(reasons) == len(chosen)):
        raise ValueError(
            "`freeze_attention` cannot freeze these layers:\n  "
            + "\n  ".join(lines)
        )
    if lines:
        warn(
            "`freeze_attention` leaves these layers as they are:\n  "
            + "\n  ".join(lines)
        )
    return {x: path for x, path in chosen.items() if path not in reasons}


def _obstacle(layer: AttentionLayer, call: Call | None) -> str | None:
    """Why a layer cannot be frozen, `None` if it can."""
    wrappers = (AttentionLayer, keras.layers.TimeDistributed)
    if call is None or not isinstance(call.operation, wrappers):
        return "it is inside a layer whose calls the model does not show"
    channels = call.inputs[0].shape[_axis(call)]
    if layer.constant_terms(np.ones(channels)) is None:
        return (
            "the gates of the channels do not determine the outputs of "
            f"{type(layer).__name__}"
        )
    return None


def _axis(call: Call) -> int:
    """The axis of the channels in the input of attention."""
    return channel_axis(call.operation, call.inputs[0])


def _check_finite(
    scores: Mapping[AttentionLayer, Any], paths: Mapping[AttentionLayer, str]
) -> None:
    found = [paths[x] for x in scores if not np.isfinite(scores[x]).all()]
    if found:
        raise ValueError(
            "`freeze_attention` needs data for which the gates are finite "
            "numbers. Look for NaN and infinities in `x`. Received: data for "
            f"which the gates of {found[:_NAMED]} are not finite."
        )


def _within_tolerance(
    measurement: Measurement,
    scores: dict[AttentionLayer, Any],
    paths: Mapping[AttentionLayer, str],
    tolerance: float,
) -> dict[AttentionLayer, Any]:
    """The layers that can be frozen together, with their scores."""
    alone = measurement.effects([{x: scores[x]} for x in scores])
    changes = dict(zip(scores, map(_known_change, alone), strict=True))
    ordered = sorted(scores, key=lambda layer: changes[layer])
    first = [ordered[: count + 1] for count in range(len(ordered))]
    together = measurement.effects(
        [{layer: scores[layer] for layer in some} for some in first]
    )
    chosen: list[AttentionLayer] = []
    for some, effect in zip(first, together, strict=True):
        if _known_change(effect) > tolerance:
            break
        chosen = some
    if not chosen:
        least = ordered[0]
        raise ValueError(
            "No attention can be frozen within the tolerance. The least change "
            f"is {changes[least]:.3g}, with '{paths[least]}'. "
            f"Received: tolerance={tolerance}."
        )
    return {layer: scores[layer] for layer in chosen}


def _known_change(effect: Effect) -> float:
    if effect.change is None:
        raise ValueError(
            '`layers="auto"` needs data for which the outputs of the model '
            "are finite, have one size and differ: two samples or more."
        )
    return effect.change.change


class _Constants:
    """Constants in the place of attention, in the copy of a model.

    Attributes:
        changes: `Changes`.
        reasons: Dictionary from the paths of attention to why a layer
            multiplies by its constants, and no weights do.
    """

    def __init__(self, graph: Graph) -> None:
        self.changes = Changes()
        self.reasons: dict[str, str] = {}
        self._folded = FoldedScales(graph, self.changes)
        self._taken = set(graph.operations())
        # From layers and ranks of their inputs to what multiplies.
        self._layers: dict[tuple[Any, int], _Multiplication] = {}

    def put_in_place_of(self, call: Call, scores: Any) -> None:
        """Let a call have constant scores, `(channels,)`."""
        attention = _attention_of(call)
        factors, terms = attention.constant_terms(scores) or (scores, scores)
        scale = Scale(_axis(call), factors, terms)
        try:
            if attention.activity_regularizer is not None:
                raise NotFolded(f"'{call.path}' has an activity regularizer")
            if _loses_mask(call):
                raise NotFolded(f"'{call.path}' ends the mask of its input")
            if call.inputs[0].dtype != call.outputs[0].dtype:
                raise NotFolded(f"'{call.path}' changes the dtype")
            self._folded.fold(call, scale)
        except NotFolded as reason:
            self.reasons[call.path] = str(reason)
            layer = self._multiplication(call, scale)
            inputs = call.inputs[:1]
            self.changes.replace(call, layer, inputs=inputs, extends=False)
        else:
            self.changes.remove(call)

    def _multiplication(self, call: Call, scale: Scale) -> "_Multiplication":
        """One for all calls of a layer, if their inputs have one rank."""
        key = call.operation, len(call.inputs[0].shape)
        if key not in self._layers:
            name = call.operation.name
            if any(layer is call.operation for layer, _ in self._layers):
                outer = call.path.removesuffix(name)
                name = free_name(name, outer, self._taken)
            self._layers[key] = _Multiplication(call, scale, name)
        return self._layers[key]


def _loses_mask(call: Call) -> bool:
    is_first = _attention_of(call).data_format == "channels_first"
    return is_first and mask_of(call.inputs[0]) is not None


class _Multiplication:
    """A layer of Keras that multiplies channels by constants.

    The constants are no weights, so that training does not change them.
    """

    def __init__(self, call: Call, scale: Scale, name: str) -> None:
        attention = _attention_of(call)
        self.name = name
        self._loses_mask = _loses_mask(call)
        # With three axes or more, Keras has no data format of its own for it.
        rank = max(len(call.inputs[0].shape) - 1, 3)
        shape = [1] * rank
        shape[scale.axis - len(call.inputs[0].shape)] = -1
        factors, terms = (
            np.asarray(array, "float64").reshape(shape).tolist()
            for array in (scale.factors, scale.terms)
        )
        self._layer = keras.layers.Rescaling(
            factors,
            terms if scale.adds else 0.0,
            name=name,
            dtype=attention.dtype_policy,
            activity_regularizer=attention.activity_regularizer,
        )
        self._layer.trainable = attention.trainable

    def __call__(self, inputs: Any) -> Any:
        if self._loses_mask:
            inputs = keras.ops.copy(inputs)
        return self._layer(inputs)


def _warn_of_multiplications(reasons: Mapping[str, str]) -> None:
    if not reasons:
        return
    lines = [f"{path}: {reason}" for path, reason in reasons.items()]
    warn(
        "`freeze_attention`: these layers multiply by constants in the copy, "
        "as no weights can be multiplied exactly:\n  "
        + first_lines(lines, _NAMED)
    )
