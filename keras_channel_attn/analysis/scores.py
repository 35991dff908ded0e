"""The attention scores of a model over data."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_channel_attn.analysis.batches import batch_size_for, check_samples
from keras_channel_attn.analysis.computation import computation_of
from keras_channel_attn.analysis.keys import unique_keys
from keras_channel_attn.analysis.observable_layers import (
    check_backend,
    keep_state,
    not_called,
    observable_paths,
    selected_layers,
)
from keras_channel_attn.arguments import boolean, positive_integer_or_none
from keras_channel_attn.graph.keras_internals import keep_names
from keras_channel_attn.layers.observation import observe_scores


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
        model: Model of Keras, built, also with a `call` method of its own.
            Models and layers in it are searched too, at any depth.
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
        and so on. Scores of half precision are returned as float32. Attention
        inside a layer of yours has the scores of each call that the layer
        makes, except in loops of the backend, such as
        `keras.ops.vectorized_map` and `keras.ops.scan`.

        With `return_labels=True`, a pair of this dictionary and the labels: the
        `y` of all batches `(x, y)` or `(x, y, sample_weight)`, a NumPy array or
        the structure of arrays that `y` is.

    Raises:
        TypeError: If `model` is not a model of Keras, `layers` is neither a
            list of names nor a callable, `batch_size` or `steps` is no integer,
            or `return_labels` is no boolean.
        ValueError: If the model is not built, or calls no attention layer; if a
            name in `layers` is unknown, or `layers` selects nothing; if
            `batch_size` or `steps` is below 1; if `x` has no samples; if
            `return_labels=True` and the batches of `x` have no labels; on the
            openvino backend.

    Warns:
        UserWarning: If attention is called step by step inside a layer, and
            its scores are missing.

    Examples:

    >>> inputs = keras.Input((8, 8, 16))
    >>> outputs = SqueezeExcite(reduction=4, name="se")(inputs)
    >>> model = keras.Model(inputs, outputs)
    >>> images = np.random.normal(size=(5, 8, 8, 16))
    >>> scores = attention_scores(model, images, verbose=0)
    >>> scores["se"].shape
    (5, 16)
    """
    check_backend("attention_scores")
    batch_size = positive_integer_or_none("batch_size", batch_size)
    steps = positive_integer_or_none("steps", steps)
    boolean("return_labels", return_labels)
    paths = observable_paths(model)
    chosen = selected_layers(model, paths, layers)
    check_samples(x)
    batch_size = batch_size_for(x, batch_size)
    with keep_names():
        predictor = _Predictor(model, chosen, paths.values(), return_labels)
    with keep_state(model, predictor), keep_names():
        arrays, *labels = predictor.predict(
            x, batch_size=batch_size, steps=steps, verbose=verbose
        )
    scores = dict(zip(predictor.keys, arrays, strict=True))
    return (scores, *labels) if labels else scores


class _Predictor(keras.Model):
    """A model with the layers of another, whose outputs are the scores.

    It predicts a tuple: the list of the scores, and the labels if wanted.

    Attributes:
        keys: List of strings, one for each array of scores, known after the
            first batch.
    """

    def __init__(
        self,
        model: Any,
        paths: dict[Any, str],
        all_paths: Iterable[str],
        returns_labels: bool,
    ) -> None:
        super().__init__(autocast=False, name="attention_scores")
        # As an attribute, so that Keras finds its variables.
        self.observed = model
        self.keys: list[str] = []
        self._compute = computation_of(model)
        self._paths = paths
        self._all_paths = list(all_paths)
        self._returns_labels = returns_labels
        if model.compiled:
            self.run_eagerly = model.run_eagerly
            self.jit_compile = model.jit_compile
        self.built = True

    def predict_step(self, *arguments: Any) -> Any:
        # On JAX a state comes before the batch, and is returned.
        results = super().predict_step(*arguments)
        is_pair = keras.config.backend() == "jax"
        scores, state = results if is_pair else (results, None)
        labels = [_labels(arguments[-1])] if self._returns_labels else []
        outputs = (scores, *labels)
        return (outputs, state) if is_pair else outputs

    def call(self, inputs: Any, training: bool | None = None) -> list[Any]:
        paths: list[str] = []
        arrays: list[Any] = []

        def observe(layer: Any, scores: Any, is_empty: Any = None) -> None:
            if layer in self._paths:
                paths.append(self._paths[layer])
                arrays.append(_single_precision(scores))

        with observe_scores(observe):
            self._compute(inputs)
        if not arrays:
            raise ValueError(not_called(self.observed, self._paths.values()))
        self.keys = unique_keys(paths, self._all_paths)
        return arrays


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


def _single_precision(scores: Any) -> Any:
    # NumPy has no bfloat16, and little can be computed in float16.
    dtype = keras.backend.standardize_dtype(scores.dtype)
    if dtype in ("float16", "bfloat16"):
        return keras.ops.cast(scores, "float32")
    return scores
