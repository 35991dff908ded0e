"""What each attention layer of a model does, measured on data."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_channel_attn.analysis.batches import Batches
from keras_channel_attn.analysis.counting import (
    multiply_adds,
    reason_of_unknown,
)
from keras_channel_attn.analysis.measurement import (
    Costs,
    Effect,
    Measurement,
    Replacement,
)
from keras_channel_attn.analysis.metrics import check_metric, name_of_metric
from keras_channel_attn.analysis.observable_layers import (
    check_backend,
    keep_state,
    not_called,
    observable_paths,
    selected_layers,
)
from keras_channel_attn.analysis.report_rows import (
    AttentionReport,
    LayerReport,
)
from keras_channel_attn.analysis.running_statistics import RunningStatistics
from keras_channel_attn.analysis.shapes import ShapedCall
from keras_channel_attn.analysis.verdicts import verdict
from keras_channel_attn.arguments import positive_integer_or_none
from keras_channel_attn.graph import warn
from keras_channel_attn.graph.keras_internals import keep_names
from keras_channel_attn.layers import AttentionLayer

# One step of an 8-bit number from 0 to 1: integers would not show the spread.
_CONSTANT_SPREAD = 1 / 255
# So near to 0 or 1 that it changes a channel by less than a dropout of 5 %.
_NEAR = 0.05


def attention_report(
    model: Any,
    x: Any,
    y: Any = None,
    metric: Any = None,
    layers: Any = None,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: Any = "auto",
) -> AttentionReport:
    """What each attention layer of a model does on data, and what it costs.

    Each layer is measured in three ways: as it is, with its gates fixed at
    their means over the data, and removed. If fixed gates give the same
    outputs, the gates are constants, and `freeze_attention` multiplies them
    into the layers beside them. If the network without the layer does, it has
    no effect, and `remove_attention` takes it out. The change of the outputs is

        change = rms(outputs with the change - outputs) / spread

    where the spread is the root mean square of the outputs minus their mean
    over the samples: with a change of 1 they differ from the outputs as much as
    these do from their mean. With several outputs it is the root mean square of
    their changes. It is unknown for a single sample, where one of the outputs
    is not finite or the same for all samples, and where samples have outputs of
    several sizes.

    The verdict on a layer needs 32 samples. A change below 0.05 is negligible:
    the outputs have 99.75 % of their variance in common with those of the
    network. A verdict is given if it holds two standard errors from the
    estimate, too. It is about this layer alone. The last line of the table is
    about all layers together.

    A layer that attends to positions, such as `ConvolutionalBlockAttention`,
    has no gates of channels that could be fixed. It is measured as it is and
    removed. Removed, a layer returns its inputs.

    The model computes as in `model.predict`, and is not changed. Time steps of
    `TimeDistributed` that are wholly masked are left out of the means. The data
    are read twice, and one batch more. For each batch, what comes before a
    layer in the graph of the model is computed once.

    Args:
        model: Model of Keras, built, as in `attention_scores`.
        x: What `model.predict` takes, except what can be read only once, such
            as a generator. A dataset that is shuffled is allowed.
        y: Arrays with the labels of the arrays `x`. Labels in the batches of a
            dataset or a loader are used without it. Defaults to `None`.
        metric: A `keras.metrics.Metric`; the name of one, such as
            `"accuracy"`; or a function of the labels and the predictions of a
            batch, NumPy arrays, to a number or to an array with one for each
            sample. Of a function the mean over all samples is reported, the
            weighted mean with sample weights in `x`. With several outputs it
            must be a function, or a metric that takes their structure.
            Defaults to `None`: the outputs alone are compared.
        layers: As in `attention_scores`. Defaults to `None`: all of them.
        batch_size: Integer, samples in a batch, for arrays. Defaults to
            `None`: 32.
        steps: Integer, how many batches to take. Defaults to `None`: all.
        verbose: `"auto"`, 0, 1 or 2: the progress bars, one for each time that
            the data are read. Defaults to `"auto"`.

    Returns:
        An `AttentionReport` with a `LayerReport` for each layer in `layers`.
        Printed, it is a table. `to_dataframe()` returns the rows as a
        `pandas.DataFrame`, and `plot()` a picture.

    Raises:
        TypeError: If `model` is not a model of Keras, or an argument has
            another type.
        ValueError: If the model is not built, or calls no attention layer; if
            `layers` has an unknown name, selects nothing, or selects layers of
            which none is called; if `batch_size` or `steps` is below 1; if `x`
            has no samples or can be read only once; if `y` does not fit `x`, or
            there are labels without metric or a metric without labels; if Keras
            does not know the name of the metric, or there is a name for several
            outputs; if the metric does not take several outputs, has a result
            that is not one number, or cannot be made again from its
            configuration; if a function returns an array of another length, or
            the sample weights do not fit it; on the openvino backend.

    Warns:
        UserWarning: If attention is called step by step inside a layer, or is
            held and not called: the report has no row for it.

    Examples:

    >>> inputs = keras.Input((8, 8, 16))
    >>> outputs = SqueezeExcite(reduction=4, name="se")(inputs)
    >>> model = keras.Model(inputs, outputs)
    >>> images = np.random.normal(size=(40, 8, 8, 16))
    >>> report = attention_report(model, images, verbose=0)
    >>> report.layers[0].verdict
    'constant: can be frozen'
    """
    check_backend("attention_report")
    batch_size = positive_integer_or_none("batch_size", batch_size)
    steps = positive_integer_or_none("steps", steps)
    if metric is not None:
        check_metric(metric)
    elif y is not None:
        raise ValueError(
            "`y` is for a metric. Pass `metric`, such as "
            '`metric="accuracy"`, or leave `y` out.'
        )
    paths = observable_paths(model)
    chosen = selected_layers(model, paths, layers)
    needs_labels = metric is not None
    batches = Batches(x, y, batch_size, steps, verbose, needs_labels)
    with keep_state(model):
        measurement = Measurement(model, list(chosen), batches)
        measurement.observe_gates()
        called = {x: chosen[x] for x in chosen if x in measurement.gates}
        others = [chosen[x] for x in chosen if x not in called]
        if not called:
            raise ValueError(not_called(model, others))
        if others:
            warn(f"{not_called(model, others)} The report leaves them out.")
        return _report(model, called, measurement, metric)


def _report(
    model: Any,
    paths: Mapping[AttentionLayer, str],
    measurement: Measurement,
    metric: Any,
) -> AttentionReport:
    """Measure the layers, of which the gates are known."""
    gates = measurement.gates
    constants: Replacement = {
        layer: gates[layer].mean
        for layer in paths
        if layer.constant_terms(gates[layer].mean) is not None
    }
    singles: list[Replacement] = [
        *({layer: scores} for layer, scores in constants.items()),
        *({layer: None} for layer in paths),
    ]
    everything: list[Replacement] = [constants, dict.fromkeys(paths)]
    original, *effects, all_constant, all_removed = measurement.effects(
        [{}, *singles, *everything], metric
    )
    constant = dict(zip(constants, effects, strict=False))
    removed = dict(zip(paths, effects[len(constants) :], strict=True))
    costs = measurement.costs()
    unknown = Effect(None, None)
    if not constants:
        all_constant = unknown
    return AttentionReport(
        name=model.name,
        samples=measurement.samples,
        metric_name=None if metric is None else name_of_metric(metric),
        metric=original.metric,
        change_if_constant=_change(all_constant),
        change_if_removed=_change(all_removed),
        metric_if_constant=all_constant.metric,
        metric_if_removed=all_removed.metric,
        time_share=sum(costs[layer].share for layer in paths),
        layers=[
            _row(
                layer,
                path,
                measurement,
                constant.get(layer, unknown),
                removed[layer],
                costs[layer],
            )
            for layer, path in paths.items()
        ],
    )


def _row(
    layer: AttentionLayer,
    path: str,
    measurement: Measurement,
    constant: Effect,
    removed: Effect,
    costs: Costs,
) -> LayerReport:
    gates = measurement.gates[layer]
    factors, _ = layer.constant_terms(gates.mean) or (gates.mean, None)
    is_finite = bool(np.isfinite(gates.mean).all())
    # Numbers that are added are no gates, neither open nor closed.
    are_gates = is_finite and not _is_added(layer, len(gates.mean))
    macs = _macs(layer, costs)
    conclusion = verdict(measurement.samples, constant.change, removed.change)
    return LayerReport(
        path=path,
        kind=type(layer).__name__,
        channels=len(gates.mean),
        spread_over_samples=_known(gates.spread.mean()),
        spread_over_channels=_known(gates.mean.std()),
        constant_channels=float((gates.spread < _CONSTANT_SPREAD).mean())
        if is_finite
        else None,
        closed_channels=_share_near(0, factors) if are_gates else None,
        open_channels=_share_near(1, factors) if are_gates else None,
        change_if_constant=_change(constant),
        change_if_removed=_change(removed),
        metric_if_constant=constant.metric,
        metric_if_removed=removed.metric,
        parameters=layer.count_params(),
        macs=macs,
        time_share=costs.share,
        verdict=conclusion,
        reason="; ".join(
            [
                *_reasons(layer, gates, removed, measurement.samples),
                *([reason_of_unknown(layer)] if macs is None else []),
            ]
        ),
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _is_added(layer: AttentionLayer, channels: int) -> bool:
    """Whether scores are added, whatever they are: they may be 0."""
    terms = layer.constant_terms(np.ones(channels))
    return terms is not None and bool(np.any(terms[1]))


def _share_near(value: float, gates: Any) -> float:
    return float((np.abs(gates - value) <= _NEAR).mean())


def _change(effect: Effect) -> float | None:
    return None if effect.change is None else effect.change.change


def _macs(layer: AttentionLayer, costs: Costs) -> int | None:
    """Multiply-adds of all calls of a layer, for one sample."""
    with keep_names():
        counts = [
            multiply_adds(ShapedCall(layer, (keras.KerasTensor(shape),), {}))
            for shape in costs.shapes
        ]
    known = [count for count in counts if count is not None]
    return sum(known) // costs.samples if len(known) == len(counts) else None


def _reasons(
    layer: AttentionLayer,
    gates: RunningStatistics,
    removed: Effect,
    samples: int,
) -> list[str]:
    """Why a change, or a share of the channels, is unknown."""
    if removed.change is None:
        if samples == 1:
            return ["a change is relative to the spread over several samples"]
        return [
            "one of the outputs of the model is not finite, is the same for "
            "all samples, or has other sizes for some of them"
        ]
    if layer.constant_terms(gates.mean) is None:
        return [
            "the gates of the channels do not determine the outputs of "
            f"{type(layer).__name__}, so they cannot be fixed"
        ]
    if _is_added(layer, len(gates.mean)):
        return ["its scores are added, and are no gates, closed or open"]
    return []
