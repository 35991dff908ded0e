"""The metric of a report, against Keras and NumPy on whole predictions."""

import keras
import numpy as np
import pytest
from keras import layers
from support.constant_gates import Attention, fixed_gates

from keras_channel_attn import attention_layers, attention_report

pytestmark = pytest.mark.backend("tensorflow", "torch", "jax", "numpy")

SAMPLES = 40


def network(rng, outputs=3, activation="softmax"):
    inputs = keras.Input((5, 4))
    x = Attention(name="se", data_format="channels_last")(inputs)
    x = layers.Flatten(data_format="channels_last")(x)
    model = keras.Model(inputs, layers.Dense(outputs, activation)(x))
    for layer in attention_layers(model).values():
        layer.randomize(rng)
    return model, rng.normal(size=(SAMPLES, 5, 4)).astype("float32")


def share_correct(y, predictions):
    """In NumPy, a number for each batch."""
    return np.mean(predictions.argmax(-1) == y)


def correct(y, predictions):
    """In NumPy, a number for each sample."""
    return (predictions.argmax(-1) == y).astype("float32")


def keras_function(y, predictions):
    return keras.metrics.sparse_categorical_accuracy(y, predictions)


@pytest.mark.parametrize(
    "metric",
    [
        "accuracy",
        "acc",
        "Accuracy",
        "ACC",
        "sparse_categorical_accuracy",
        "SparseCategoricalAccuracy",
        keras.metrics.SparseCategoricalAccuracy(),
        share_correct,
        correct,
        keras_function,
    ],
    ids=lambda metric: getattr(metric, "__name__", str(metric)),
)
def test_accuracy_in_many_forms(metric, rng):
    """The last batch is smaller than the others."""
    model, x = network(rng)
    y = rng.integers(0, 3, SAMPLES)
    report = attention_report(model, x, y, metric, batch_size=16, verbose=0)
    (row,) = report.layers
    expected = np.mean(model.predict(x, verbose=0).argmax(-1) == y)
    assert report.metric == pytest.approx(expected)
    with fixed_gates({model.get_layer("se"): None}):
        expected = np.mean(model.predict(x, verbose=0).argmax(-1) == y)
    assert row.metric_if_removed == pytest.approx(expected)
    assert report.metric_if_removed == pytest.approx(expected)


@pytest.mark.parametrize(
    ("outputs", "activation", "labels", "metric"),
    [
        (1, "sigmoid", lambda y: y % 2, keras.metrics.BinaryAccuracy),
        (
            3,
            "softmax",
            lambda y: np.eye(3)[y],
            keras.metrics.CategoricalAccuracy,
        ),
        (
            3,
            "softmax",
            lambda y: y[:, None],
            keras.metrics.SparseCategoricalAccuracy,
        ),
    ],
)
def test_accuracy_by_the_shapes(outputs, activation, labels, metric, rng):
    """As `compile` understands the name."""
    model, x = network(rng, outputs, activation)
    y = labels(rng.integers(0, 3, SAMPLES)).astype("float32")
    expected = metric()
    expected.update_state(y.reshape(SAMPLES, -1), model.predict(x, verbose=0))
    report = attention_report(model, x, y, "accuracy", verbose=0)
    assert report.metric_name == "accuracy"
    assert report.metric == pytest.approx(float(expected.result()))


class Batches(keras.utils.PyDataset):
    """Labels with weights, in another order each time."""

    def __init__(self, x, y, weights):
        super().__init__()
        self.arrays = x, y, weights
        self.rng = np.random.default_rng(0)
        self.order = self.rng.permutation(len(x))

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = self.order[14 * index : 14 * index + 14]
        return tuple(array[part] for array in self.arrays)

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.order))


@pytest.mark.parametrize("metric", ["accuracy", correct])
def test_shuffled_dataset_with_weights(metric, rng):
    model, x = network(rng)
    y = rng.integers(0, 3, SAMPLES)
    weights = rng.uniform(size=SAMPLES).astype("float32")
    data = Batches(x, y, weights)
    report = attention_report(model, data, metric=metric, verbose=0)
    hits = model.predict(x, verbose=0).argmax(-1) == y
    expected = (hits * weights).sum() / weights.sum()
    assert report.samples == SAMPLES
    assert report.metric == pytest.approx(expected, rel=1e-5)


class WeightedBatch(keras.utils.PyDataset):
    """One batch of what it is given."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.arrays


def largest(y, predictions):
    """In NumPy, a number for each position of each sample."""
    return predictions.max(-1)


def largest_of_samples(y, predictions):
    return predictions.max(-1).mean(1)


def largest_of_batch(y, predictions):
    return predictions.max()


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (largest, (4, 5), lambda v, w: (v * w).sum() / w.sum()),
        (largest, (4, 1), lambda v, w: (v.mean(1) * w[:, 0]).sum() / w.sum()),
        (largest, (4,), lambda v, w: (v.mean(1) * w).sum() / w.sum()),
        (
            largest_of_samples,
            (4, 5),
            lambda v, w: (v.mean(1) * w.mean(1)).sum() / w.mean(1).sum(),
        ),
        (
            largest,
            (4, 5, 2),
            lambda v, w: (v * w.mean(2)).sum() / w.mean(2).sum(),
        ),
        (largest_of_batch, (4, 5), lambda v, w: v.max()),
    ],
)
def test_weights_of_a_function(function, shape, expected, rng):
    inputs = keras.Input((5, 4))
    attention = Attention(name="se", data_format="channels_last")
    model = keras.Model(inputs, attention(inputs))
    x = rng.normal(size=(4, 5, 4)).astype("float32")
    weights = rng.uniform(size=shape).astype("float32")
    data = WeightedBatch(x, np.zeros((4, 5), "float32"), weights)
    report = attention_report(model, data, metric=function, verbose=0)
    values = model.predict(x, verbose=0).max(-1)
    assert report.metric == pytest.approx(expected(values, weights), rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(1), r"weights of shape \(1,\) for values of shape"),
        (np.ones((4, 3)), r"weights of shape \(4, 3\) for values of shape"),
        ({"a": np.ones(4)}, "one array of sample weights.*type dict"),
    ],
)
def test_weights_that_do_not_fit(weights, message, rng):
    inputs = keras.Input((5, 4))
    attention = Attention(name="se", data_format="channels_last")
    model = keras.Model(inputs, attention(inputs))
    x = rng.normal(size=(4, 5, 4)).astype("float32")
    data = WeightedBatch(x, np.zeros((4, 5), "float32"), weights)
    with pytest.raises(ValueError, match=message):
        attention_report(model, data, metric=largest, verbose=0)


def test_weights_that_are_zero(rng):
    model, x = network(rng)
    data = Batches(x, np.zeros(SAMPLES), np.zeros(SAMPLES, "float32"))
    for metric in ("accuracy", correct):
        report = attention_report(model, data, metric=metric, verbose=0)
        assert report.metric == 0


def test_dataset_without_labels(rng):
    model, x = network(rng)

    class Unlabeled(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return (x,)

    with pytest.raises(ValueError, match="`metric` needs labels"):
        attention_report(model, Unlabeled(), metric="accuracy", verbose=0)


def test_metric_of_the_user_is_not_changed(rng):
    model, x = network(rng)
    metric = keras.metrics.SparseCategoricalAccuracy(name="mine")
    y = rng.integers(0, 3, SAMPLES)
    report = attention_report(model, x, y, metric, verbose=0)
    assert report.metric_name == "mine"
    assert float(metric.result()) == 0


def test_function_of_several_outputs(rng):
    """It gets the predictions in the structure of the outputs."""
    inputs = keras.Input((5, 4))
    x = Attention(name="se", data_format="channels_last")(inputs)
    model = keras.Model(inputs, {"a": x, "b": layers.Dense(2)(x)})
    x = rng.normal(size=(SAMPLES, 5, 4)).astype("float32")
    y = {"a": np.zeros((SAMPLES, 1), "float32")}

    def mean_of_b(labels, predictions):
        assert set(labels) == {"a"}
        return predictions["b"].mean()

    report = attention_report(model, x, y, mean_of_b, verbose=0)
    expected = model.predict(x, verbose=0)["b"].mean()
    assert report.metric == pytest.approx(expected, rel=1e-4)


def test_metric_with_several_numbers(rng):
    model, x = network(rng)
    y = np.eye(3, dtype="float32")[rng.integers(0, 3, SAMPLES)]
    metric = keras.metrics.F1Score()
    with pytest.raises(ValueError, match="must give one number"):
        attention_report(model, x, y, metric, verbose=0)


class Named(keras.metrics.Metric):
    """A metric whose configuration lacks an argument."""

    def __init__(self, number):
        super().__init__(name="mine")


def squared(y, predictions):
    return keras.ops.mean(predictions**2, -1)


@pytest.mark.parametrize(
    "metric", [Named(1), keras.metrics.MeanMetricWrapper(squared, "mine")]
)
def test_metric_without_configuration(metric, rng):
    model, x = network(rng)
    y = rng.integers(0, 3, SAMPLES)
    with pytest.raises(ValueError, match=r"again from .* metric 'mine'"):
        attention_report(model, x, y, metric, verbose=0)


def test_function_with_another_number_of_samples(rng):
    """A mean over these would weigh batches of several sizes alike."""
    model, x = network(rng)
    y = rng.integers(0, 3, SAMPLES)

    def one(labels, predictions):
        return np.mean(predictions, keepdims=True)[0]

    with pytest.raises(ValueError, match=r"shape \(1,\) for 32 samples"):
        attention_report(model, x, y, one, verbose=0)


@pytest.mark.parametrize("metric", ["mse", keras.metrics.MeanSquaredError()])
def test_metric_of_one_output_for_several(metric, rng):
    inputs = keras.Input((5, 8))
    x = Attention(name="se", data_format="channels_last")(inputs)
    model = keras.Model(inputs, [x, layers.Dense(2)(x)])
    x = rng.normal(size=(SAMPLES, 5, 8)).astype("float32")
    y = [np.zeros((SAMPLES, 5, 8)), np.zeros((SAMPLES, 5, 2))]
    for labels in (y, y[0]):
        with pytest.raises(ValueError, match="must be a function for a model"):
            attention_report(model, x, labels, metric, verbose=0)


class ErrorOfAll(keras.metrics.MeanSquaredError):
    """A metric of a user for several outputs."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        for labels, predictions in zip(y_true, y_pred, strict=True):
            super().update_state(labels, predictions)


def test_metric_of_several_outputs(rng):
    inputs = keras.Input((5, 8))
    x = Attention(name="se", data_format="channels_last")(inputs)
    model = keras.Model(inputs, [x, layers.Dense(8)(x)])
    x = rng.normal(size=(SAMPLES, 5, 8)).astype("float32")
    y = [np.zeros((SAMPLES, 5, 8), "float32")] * 2
    report = attention_report(model, x, y, ErrorOfAll(), verbose=0)
    expected = np.mean(np.square(model.predict(x, verbose=0)))
    assert report.metric == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "metric", ["accuracy", correct, keras.metrics.SparseCategoricalAccuracy()]
)
def test_list_of_one_output(metric, rng):
    """Keras takes it out of the list, and so does the report."""
    model, x = network(rng)
    y = rng.integers(0, 3, SAMPLES)
    expected = attention_report(model, x, y, metric, verbose=0).metric
    model = keras.Model(model.inputs, [model.outputs[0]])
    for labels in (y, [y]):
        report = attention_report(model, x, labels, metric, verbose=0)
        assert report.metric == pytest.approx(expected)
