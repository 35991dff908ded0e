"""Attention inserted into networks with masks: padding changes no output."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.networks import attention_of, distance, predictions, randomize

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    insert_attention,
    mask_after_convolution,
    remove_attention,
    replace_attention,
)

LENGTH = 7
FORMATS = ["channels_last", "channels_first"]
CONVOLUTIONS = {1: layers.Conv1D, 2: layers.Conv2D}


def masked(x, mask, axis=-1):
    """The product with a mask, written with operations."""
    return x * ops.cast(ops.expand_dims(mask, axis), x.dtype)


def network(rank=1, data_format="channels_last", given=True, taken=True):
    """Three layers whose padding is set to zero by hand.

    The mask is an input, or computed of one. If it is `taken`, a layer has it
    as an argument.
    """
    axis = 1 if data_format == "channels_first" else -1
    sizes = [None] * rank
    shape = (8, *sizes) if axis == 1 else (*sizes, 8)
    signal = keras.Input(shape, name="signal")
    mask = (
        keras.Input(sizes, dtype="bool", name="mask")
        if given
        else ops.any(ops.not_equal(signal, 0), axis=axis)
    )

    def block(name, x):
        # TensorFlow has no convolution of the other data format on a CPU.
        layer = (
            layers.BatchNormalization(axis=1, name=name)
            if axis == 1
            else CONVOLUTIONS[rank](8, 3, padding="same", name=name)
        )
        return masked(layer(x), mask, axis)

    x = block("a", signal)
    x = block("b", x)
    if taken:
        other = SqueezeExcite(2, data_format=data_format, name="taker")
        x = masked(other(x, mask=mask), mask, axis)
    x = block("c", x)
    spatial = list(range(2, 2 + rank) if axis == 1 else range(1, 1 + rank))
    outputs = ops.sum(x, axis=spatial)
    model = keras.Model([signal, mask] if given else signal, outputs)
    return randomize(model)


def batch(model, padding, seed=3):
    """A signal with this many padded positions on each axis."""
    signal = inputs_of(model)[0]
    axis = 1 if signal.shape[1] == 8 else len(signal.shape) - 1
    shape = [2, *[LENGTH] * (len(signal.shape) - 2)]
    values = np.random.default_rng(seed).normal(size=(*shape, 8))
    widths = [(0, 0), *[(0, padding)] * (len(shape) - 1)]
    x = np.pad(values, [*widths, (0, 0)]).astype("float32")
    x = np.moveaxis(x, -1, axis)
    return [x, np.pad(np.ones(shape, bool), widths)][: len(model.inputs)]


def inputs_of(model):
    return keras.tree.flatten(model.inputs)


def outputs_for(model, padding):
    data = batch(model, padding)
    return predictions(model, data if len(data) > 1 else data[0])


def change_by_padding(model):
    """How much padding to odd lengths, and to twice the length, changes."""
    alone = outputs_for(model, 0)
    return max(
        distance(alone, outputs_for(model, padding)) for padding in (1, 4, 7)
    )


def attended(model, mask=None, where=("a", "b", "c"), **arguments):
    attention = SqueezeExcite(2, **arguments)
    return randomize(insert_attention(model, attention, [*where], mask))


# The ways in which a mask is found


def test_of_several_masks_the_last_before_the_site_is_taken():
    """Each layer computes its mask anew: as many tensors as layers."""
    signal, mask = keras.Input((None, 8)), keras.Input((None,), dtype="bool")
    x, own = signal, mask
    for name in ("a", "b", "c"):
        x = layers.Conv1D(8, 3, padding="same", name=name)(masked(x, own))
        own = ops.logical_and(own, ops.any(ops.not_equal(signal, 0), axis=-1))
        x = layers.BatchNormalization(name=f"{name}_norm")(x, mask=own)
    outputs = ops.sum(masked(x, own), axis=1)
    model = randomize(keras.Model([signal, mask], outputs))
    assert change_by_padding(model) < 1e-6
    copy = attended(model, where=("a_norm", "b_norm", "c_norm"))
    assert change_by_padding(copy) < 1e-6


@pytest.mark.parametrize("rank", CONVOLUTIONS)
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("given", [True, False], ids=["input", "computed"])
def test_a_mask_that_other_layers_take_is_found(rank, data_format, given):
    model = network(rank, data_format, given)
    assert change_by_padding(model) < 1e-6
    copy = attended(model, data_format=data_format)
    assert len(attention_of(copy)) == 4
    assert change_by_padding(copy) < 1e-6


WAYS = {
    "tensor": lambda model: model.inputs[1],
    "name of an input": lambda model: "mask",
    "callable to a tensor": lambda model: lambda site: model.inputs[1],
    "callable to a name": lambda model: lambda site: "mask",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("data_format", FORMATS)
def test_a_mask_is_passed(way, data_format):
    model = network(data_format=data_format, taken=False)
    copy = attended(model, way(model), data_format=data_format)
    assert change_by_padding(copy) < 1e-6


def test_the_name_of_an_operation():
    model = network(given=False, taken=False)
    name = next(x.name for x in model.operations if x.name.startswith("any"))
    assert change_by_padding(attended(model, name)) < 1e-6


def test_a_mask_that_is_not_part_of_the_model():
    """Also from a file, whose operations have names of another process."""
    model = network(given=False, taken=False)
    config = model.get_config()
    keras.utils.clear_session()
    model = randomize(keras.Model.from_config(config))
    for _ in range(2):
        mask = ops.any(ops.not_equal(model.inputs[0], 0), axis=-1)
        copy = attended(model, mask)
        assert change_by_padding(copy) < 1e-6


@pytest.mark.parametrize("mask", [None, lambda site: None])
def test_padding_counts_without_masks(mask):
    """What the tests of this file would show if no mask were passed."""
    model = network(taken=mask is not None)
    if mask is None:
        with pytest.warns(UserWarning, match="gets none"):
            copy = attended(model)
    else:
        copy = attended(model, mask)
    assert change_by_padding(copy) > 1e-4


def test_a_keras_mask_is_passed_on_by_keras():
    x = keras.Input((None, 8))
    y = layers.Masking()(x)
    y = layers.LayerNormalization(name="norm")(y)
    model = randomize(keras.Model(x, layers.GlobalAveragePooling1D()(y)))
    copy = attended(model, where=["norm"])
    assert change_by_padding(copy) < 1e-6


def strided(computes_mask):
    """A convolution with strides, and later layers that take its mask."""
    x = keras.Input((None, 8), name="signal")
    mask = ops.any(ops.not_equal(x, 0), axis=-1)
    y = masked(layers.Conv1D(8, 3, padding="same", name="a")(x), mask)
    y = layers.BatchNormalization()(y, mask=mask)
    y = layers.Conv1D(8, 3, strides=2, name="b")(masked(y, mask))
    mask = mask_after_convolution(mask, 3, strides=2)
    y = masked(y, mask)
    outputs = (
        layers.GlobalAveragePooling1D()(y, mask=mask)
        if computes_mask
        else ops.sum(y, axis=1)
    )
    return randomize(keras.Model(x, outputs))


def test_each_resolution_has_its_own_mask():
    copy = attended(strided(computes_mask=True), where=["a", "b"])
    assert change_by_padding(copy) < 1e-6


def test_a_mask_for_strides_can_be_computed():
    model = strided(computes_mask=False)
    mask = ops.any(ops.not_equal(model.inputs[0], 0), axis=-1)
    shorter = mask_after_convolution(mask, 3, strides=2)
    masks = {"a": mask, "b": shorter}
    copy = attended(model, lambda site: masks[site.name], where=["a", "b"])
    assert change_by_padding(copy) < 1e-6


def test_a_mask_inside_a_nested_model():
    inner = network()
    signal = keras.Input((None, 8))
    mask = keras.Input((None,), dtype="bool")
    model = keras.Model([signal, mask], inner([signal, mask]))
    copy = attended(model, where=[f"{inner.name}/a", f"{inner.name}/c"])
    assert change_by_padding(copy) < 1e-6
    copy = attended(model, f"{inner.name}/mask", where=[f"{inner.name}/b"])
    assert change_by_padding(copy) < 1e-6


def test_masks_that_keras_merges_of_one_are_one_mask():
    x = keras.Input((None, 8))
    mask = ops.any(ops.not_equal(x, 0), axis=-1)
    y = layers.Conv1D(8, 3, padding="same", name="a")(x)
    y = layers.BatchNormalization()(y, mask=mask)
    z = layers.BatchNormalization()(x, mask=mask)
    outputs = layers.GlobalAveragePooling1D()(layers.Add()([y, z]))
    copy = attended(randomize(keras.Model(x, outputs)), where=["a"])
    assert len(attention_of(copy)) == 1


def test_lengths_of_two_inputs_are_not_mixed_up():
    """The mask of the source has the length of the target by chance only."""
    source, target = keras.Input((None, 8)), keras.Input((None, 8))
    mask = ops.any(ops.not_equal(source, 0), axis=-1)
    x = layers.GlobalAveragePooling1D()(source, mask=mask)
    y = layers.Conv1D(8, 3, padding="same", name="a")(target)
    y = layers.GlobalAveragePooling1D()(y)
    model = randomize(keras.Model([source, target], layers.Add()([x, y])))
    copy = attended(model, where=["a"])
    data = np.ones((2, 5, 8), "float32"), np.ones((2, 6, 8), "float32")
    assert predictions(copy, [*data]).shape == (2, 8)


# What stays


def test_other_layers_get_the_masks_that_they_had():
    """The pooling takes no mask, and the convolution would warn of one."""
    x = keras.Input((None, 8), name="signal")
    mask = keras.Input((None,), dtype="bool", name="mask")
    y = layers.Conv1D(8, 3, padding="same", name="a")(x)
    y = layers.Conv1D(8, 3, padding="same", name="b")(y)
    y = layers.GlobalAveragePooling1D()(y)
    z = layers.GlobalAveragePooling1D()(x, mask=mask)
    model = randomize(keras.Model([x, mask], layers.Add()([y, z])))
    attention = SqueezeExcite(2, identity_start=True)
    copy = insert_attention(model, attention, ["a", "b"])
    before, after = (outputs_for(net, 4) for net in (model, copy))
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-6)


def test_files_keep_the_masks(tmp_path):
    copy = attended(network(given=False))
    copy.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert change_by_padding(loaded) < 1e-6
    assert distance(outputs_for(copy, 4), outputs_for(loaded, 4)) < 1e-6


def test_surgery_keeps_the_masks():
    copy = attended(network())
    other = replace_attention(copy, EfficientChannelAttention())
    assert change_by_padding(randomize(other)) < 1e-6
    more = attended(remove_attention(other), "mask", where=["c"])
    assert len(attention_of(more)) == 1
    assert change_by_padding(more) < 1e-6


def test_layers_without_the_argument_get_no_mask():
    model = network()
    copy = insert_attention(model, lambda site: layers.Dropout(0.5), ["a"])
    assert distance(outputs_for(model, 4), outputs_for(copy, 4)) < 1e-6


class Scale(layers.Layer):
    """Takes a mask after another argument."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, factor=2.0, mask=None):
        return masked(inputs, mask) * factor


def test_a_layer_of_a_user_gets_the_mask():
    model = network()
    copy = insert_attention(model, lambda site: Scale(), ["c"])
    expected = 2 * outputs_for(model, 4)
    np.testing.assert_allclose(outputs_for(copy, 4), expected, rtol=1e-5)


def test_masks_in_networks_that_need_even_lengths():
    x = keras.Input((None, 8), name="signal")
    mask = keras.Input((None,), dtype="bool", name="mask")
    y = layers.MaxPooling1D(4)(x)
    y = layers.UpSampling1D(4)(y)
    y = layers.Conv1D(8, 1, name="a")(layers.Add()([x, y]))
    outputs = layers.GlobalAveragePooling1D()(masked(y, mask), mask=mask)
    model = randomize(keras.Model([x, mask], outputs))
    data = [np.ones((2, 8, 8), "float32"), np.ones((2, 8), bool)]
    data[1][:, 5:] = False
    copy = attended(model, where=["a"])
    changed = [data[0].copy(), data[1]]
    changed[0][:, 5:8] = 0.5
    assert distance(predictions(copy, data), predictions(copy, changed)) < 1e-6


# Warnings


def test_sites_without_a_mask_are_named():
    message = r"(?s)after \['b'\] gets none.*`mask=`.*mask_after_convolution"
    with pytest.warns(UserWarning, match=message):
        attended(strided(computes_mask=False), where=["a", "b"])


def downsampled(kind, size, strides, padding="same", length=None):
    """A layer before the site, which takes the mask."""
    x = keras.Input((length, 8), name="signal")
    mask = keras.Input((length,), dtype="bool", name="mask")
    layer = (
        layers.Conv1D(8, size, strides, padding=padding, name="down")
        if kind == "convolution"
        else layers.AveragePooling1D(size, strides, padding, name="down")
    )
    shorter = mask_after_convolution(mask, size, strides, padding)
    y = layers.BatchNormalization(name="norm")(layer(x), mask=shorter)
    return keras.Model([x, mask], ops.sum(masked(y, shorter), axis=1))


SHIFTS = [("convolution", 3, 2), ("convolution", 5, 3), ("pooling", 3, 3)]
KEEPS = [
    ("convolution", 1, 2),
    ("convolution", 2, 2),
    ("convolution", 4, 2),
    ("convolution", 5, 1),
]


@pytest.mark.parametrize("arguments", SHIFTS)
def test_windows_that_shift_with_the_length_are_named(arguments):
    model = randomize(downsampled(*arguments))
    assert change_by_padding(model) > 1e-3
    with pytest.warns(UserWarning, match=r"(?s)\['down'\].*first window"):
        attended(model, where=["norm"])


@pytest.mark.parametrize("arguments", KEEPS)
def test_windows_that_do_not_shift(arguments):
    copy = attended(randomize(downsampled(*arguments)), where=["norm"])
    assert change_by_padding(copy) < 1e-6


@pytest.mark.parametrize("options", [{"length": 8}, {"padding": "valid"}])
def test_windows_of_known_length_or_without_padding(options):
    model = downsampled("convolution", 3, 2, **options)
    assert attention_of(attended(model, where=["norm"]))


def test_windows_that_shift_in_a_nested_model_are_named():
    inside = keras.Input((None, 8))
    pooling = layers.MaxPooling1D(3, padding="same", name="down")
    inner = keras.Model(inside, pooling(inside), name="in")
    x = keras.Input((None, 8))
    mask = ops.any(ops.not_equal(x, 0), axis=-1)
    mask = mask_after_convolution(mask, 3, 3, "same")
    y = layers.BatchNormalization(name="norm")(inner(x), mask=mask)
    with pytest.warns(UserWarning, match=r"\['in/down'\]"):
        attended(keras.Model(x, y), where=["norm"])


def test_a_mask_of_the_model_around_is_not_passed_inside():
    x = keras.Input((None, 8), name="signal")
    mask = keras.Input((None,), dtype="bool", name="mask")
    inside = keras.Input((None, 8))
    inner = keras.Model(
        inside, layers.Conv1D(8, 3, name="a", padding="same")(inside), name="in"
    )
    y = layers.GlobalAveragePooling1D()(inner(x), mask=mask)
    model = keras.Model([x, mask], y)
    for argument in (None, "mask"):
        with pytest.warns(UserWarning, match=r"\['in/a'\] gets none"):
            attended(model, argument, where=["in/a"])


def test_a_branch_without_masks_gets_no_warning():
    picture, text = keras.Input((6, 6, 8)), keras.Input((None, 8))
    mask = keras.Input((None,), dtype="bool")
    x = layers.Conv2D(8, 3, name="a")(picture)
    x = layers.GlobalAveragePooling2D()(x)
    y = layers.GlobalAveragePooling1D()(text, mask=mask)
    model = keras.Model([picture, text, mask], layers.Add()([x, y]))
    assert len(attention_of(attended(model, where=["a"]))) == 1


# Errors


WRONG = {
    "another rank": (ValueError, "does not fit 'a'", "signal"),
    "another resolution": (
        ValueError,
        "does not fit 'a'",
        lambda site: "shorter",
    ),
    "computed from the site": (ValueError, "computed from the output", "late"),
    "unknown name": (ValueError, r"names 'maks'.*\['mask'\]", "maks"),
    "several outputs": (ValueError, "2 outputs", "both"),
    "another model": (ValueError, "not computed from", keras.KerasTensor),
    "array": (TypeError, "`mask` must be", np.ones((2, 7), bool)),
    "layer": (TypeError, "`mask` must be", layers.Identity()),
    "class": (TypeError, "`mask` must be", layers.Masking),
    "callable to an array": (
        TypeError,
        "`mask` must be",
        lambda site: np.ones((2, 7), bool),
    ),
}


class Twice(layers.Layer):
    def call(self, inputs):
        return inputs, inputs


def with_many_tensors():
    x = keras.Input((None, 8), name="signal")
    mask = keras.Input((None,), dtype="bool", name="mask")
    y = layers.Conv1D(8, 3, padding="same", name="a")(x)
    shorter = layers.MaxPooling1D(2)(ops.cast(mask[..., None], "float32"))
    shorter = layers.Reshape((-1,), name="shorter")(shorter)
    late = layers.Lambda(
        lambda y: ops.any(y > 0, -1), output_shape=(None,), name="late"
    )(y)
    both = Twice(name="both")(x)
    return keras.Model([x, mask], [y, shorter, late, *both])


@pytest.mark.parametrize(
    ("error", "message", "mask"), WRONG.values(), ids=WRONG
)
def test_a_wrong_mask(error, message, mask):
    if mask is keras.KerasTensor:
        mask = keras.Input((None,), dtype="bool")
    with pytest.raises(error, match=message):
        insert_attention(with_many_tensors(), SqueezeExcite(2), ["a"], mask)


def test_masks_that_need_each_other():
    left, right = keras.Input((None, 8)), keras.Input((None, 8))
    x, y = (
        layers.Conv1D(8, 3, padding="same", name=name)(tensor)
        for name, tensor in (("a", left), ("b", right))
    )
    model = keras.Model([left, right], [x, y])
    masks = {"a": ops.any(y > 0, axis=-1), "b": ops.any(x > 0, axis=-1)}
    with pytest.raises(ValueError, match="computed from another new layer"):
        insert_attention(
            model, SqueezeExcite(2), ["a", "b"], lambda site: masks[site.name]
        )
