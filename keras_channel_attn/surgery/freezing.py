"""Attention whose gates are constants, in place of computed ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_channel_attn.analysis.batches import Batches
from keras_channel_attn.analysis.measurement import Effect, Measurement
from keras_channel_attn.analysis.observable_layers import (
    check_backend,
    keep_state,
)
from keras_channel_attn.arguments import finite_number, positive_integer_or_none
from keras_channel_attn.graph import (
    Call,
    first_lines,
    graph_of,
    rebuild,
    warn,
)
from keras_channel_attn.layers import AttentionLayer
from keras_channel_attn.surgery.attention_calls import (
    attention_calls,
    attention_of,
    check_scores_unused,
    chosen_paths,
)
from keras_channel_attn.surgery.constants import Constants, axis_of

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
    is pooled for them. If all attention is frozen, files of the copy do not
    need this library. Channel attention is memory-bound. `attention_report`
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
            if `layers` selects nothing, or names attention that is unknown or
            cannot be frozen; if `batch_size` or `steps` is below 1; if all of
            it cannot; if attention is called with
            `return_attention_scores=True` or `return_spatial_scores=True`; if
            `x` has no samples, or some whose gates are not finite, or is a
            generator with `layers="auto"`; if all time steps of a layer are
            masked; if `tolerance` is missing for `"auto"`, or given without it,
            or the change is unknown, as it is for one sample; if no layer can
            be frozen within the tolerance; if the model cannot be copied: see
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
    batch_size = positive_integer_or_none("batch_size", batch_size)
    steps = positive_integer_or_none("steps", steps)
    is_automatic = isinstance(layers, str) and layers == "auto"
    _check_tolerance(tolerance, is_automatic)
    graph = graph_of(model)
    calls = attention_calls(graph, "freeze_attention")
    paths = _freezable_paths(model, calls, None if is_automatic else layers)
    calls = [call for call in calls if attention_of(call) in paths]
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
    constants = Constants(graph)
    for call in calls:
        if attention_of(call) in scores:
            constants.put_in_place_of(call, scores[attention_of(call)])
    copy = rebuild(graph, constants.changes)
    _warn_of_multiplications(constants.reasons)
    return copy


def _check_tolerance(tolerance: Any, is_automatic: bool) -> None:
    if is_automatic and tolerance is None:
        raise ValueError(
            '`layers="auto"` needs a `tolerance`, the largest change of '
            "the outputs relative to their spread, such as 0.05."
        )
    if tolerance is None:
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


def _freezable_paths(
    model: Any, calls: list[Call], layers: Any
) -> dict[AttentionLayer, str]:
    """The paths of the layers to freeze, which can all be frozen."""
    chosen = chosen_paths(model, layers, others=', or "auto"')
    shown = {attention_of(call): call for call in calls}
    reasons = {
        layer: reason
        for layer in chosen
        if (reason := _obstacle(layer, shown.get(layer)))
    }
    lines = "\n  ".join(
        f"{chosen[layer]}: {reason}" for layer, reason in reasons.items()
    )
    if lines and (layers is not None or len(reasons) == len(chosen)):
        raise ValueError(
            f"`freeze_attention` cannot freeze these layers:\n  {lines}"
        )
    if lines:
        warn(f"`freeze_attention` leaves these layers as they are:\n  {lines}")
    return {x: path for x, path in chosen.items() if x not in reasons}


def _obstacle(layer: AttentionLayer, call: Call | None) -> str | None:
    """Why a layer cannot be frozen, `None` if it can."""
    if call is None:
        return "it is inside a layer whose calls the model does not show"
    channels = call.inputs[0].shape[axis_of(call)]
    if layer.constant_terms(np.ones(channels)) is None:
        return (
            "the gates of the channels do not determine the outputs of "
            f"{type(layer).__name__}"
        )
    return None


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
    sets = [
        {layer: scores[layer] for layer in ordered[:count]}
        for count in range(1, len(ordered) + 1)
    ]
    chosen: dict[AttentionLayer, Any] = {}
    for some, effect in zip(sets, measurement.effects(sets), strict=True):
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
    return chosen


def _known_change(effect: Effect) -> float:
    if effect.change is None:
        raise ValueError(
            '`layers="auto"` needs data for which the outputs of the model '
            "are finite, have one size and differ: two samples or more."
        )
    return effect.change.change


def _warn_of_multiplications(reasons: Mapping[str, str]) -> None:
    if not reasons:
        return
    lines = [f"{path}: {reason}" for path, reason in reasons.items()]
    warn(
        "`freeze_attention`: these layers multiply by constants in the copy, "
        "as no weights can be multiplied exactly:\n  "
        + first_lines(lines, _NAMED)
    )
