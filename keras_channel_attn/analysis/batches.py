"""The batches of any data that `model.predict` takes."""

import collections.abc
from collections.abc import Callable
from typing import Any

import keras

# From the inputs, labels and weights of one batch; the last two may be `None`.
OnBatch = Callable[[Any, Any, Any], None]

# The default of `model.predict`.
_BATCH_SIZE = 32


class Batches:
    """Data for a model, batch by batch.

    Args:
        x, batch_size, steps, verbose: As in `model.predict`.
        y: Arrays with the labels of the arrays `x`. Defaults to `None`.
        needs_labels: Boolean, whether batches without labels are an error.
            Defaults to `False`.
        is_repeatable: Boolean, whether the data can be read several times.
            What can be read only once is an error then. Defaults to `True`.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        steps: int | None = None,
        verbose: Any = "auto",
        needs_labels: bool = False,
        is_repeatable: bool = True,
    ) -> None:
        _check_data(x, is_repeatable)
        if y is not None:
            _check_labels(x, y)
        self._x = x if y is None else (x, y)
        self._has_labels = y is not None
        self._needs_labels = needs_labels
        self._options = {
            "batch_size": batch_size_for(x, batch_size),
            "steps": steps,
            "verbose": verbose,
        }

    def for_each(self, function: OnBatch) -> None:
        """Call a function with each batch, once.

        Raises:
            ValueError: If there is none.
        """
        self._read(self._reader(function), self._options)

    def with_first(self, function: OnBatch) -> None:
        """Call a function with the first batch, without a progress bar."""
        options = {**self._options, "verbose": 0}
        self._read(self._reader(function, limit=1), options)

    def _reader(self, function: OnBatch, limit: int | None = None) -> "_Reader":
        def on_batch(x: Any, y: Any, weights: Any) -> None:
            if self._has_labels:
                x, y = x
            if self._needs_labels and y is None:
                raise ValueError(
                    "`metric` needs labels. Pass them as `y`, or pass a "
                    "dataset, a loader or a `PyDataset` with batches `(x, y)`."
                )
            function(x, y, weights)

        return _Reader(on_batch, limit)

    def _read(self, reader: "_Reader", options: dict[str, Any]) -> None:
        try:
            reader.predict(self._x, **options)
        except Exception as error:
            if reader.count:
                raise
            raise ValueError(
                "No batch could be read from `x`, which must be what "
                "`model.predict` takes, with at least one sample: "
                f"{type(error).__name__}: {error}"
            ) from error


class _Reader(keras.Model):
    """A model without weights whose `predict` reads data."""

    def __init__(self, function: OnBatch, limit: int | None) -> None:
        super().__init__(autocast=False, name="batches")
        self.count = 0
        self._function = function
        self._limit = limit
        # The function takes arrays with numbers.
        self.run_eagerly = True
        self.built = True

    def predict_step(self, *arguments: Any) -> Any:
        # On JAX a state comes before the batch, and is returned.
        *state, batch = arguments
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        self.count += 1
        self._function(x, y, weights)
        # Not `steps=1`: Keras would make one batch of all arrays.
        self.stop_predicting = self.count == self._limit
        outputs = keras.ops.zeros((1,))
        return (outputs, *state) if state else outputs


def batch_size_for(x: Any, batch_size: int | None) -> int | None:
    """The argument `batch_size` of `predict`.

    With `steps` alone Keras would compute all arrays, in so many batches.
    """
    return _BATCH_SIZE if batch_size is None and _is_arrays(x) else batch_size


def _check_data(x: Any, is_repeatable: bool) -> None:
    if is_repeatable and isinstance(x, collections.abc.Iterator):
        raise ValueError(
            "`x` is read more than once, and a generator or an iterator can "
            "be read only once. Pass arrays, a `tf.data.Dataset`, a "
            "`keras.utils.PyDataset` or a torch `DataLoader`. "
            f"Received: x={x!r} (of type {type(x).__name__})."
        )
    check_samples(x)


def check_samples(x: Any) -> None:
    """Raise an error if something is arrays without samples."""
    if _is_arrays(x) and 0 in _lengths(x):
        raise ValueError(
            "`x` must have at least one sample. Received: arrays of the shapes "
            f"{_shapes(x)}."
        )


def _check_labels(x: Any, y: Any) -> None:
    if not _is_arrays(x):
        raise ValueError(
            "`y` has the labels of arrays. A dataset, a loader or any other "
            "`x` must have batches `(x, y)` itself. Received: `y`, and `x` of "
            f"type {type(x).__name__}."
        )
    if not _is_arrays(y) or len(_lengths(x) | _lengths(y)) != 1:
        raise ValueError(
            "`y` must be an array with one label for each sample of `x`, or a "
            f"structure of these. Received: x of shape {_shapes(x)}, and y of "
            f"{f'shape {_shapes(y)}' if _is_arrays(y) else f'type {type(y)}'}."
        )


def _is_arrays(data: Any) -> bool:
    leaves = leaves_of(data)
    return bool(leaves) and all(getattr(x, "shape", ()) for x in leaves)


def _lengths(arrays: Any) -> set[int]:
    return {leaf.shape[0] for leaf in leaves_of(arrays)}


def leaves_of(structure: Any) -> list[Any]:
    """The tensors or arrays of data; an optional input may be `None`."""
    return [x for x in keras.tree.flatten(structure) if x is not None]


def _shapes(arrays: Any) -> Any:
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else tuple(leaf.shape), arrays
    )
