"""The value of a metric over batches of predictions."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

_ACCURACIES = ("accuracy", "acc")
_ALLOWED = (
    "`metric` must be a `keras.metrics.Metric`, the name of one, such as "
    '"accuracy", or a function of the labels and the predictions, arrays of a '
    "batch, to a number or an array with one number for each sample. "
)
_SEVERAL_OUTPUTS = (
    "`metric` must be a function for a model with several outputs, which gets "
    "all labels and all predictions, in the structure of the outputs. "
)


def check_metric(metric: Any) -> None:
    """Raise an error if something is no metric."""
    if isinstance(metric, str):
        if not _is_accuracy(metric):
            _named(metric)
    elif isinstance(metric, type) or not (
        isinstance(metric, keras.metrics.Metric) or callable(metric)
    ):
        raise TypeError(
            f"{_ALLOWED}Received: metric={metric!r} (of type "
            f"{type(metric).__name__})."
        )


def name_of_metric(metric: Any) -> str:
    """The name of a metric, of whatever form."""
    if isinstance(metric, str):
        return metric
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    return str(name or type(metric).__name__)


class MetricValue:
    """The value of a metric over batches.

    A metric of the user is not changed: a copy of it is used.
    """

    def __init__(self, metric: Any) -> None:
        self._metric = metric
        self._value: Any = None

    def update(self, labels: Any, predictions: Any, weights: Any) -> None:
        """Add a batch of labels and predictions, tensors or arrays."""
        if self._value is None:
            self._value = _new_value(self._metric, labels, predictions)
        update = self._value.update_state
        if isinstance(self._metric, keras.metrics.Metric) and _is_structure(
            labels, predictions
        ):
            update = _for_several_outputs(update, self._metric)
        update(labels, predictions, sample_weight=weights)

    def result(self) -> float:
        """The value over all batches so far."""
        result = np.asarray(
            keras.ops.convert_to_numpy(self._value.result()), "float64"
        )
        if result.size != 1:
            raise ValueError(
                f"`metric` must give one number. Received: the metric "
                f"'{name_of_metric(self._metric)}', whose result has the shape "
                f"{result.shape}."
            )
        return float(result.reshape(()))


class _MeanOfFunction:
    """The mean of what a function returns for each sample or each batch."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self._function = function
        self._sum = self._weight = 0.0

    def update_state(
        self, labels: Any, predictions: Any, sample_weight: Any = None
    ) -> None:
        labels, predictions = keras.tree.map_structure(
            keras.ops.convert_to_numpy, (labels, predictions)
        )
        values = keras.ops.convert_to_numpy(self._function(labels, predictions))
        values = np.asarray(values, "float64")
        count = len(keras.tree.flatten(labels)[0])
        if not values.ndim:
            values = np.full(count, values)
        elif len(values) != count:
            raise ValueError(
                f"{_ALLOWED}Received: a function that returns an array of the "
                f"shape {values.shape} for {count} samples."
            )
        weights = np.ones_like(values)
        if sample_weight is not None:
            weights = _weights_like(values, sample_weight)
        # The mean over the positions of a sample.
        self._sum += float(_of_samples(values * weights).sum())
        self._weight += float(_of_samples(weights).sum())

    def result(self) -> float:
        # As in Keras, where all weights are zero.
        return self._sum / self._weight if self._weight else 0.0


def _of_samples(values: Any) -> Any:
    """The mean over all axes but the first."""
    return values.reshape(len(values), -1).mean(1)


def _weights_like(values: Any, sample_weight: Any) -> Any:
    """Weights of the shape of values.

    Values have the weight of their sample, or of their position if both have
    positions. Weights of positions that values do not have are averaged.
    """
    if keras.tree.is_nested(sample_weight):
        raise ValueError(
            "A function as `metric` needs one array of sample weights in `x`. "
            "Received: weights in a structure of type "
            f"{type(sample_weight).__name__}. Leave them out, or weigh in the "
            "function."
        )
    weights = keras.ops.convert_to_numpy(sample_weight).astype("float64")
    rank, shape = values.ndim, weights.shape
    weights = weights.mean(tuple(range(rank, weights.ndim)))
    weights = weights.reshape(weights.shape + (1,) * (rank - weights.ndim))
    sizes = zip(weights.shape[1:], values.shape[1:], strict=True)
    fits = all(size in (1, other) for size, other in sizes)
    if not fits or len(weights) != len(values):
        raise ValueError(
            "The sample weights in `x` must fit what the function `metric` "
            "returns: one for each sample, or one for each of its values. "
            f"Received: weights of shape {shape} for values of shape "
            f"{values.shape}."
        )
    return np.broadcast_to(weights, values.shape)


def _new_value(metric: Any, labels: Any, predictions: Any) -> Any:
    if isinstance(metric, keras.metrics.Metric):
        return _copy(metric)
    if isinstance(metric, str):
        if _is_structure(labels, predictions):
            raise ValueError(f"{_SEVERAL_OUTPUTS}Received: metric={metric!r}.")
        if _is_accuracy(metric):
            return _accuracy(labels, predictions)
        metric = _named(metric)
        if isinstance(metric, keras.metrics.Metric):
            return metric
        return keras.metrics.MeanMetricWrapper(metric)
    return _MeanOfFunction(metric)


def _is_structure(labels: Any, predictions: Any) -> bool:
    return any(map(keras.tree.is_nested, (labels, predictions)))


def _for_several_outputs(
    update: Callable[..., Any], metric: Any
) -> Callable[..., None]:
    """`update_state` of a metric that may not take structures."""

    def checked(*args: Any, **kwargs: Any) -> None:
        try:
            update(*args, **kwargs)
        except Exception as error:
            raise ValueError(
                f"{_SEVERAL_OUTPUTS}Received: the metric "
                f"'{name_of_metric(metric)}', which fails with these: "
                f"{type(error).__name__}: {error}"
            ) from error

    return checked


def _copy(metric: Any) -> Any:
    try:
        return type(metric).from_config(metric.get_config())
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`metric` must be a metric that can be made again from its "
            "`get_config()`. Received: the metric "
            f"'{name_of_metric(metric)}', with which this fails: {error} "
            "Decorate its class or its function with "
            "`keras.saving.register_keras_serializable()`, or pass a function "
            "of the labels and the predictions."
        ) from error


def _is_accuracy(name: str) -> bool:
    # As `compile` reads it: `keras.metrics.Accuracy` compares labels, not
    # probabilities.
    return name.lower() in _ACCURACIES


def _named(name: str) -> Any:
    try:
        return keras.metrics.get(name)
    except ValueError as error:
        raise ValueError(
            f"{_ALLOWED}Received: metric={name!r}, which Keras does not know."
        ) from error


def _accuracy(labels: Any, predictions: Any) -> Any:
    """The accuracy that Keras means by this name, for these shapes."""
    shape, predicted = tuple(labels.shape), tuple(predictions.shape)
    if predicted[-1] == 1:
        return keras.metrics.BinaryAccuracy()
    if len(shape) < len(predicted) or shape[-1] == 1:
        return keras.metrics.SparseCategoricalAccuracy()
    return keras.metrics.CategoricalAccuracy()
