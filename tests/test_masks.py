"""The mask after a convolution: padding of a batch changes no valid output."""

import pathlib
import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from keras_channel_attn import SqueezeExcite, mask_after_convolution


def prefix_mask(lengths, size):
    return np.arange(size) < np.array(lengths)[:, None]


def to_lists(mask):
    return keras.ops.convert_to_numpy(mask).astype(int).tolist()


WINDOWS = {
    "valid": ({"kernel_size": 3}, 1),
    "strides": ({"kernel_size": 3, "strides": 2}, 1),
    "dilation": ({"kernel_size": 3, "dilation_rate": 2}, 1),
    "wide strides": ({"kernel_size": 2, "strides": 3}, 1),
    "causal": ({"kernel_size": 4, "strides": 2, "padding": "causal"}, 1),
    "causal, dilation": (
        {"kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        1,
    ),
    "explicit padding": ({"kernel_size": 3, "strides": 2, "padding": 1}, 1),
    "little padding": ({"kernel_size": 5, "strides": 3, "padding": 1}, 1),
    "same": ({"kernel_size": 5, "padding": "same"}, 1),
    "same, strides": ({"kernel_size": 3, "strides": 2, "padding": "same"}, 2),
    "same, wide strides": (
        {"kernel_size": 3, "strides": 4, "padding": "same"},
        4,
    ),
}


def convolve(x, padding="valid", **arguments):
    """A convolution with weights of ones, with explicit padding or without."""
    if isinstance(padding, int):
        x = layers.ZeroPadding1D(padding)(x)
        padding = "valid"
    layer = layers.Conv1D(
        2, padding=padding, kernel_initializer="ones", **arguments
    )
    return keras.ops.convert_to_numpy(layer(x))


@pytest.mark.parametrize(
    ("arguments", "multiple"), WINDOWS.values(), ids=WINDOWS
)
def test_valid_outputs_are_those_of_the_sample_alone(arguments, multiple, rng):
    """Truth: the layer itself, on a signal without padding.

    With `padding="same"` and strides, the grid of Keras depends on the length:
    all lengths are multiples of the strides.
    """
    for length in range(6 * multiple, 9 * multiple, multiple):
        signal = rng.normal(size=(1, length, 3)).astype("float32")
        alone = convolve(signal, **arguments)
        for padding in range(0, 4 * multiple, multiple):
            padded = np.pad(signal, ((0, 0), (0, padding), (0, 0)))
            mask = prefix_mask([length], length + padding)
            kept = keras.ops.convert_to_numpy(
                mask_after_convolution(mask, **arguments)
            )
            outputs = convolve(padded, **arguments)
            assert kept.shape == outputs.shape[:2]
            np.testing.assert_allclose(outputs[kept], alone[0], rtol=1e-5)


@pytest.mark.parametrize("length", [1, 4, 5, 6, 7])
def test_same_padding_keeps_as_many_positions_as_keras(length):
    """Keras: `ceil(length / strides)`, whatever the padded length."""
    for size in (7, 8, 9):
        mask = mask_after_convolution(
            prefix_mask([length], size), 3, strides=3, padding="same"
        )
        expected = prefix_mask([-(-length // 3)], -(-size // 3))
        assert to_lists(mask) == expected.astype(int).tolist()


@settings(deadline=None, max_examples=30)
@given(
    holes=st.lists(st.booleans(), min_size=9, max_size=9),
    kernel_size=st.integers(1, 3),
    strides=st.integers(1, 3),
    dilation_rate=st.integers(1, 2),
)
def test_any_mask_without_padding(holes, kernel_size, strides, dilation_rate):
    """Truth: a window is valid if all positions that it reads are."""
    extent = (kernel_size - 1) * dilation_rate + 1
    expected = [
        all(holes[start : start + extent : dilation_rate])
        for start in range(0, 10 - extent, strides)
    ]
    mask = mask_after_convolution(
        np.array([holes]), kernel_size, strides, "valid", dilation_rate
    )
    assert to_lists(mask) == [[int(value) for value in expected]]


def test_each_spatial_axis_has_its_own_window():
    mask = np.zeros((1, 6, 5, 4), bool)
    mask[:, :5, :3, :3] = True
    shorter = mask_after_convolution(
        mask, (3, 1, 2), (2, 1, 3), padding=(1, 0, 0)
    )
    expected = np.zeros((1, 3, 5, 1), int)
    expected[:, :3, :3, :1] = 1
    assert to_lists(shorter) == expected.tolist()


def test_numpy_numbers():
    mask = mask_after_convolution(
        prefix_mask([4], 6),
        np.int64(3),
        strides=np.array([2]),
        padding=np.int32(1),
        dilation_rate=np.array(1),
    )
    assert to_lists(mask) == [[1, 1, 0]]


def test_symbolic_masks_of_unknown_length(tmp_path):
    signal = keras.Input((None, 3))
    mask = keras.ops.any(keras.ops.not_equal(signal, 0), axis=-1)
    x = layers.Conv1D(4, 3, strides=2)(signal)
    shorter = mask_after_convolution(mask, 3, strides=2)
    assert shorter.shape == (None, None)
    model = keras.Model(signal, SqueezeExcite(2)(x, mask=shorter))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    data = np.ones((2, 9, 3), "float32")
    data[1, 5:] = 0
    np.testing.assert_allclose(
        loaded.predict(data, verbose=0)[1, :2],
        model.predict(data[1:, :6], verbose=0)[0, :2],
        rtol=1e-5,
    )


MASK = np.ones((2, 8), bool)
ERRORS = {
    "no array": (TypeError, "`mask` must be", ([True], 3)),
    "no spatial axis": (ValueError, "one or more", (np.ones(3, bool), 3)),
    "kernel size": (ValueError, "`kernel_size` must", (MASK, 0)),
    "two kernel sizes": (ValueError, "`kernel_size` must", (MASK, (3, 3))),
    "strides": (TypeError, "`strides` must", (MASK, 3, 1.5)),
    "name of padding": (ValueError, "`padding` must", (MASK, 3, 1, "full")),
    "negative padding": (ValueError, "`padding` must", (MASK, 3, 1, -1)),
    "boolean padding": (ValueError, "`padding` must", (MASK, 3, 1, True)),
    "fractional padding": (TypeError, "`padding` must", (MASK, 3, 1, 0.5)),
    "much padding": (ValueError, "less than half", (MASK, 3, 1, 2)),
    "dilation": (ValueError, "`dilation_rate`", (MASK, 3, 1, "valid", 0)),
}


@pytest.mark.parametrize(
    ("error", "message", "arguments"), ERRORS.values(), ids=ERRORS
)
def test_errors_name_the_argument(error, message, arguments):
    with pytest.raises(error, match=message):
        mask_after_convolution(*arguments)


@pytest.mark.parametrize("size", [8, 6])
def test_a_masked_network_in_both_data_formats(size, rng):
    """The lines of docs/masks.md, with as many positions as channels too."""
    x = rng.normal(size=(2, size, 6)).astype("float32")
    mask = prefix_mask([size, 3], size)
    weights = [rng.normal(size=shape) for shape in ((6, 3), (3, 6))]
    outputs = []
    for data_format in ("channels_last", "channels_first"):
        is_last = data_format == "channels_last"
        inputs = keras.Input((size, 6) if is_last else (6, size))
        given = keras.Input((size,), dtype="bool")
        attention = SqueezeExcite(2, data_format=data_format)
        y = attention(inputs, mask=given)
        y = layers.BatchNormalization(axis=-1 if is_last else 1)(y)
        axis = -1 if is_last else 1
        signal = keras.ops.cast(keras.ops.expand_dims(given, axis), "float32")
        model = keras.Model([inputs, given], layers.Multiply()([y, signal]))
        attention.set_weights(weights)
        data = x if is_last else x.transpose(0, 2, 1)
        result = model.predict_on_batch([data, mask])
        outputs.append(result if is_last else result.transpose(0, 2, 1))
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)


# Keras cannot attach a mask to an array of NumPy.
@pytest.mark.backend("tensorflow", "torch", "jax")
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_which_outputs_carry_the_mask(data_format):
    outputs = SqueezeExcite(2, data_format=data_format)(
        np.ones((2, 4, 4), "float32"), mask=np.ones((2, 4), bool)
    )
    carries = getattr(outputs, "_keras_mask", None) is not None
    assert carries == (data_format == "channels_last")


PAGE = pathlib.Path(__file__).parents[1] / "docs" / "masks.md"


def test_padding_changes_nothing_on_the_page(rng):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    namespace = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    signal = rng.normal(size=(2, 31, 12)).astype("float32")
    for name in ("model", "attended"):
        outputs = [
            namespace[name].predict_on_batch(
                np.pad(signal, ((0, 0), (0, padding), (0, 0)))
            )
            for padding in (0, 1, 2, 9)
        ]
        for padded in outputs[1:]:
            np.testing.assert_allclose(padded, outputs[0], rtol=1e-5, atol=1e-5)
