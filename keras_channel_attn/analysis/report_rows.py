"""The report on the attention of a model, and how it is printed."""

import dataclasses
from typing import Any

from keras_channel_attn.analysis.report_drawing import figure_of_report
from keras_channel_attn.analysis.tables import (
    aligned_lines,
    data_frame,
    shorten,
)

_LEGEND = """\
Spread: standard deviation of the gates over the samples, and of their means
over the channels. Channels: the share of those with constant, closed (near 0)
and open (near 1) gates. Change of the outputs, and metric: with the gates fixed
at their means over the samples, and without the layer; a change is the rms
difference / the spread of the outputs over the samples. Time: share of the
model's, computed layer by layer."""
# Columns of text are not wider.
_WIDEST_PATH = 40


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """What an attention layer does on data: see `attention_report`.

    A layer that is called several times is one entry: its gates are those of
    all calls. A number that is unknown is `None`.

    Attributes:
        path: String, the name of the layer, preceded by the names of the models
            and layers around it.
        kind: String, the name of its class.
        channels: Integer.
        spread_over_samples: Float, the standard deviation of a gate over the
            samples, mean over the channels.
        spread_over_channels: Float, the standard deviation over the channels of
            the mean gates.
        constant_channels: Float, the share of the channels whose gate has a
            standard deviation below 1/255, one step of an 8-bit number from 0
            to 1.
        closed_channels: Float, the share of the channels whose mean gate is at
            most 0.05 from 0; `None` for numbers that are added.
        open_channels: Float, the same for 1.
        change_if_constant: Float, the change of the outputs with the gates of
            this layer at their means over the data.
        change_if_removed: Float, the change without this layer.
        metric_if_constant: Float, the metric with the gates of this layer at
            their means.
        metric_if_removed: Float, the metric without this layer.
        parameters: Integer, the weights of the layer.
        macs: Integer, its multiply-adds for one sample, as in `model_costs`.
        time_share: Float, its share of the time that the model takes.
        verdict: String, what follows for the layer; `"?"` if unknown.
        reason: String, why a number is unknown; else empty.
    """

    path: str
    kind: str
    channels: int
    spread_over_samples: float | None
    spread_over_channels: float | None
    constant_channels: float | None
    closed_channels: float | None
    open_channels: float | None
    change_if_constant: float | None
    change_if_removed: float | None
    metric_if_constant: float | None
    metric_if_removed: float | None
    parameters: int
    macs: int | None
    time_share: float
    verdict: str
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class AttentionReport:
    """What the attention of a model does on data: see `attention_report`.

    Attributes:
        name: String, the name of the model.
        samples: Integer, how many samples it was measured on.
        metric_name: String, or `None` without a metric.
        metric: Float, the metric of the model as it is, or `None`.
        change_if_constant: Float, the change of the outputs with the gates of
            all layers at their means over the data; `None` if it is unknown.
            Layers whose own change is unknown stay as they are.
        change_if_removed: Float, the change without all layers, or `None`.
        metric_if_constant: Float, the metric with all gates at their means, or
            `None`.
        metric_if_removed: Float, the metric without all layers, or `None`.
        time_share: Float, the share of all layers of the model's time.
        layers: List of `LayerReport`, in the order of computation.
    """

    name: str
    samples: int
    metric_name: str | None
    metric: float | None
    change_if_constant: float | None
    change_if_removed: float | None
    metric_if_constant: float | None
    metric_if_removed: float | None
    time_share: float
    layers: list[LayerReport]

    def to_dataframe(self) -> Any:
        """`layers` as a `pandas.DataFrame`, which needs pandas."""
        return data_frame(self.layers)

    def plot(self, to_file: Any = None) -> Any:
        """A picture of the report, with a row for each layer.

        Args:
            to_file: Path of a file that the picture is written to. Defaults to
                `None`: no file.

        Returns:
            A `matplotlib.figure.Figure`. It needs matplotlib.
        """
        return figure_of_report(self, to_file)

    def __str__(self) -> str:
        samples = "1 sample" if self.samples == 1 else f"{self.samples} samples"
        lines = [
            f"Attention of the model '{self.name}' on {samples}",
            *_LEGEND.splitlines(),
            "",
            *_table(self),
        ]
        if self.metric_name is not None:
            lines.append(
                f"{self.metric_name} of the model as it is: "
                f"{_number(self.metric)}"
            )
        lines += [
            f"Unknown (?): {row.path}: {row.reason}"
            for row in self.layers
            if row.reason
        ]
        return "\n".join(lines)


def _table(report: AttentionReport) -> list[str]:
    has_metric = report.metric_name is not None
    groups = ["", "Spread:", "", "Channels:", "", ""]
    groups += ["Change if", "", "Metric if", "", "", "", "", ""]
    names = ["Layer", "samples", "channels", "constant", "closed", "open"]
    names += ["constant", "removed", "constant", "removed"]
    names += ["Parameters", "MACs", "Time", "Verdict"]
    rows = [groups, names, *map(_cells, report.layers), _cells_of_all(report)]
    if not has_metric:
        rows = [[*row[:8], *row[10:]] for row in rows]
    sides = "<" + ">" * (len(rows[0]) - 2) + "<"
    lines = [line.rstrip() for line in aligned_lines(rows, sides)]
    rule = "-" * max(map(len, lines))
    return [*lines[:2], rule, *lines[2:-1], rule, lines[-1]]


def _cells(row: LayerReport) -> list[str]:
    return [
        shorten(row.path, _WIDEST_PATH),
        _number(row.spread_over_samples),
        _number(row.spread_over_channels),
        _percent(row.constant_channels),
        _percent(row.closed_channels),
        _percent(row.open_channels),
        _number(row.change_if_constant),
        _number(row.change_if_removed),
        _number(row.metric_if_constant),
        _number(row.metric_if_removed),
        f"{row.parameters:,}",
        "?" if row.macs is None else f"{row.macs:,}",
        f"{row.time_share:.1%}",
        row.verdict,
    ]


def _cells_of_all(report: AttentionReport) -> list[str]:
    macs = [row.macs for row in report.layers]
    known = [x for x in macs if x is not None]
    return [
        "all",
        *[""] * 5,
        _number(report.change_if_constant),
        _number(report.change_if_removed),
        _number(report.metric_if_constant),
        _number(report.metric_if_removed),
        f"{sum(row.parameters for row in report.layers):,}",
        f"{sum(known):,}" if len(known) == len(macs) else "?",
        f"{report.time_share:.1%}",
        "",
    ]


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"
