"""What attention does on data, against networks with other weights.

The truth: the weights of attention are set so that its gates are constants,
and the network predicts. No function that walks through a model is needed.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support import networks
from support.constant_gates import Attention, fixed_gates, relative_change

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    GlobalContext,
    SqueezeExcite,
    attention_layers,
    attention_report,
    attention_scores,
    insert_attention,
    model_costs,
    remove_attention,
)

pytestmark = pytest.mark.backend("tensorflow", "torch", "jax", "numpy")

SAMPLES = 40


def attended(network, rng):
    """The network with attention after each of its convolutions."""
    model = insert_attention(
        network,
        lambda site: Attention(name=f"{site.name}_se"),
        lambda layer: isinstance(layer, layers.Conv2D),
    )
    randomize(model, rng)
    return model


def randomize(model, rng):
    for layer in attention_layers(model).values():
        layer.randomize(rng)


def small(rng, **arguments):
    x = inputs = keras.Input((6, 6, 3))
    for number in (1, 2):
        x = layers.Conv2D(8, 3, padding="same", data_format="channels_last")(x)
        x = Attention(
            name=f"se{number}", data_format="channels_last", **arguments
        )(x)
    x = ops.mean(x, (1, 2))
    model = keras.Model(inputs, layers.Dense(3)(x), name="small")
    randomize(model, rng)
    return model


def images(rng, samples=SAMPLES):
    # Bright and dark images: their gates differ.
    brightness = np.linspace(0.2, 3, samples)[:, None, None, None]
    values = rng.normal(size=(samples, 6, 6, 3)) + 1
    return (rng.permutation(brightness) * values).astype("float32")


def outputs_of(model, x):
    return keras.tree.flatten(model.predict(x, verbose=0))


def mean_gates(model, x):
    """The mean over samples, steps and calls, from the scores of each call."""
    found = {}
    for path, array in attention_scores(model, x, verbose=0).items():
        rows = array.reshape(-1, array.shape[-1])
        found.setdefault(path.partition(":")[0], []).append(rows)
    return {path: np.concatenate(rows).mean(0) for path, rows in found.items()}


def assert_true(model, x, report):
    """Compare all changes of a report with networks of other weights."""
    outputs, found = outputs_of(model, x), attention_layers(model)
    gates = mean_gates(model, x)
    assert [row.path for row in report.layers] == list(gates)
    for row in report.layers:
        layer = found[row.path]
        for change, array in (
            (row.change_if_constant, gates[row.path]),
            (row.change_if_removed, None),
        ):
            with fixed_gates({layer: array}):
                expected = relative_change(outputs, outputs_of(model, x))
            np.testing.assert_allclose(change, expected, rtol=2e-3, atol=1e-5)
    for change, arrays in (
        (report.change_if_constant, gates),
        (report.change_if_removed, dict.fromkeys(gates)),
    ):
        with fixed_gates({found[path]: arrays[path] for path in gates}):
            expected = relative_change(outputs, outputs_of(model, x))
        np.testing.assert_allclose(change, expected, rtol=2e-3)


@pytest.mark.parametrize("build", networks.SAVED)
def test_changes(build, rng):
    model = attended(networks.randomize(build()), rng)
    x = networks.sample(model, SAMPLES)
    report = attention_report(model, x, batch_size=16, verbose=0)
    assert report.samples == SAMPLES
    assert_true(model, x, report)


class OwnCall(keras.Model):
    """A model whose graph Keras does not know."""

    def __init__(self):
        super().__init__()
        self.first = layers.Dense(8)
        self.attention = Attention(name="se", data_format="channels_last")
        self.last = layers.Dense(2)

    def call(self, inputs):
        x = self.attention(self.first(inputs))
        return self.last(self.attention(x)[:, 0])


def own_call(rng):
    model, x = OwnCall(), rng.normal(size=(SAMPLES, 5, 3)).astype("float32")
    model(x[:1])
    return model, x


class Block(layers.Layer):
    """A layer of a user with attention inside."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(8)
        self.attention = Attention(name="se", data_format="channels_last")

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.attention.build((*input_shape[:-1], 8))

    def call(self, inputs):
        return self.attention(self.dense(inputs))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 8)


def block(rng):
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, layers.Dense(2)(Block()(inputs)))
    return model, rng.normal(size=(SAMPLES, 5, 3)).astype("float32")


def in_time(rng):
    inputs = keras.Input((4, 5, 3))
    wrapped = keras.Input((5, 3))
    attention = Attention(name="se", data_format="channels_last")
    inner = keras.Model(wrapped, attention(layers.Dense(8)(wrapped)))
    x = layers.TimeDistributed(inner)(inputs)
    return (
        keras.Model(inputs, layers.Dense(2)(x)),
        rng.normal(size=(SAMPLES, 4, 5, 3)).astype("float32"),
    )


def masked(rng):
    """Signals of several lengths, whose ends are zeros."""
    inputs = keras.Input((None, 3))
    x = layers.Dense(8)(layers.Masking()(inputs))
    x = Attention(name="se", data_format="channels_last")(x)
    x = layers.GlobalAveragePooling1D(data_format="channels_last")(x)
    signals = rng.normal(size=(SAMPLES, 6, 3)).astype("float32")
    for number, signal in enumerate(signals):
        signal[1 + number % 6 :] = 0
    return keras.Model(inputs, layers.Dense(2)(x)), signals


def frame_model():
    inputs = keras.Input((5, 8))
    attention = Attention(name="se", data_format="channels_last")
    return keras.Model(inputs, attention(layers.Dense(8)(inputs)))


def frames_of(layer):
    """Masked frames, and a layer behind them that uses the mask."""

    def build(rng):
        inputs = keras.Input((4, 5, 8))
        x = layers.TimeDistributed(layer())(layers.Masking()(inputs))
        x = Attention(name="last", data_format="channels_last")(x)
        frames = rng.normal(size=(SAMPLES, 4, 5, 8)).astype("float32")
        for number, frame in enumerate(frames):
            frame[:, 1 + number % 5 :] = 0
        return keras.Model(inputs, layers.Dense(2)(x)), frames

    build.__name__ = f"frames_of_{layer.__name__}"
    return build


def frame_layer():
    return Attention(name="se", data_format="channels_last")


def channels_first(rng):
    inputs = keras.Input((8, 3, 4))
    x = Attention(name="se", data_format="channels_first")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    return model, rng.normal(size=(SAMPLES, 8, 3, 4)).astype("float32")


def scores_as_outputs(rng):
    inputs = keras.Input((5, 8))
    layer = Attention(name="se", data_format="channels_last")
    outputs = layer(inputs, return_attention_scores=True)
    model = keras.Model(inputs, outputs)
    return model, rng.normal(size=(SAMPLES, 5, 8)).astype("float32")


@pytest.mark.parametrize(
    "build",
    [
        own_call,
        block,
        in_time,
        masked,
        *map(frames_of, (frame_layer, frame_model, Block)),
        channels_first,
    ],
)
def test_changes_in_other_models(build, rng):
    model, x = build(rng)
    randomize(model, rng)
    assert_true(model, x, attention_report(model, x, verbose=0))


def test_scores_that_are_outputs_are_constants_too(rng):
    model, x = scores_as_outputs(rng)
    randomize(model, rng)
    outputs, layer = outputs_of(model, x), model.get_layer("se")
    row = attention_report(model, x, verbose=0).layers[0]
    with fixed_gates({layer: outputs[1].mean(0)}):
        expected = relative_change(outputs, outputs_of(model, x))
    np.testing.assert_allclose(row.change_if_constant, expected, rtol=2e-3)


def test_spread_of_the_gates(rng):
    model, x = small(rng), images(rng)
    report = attention_report(model, x, verbose=0)
    for row, gates in zip(
        report.layers,
        attention_scores(model, x, verbose=0).values(),
        strict=True,
    ):
        deviation, mean = gates.std(0), gates.mean(0)
        actual = (
            row.spread_over_samples,
            row.spread_over_channels,
            row.constant_channels,
            row.closed_channels,
            row.open_channels,
        )
        expected = (
            deviation.mean(),
            mean.std(),
            (deviation < 1 / 255).mean(),
            (mean < 0.05).mean(),
            (mean > 0.95).mean(),
        )
        np.testing.assert_allclose(actual, expected, rtol=1e-3)


def test_channels_that_are_constant_closed_and_open(rng):
    """Biases that no input can outweigh."""
    model, x = small(rng), images(rng)
    kernel, bias = model.get_layer("se2").weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign([-30, -30, 30, 0, 0, 0, 0, 0])
    row = attention_report(model, x, verbose=0).layers[1]
    assert row.constant_channels == 1
    assert row.closed_channels == 2 / 8
    assert row.open_channels == 1 / 8
    assert row.change_if_constant < 1e-5
    assert row.verdict == "constant: can be frozen"


def test_costs(rng):
    model, x = small(rng), images(rng)
    report = attention_report(model, x, verbose=0)
    costs = {row.path: row for row in model_costs(model).layers}
    for row in report.layers:
        assert row.kind == "Attention"
        assert row.channels == 8
        assert row.parameters == costs[row.path].parameters
        assert row.macs == costs[row.path].macs
        assert 0 < row.time_share < 1
    assert report.time_share == sum(row.time_share for row in report.layers)


def in_frames_of_frames():
    attention = Attention(name="se", data_format="channels_last")
    return layers.TimeDistributed(attention)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(frame_layer, (4, 5, 8)), (in_frames_of_frames, (4, 2, 5, 8))],
)
def test_steps_that_are_wholly_masked(layer, shape, rng):
    """They are no samples of the gates."""
    inputs = keras.Input(shape)
    x = layers.TimeDistributed(layer())(layers.Masking()(inputs))
    model = keras.Model(inputs, x)
    randomize(model, rng)
    x = rng.normal(size=(SAMPLES, *shape)).astype("float32")
    x[::2, 1:] = 0
    (scores,) = attention_scores(model, x, verbose=0).values()
    gates = scores[x.any((-2, -1))]
    (row,) = attention_report(model, x, verbose=0).layers
    actual = (row.spread_over_samples, row.spread_over_channels)
    expected = (gates.std(0).mean(), gates.mean(0).std())
    np.testing.assert_allclose(actual, expected, rtol=1e-3)
    with pytest.raises(ValueError, match="All time steps of the attention"):
        attention_report(model, np.zeros_like(x), verbose=0)


def test_costs_of_masked_frames(rng):
    """Each call is counted once."""
    model, x = frames_of(frame_model)(rng)
    report = attention_report(model, x, verbose=0)
    macs = model_costs(model).attention_macs
    assert sum(row.macs for row in report.layers) == macs


def test_layers_before_are_computed_once(rng):
    """However many layers of attention follow, and however often."""
    calls = []

    class Counted(layers.Layer):
        def call(self, inputs):
            calls.append(inputs.shape[0])
            return inputs

    inputs = keras.Input((5, 8))
    x = y = Counted()(inputs)
    for number in range(4):
        x = Attention(name=f"se{number}", data_format="channels_last")(x)
    # What comes before the attention is needed behind it, too.
    model = keras.Model(inputs, layers.Add()([x, y]))
    randomize(model, rng)
    calls.clear()
    x = rng.normal(size=(SAMPLES, 5, 8)).astype("float32")
    attention_report(model, x, batch_size=SAMPLES, verbose=0)
    # Once for the gates, once for all changes, three times for the time.
    assert sum(calls) == 5 * SAMPLES


# Layers that attend to positions.


@pytest.mark.parametrize(
    "layer",
    [
        ConvolutionalBlockAttention(2, kernel_size=3, name="a"),
        ConcurrentSqueezeExcite(2, name="a"),
        CoordinateAttention(2, name="a"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_gates_that_cannot_be_fixed(layer, rng):
    inputs = networks.image()
    model = keras.Model(inputs, networks.head(layer(inputs)))
    x = networks.sample(model, SAMPLES)
    report = attention_report(model, x, verbose=0)
    (row,) = report.layers
    assert row.change_if_constant is None
    assert report.change_if_constant is None
    assert row.verdict == "?"
    assert type(layer).__name__ in row.reason
    assert row.reason in str(report)
    expected = relative_change(
        outputs_of(model, x), outputs_of(remove_attention(model), x)
    )
    np.testing.assert_allclose(row.change_if_removed, expected, rtol=1e-3)


class Opaque(Attention):
    """Its excitation takes no symbolic tensor."""

    def excite(self, descriptor):
        if keras.utils.is_keras_tensor(descriptor):
            raise TypeError
        return super().excite(descriptor)


def test_costs_that_are_unknown(rng):
    inputs = keras.Input((5, 8))
    x = Opaque(name="se", data_format="channels_last")(inputs)
    model = keras.Model(inputs, x)
    x = rng.normal(size=(SAMPLES, 5, 8)).astype("float32")
    (row,) = attention_report(model, x, verbose=0).layers
    assert row.macs is None
    assert "`excitation_macs`" in row.reason


@pytest.mark.parametrize("identity_start", [False, True])
def test_scores_that_are_added_are_no_gates(identity_start, rng):
    """Also where all of them are zero."""
    inputs = keras.Input((5, 8))
    layer = GlobalContext(
        2,
        fuse="add",
        identity_start=identity_start,
        data_format="channels_last",
    )
    model = keras.Model(inputs, layer(inputs))
    x = rng.normal(size=(SAMPLES, 5, 8)).astype("float32")
    (row,) = attention_report(model, x, verbose=0).layers
    assert row.open_channels is row.closed_channels is None
    assert "are added" in row.reason


def test_one_constant_output_of_several(rng):
    inputs = keras.Input((5, 8))
    x = Attention(name="se", data_format="channels_last")(inputs)
    model = keras.Model(inputs, [x, ops.zeros_like(x)])
    x = rng.normal(size=(SAMPLES, 5, 8)).astype("float32")
    (row,) = attention_report(model, x, verbose=0).layers
    assert row.change_if_removed is None
    assert "one of the outputs of the model" in row.reason


@pytest.mark.parametrize("fuse", ["add", "scale"])
def test_global_context_with_fixed_numbers(fuse, rng):
    inputs = keras.Input((6, 6, 8))
    layer = GlobalContext(2, fuse=fuse, data_format="channels_last", name="gc")
    x = layer(inputs)
    model = keras.Model(inputs, x)
    networks.randomize(model)
    x = rng.normal(size=(SAMPLES, 6, 6, 8)).astype("float32")
    row = attention_report(model, x, verbose=0).layers[0]
    scores = attention_scores(model, x, verbose=0)["gc"].mean(0)
    fixed = x + scores if fuse == "add" else x * scores
    expected = relative_change(outputs_of(model, x), [fixed])
    np.testing.assert_allclose(row.change_if_constant, expected, rtol=1e-3)
    assert (row.open_channels is None) == (fuse == "add")


class Doubled(SqueezeExcite):
    """A subclass that computes something else from the gates."""

    def call(self, inputs, mask=None, return_attention_scores=False):
        outputs, scores = super().call(inputs, mask, True)
        outputs = outputs + outputs
        return (outputs, scores) if return_attention_scores else outputs


def test_subclass_with_a_call_of_its_own(rng):
    inputs = keras.Input((5, 8))
    x = Doubled(2, name="se", data_format="channels_last")(inputs)
    model = keras.Model(inputs, x)
    x = rng.normal(size=(SAMPLES, 5, 8)).astype("float32")
    (row,) = attention_report(model, x, verbose=0).layers
    assert row.change_if_constant is None
    expected = relative_change(outputs_of(model, x), [x])
    np.testing.assert_allclose(row.change_if_removed, expected, rtol=1e-3)


# Outputs.


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(dtype, rng):
    keras.config.set_dtype_policy(dtype)
    model, x = small(rng), images(rng)
    report = attention_report(model, x, verbose=0)
    outputs, found = outputs_of(model, x), attention_layers(model)
    for row in report.layers:
        with fixed_gates({found[row.path]: None}):
            expected = relative_change(outputs, outputs_of(model, x))
        np.testing.assert_allclose(row.change_if_removed, expected, rtol=0.1)


def test_one_sample(rng):
    model, x = small(rng), images(rng, 1)
    report = attention_report(model, x, verbose=0)
    assert report.change_if_removed is None
    assert report.layers[0].change_if_constant is None
    assert "several samples" in report.layers[0].reason
    assert "on 1 sample\n" in str(report)


class Signals(keras.utils.PyDataset):
    """Batches of several lengths."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        length = 4 + index
        values = np.random.default_rng(index).normal(size=(20, length, 3))
        return (values.astype("float32"),)


def test_outputs_of_several_sizes(rng):
    inputs = keras.Input((None, 3))
    attention = Attention(name="se", data_format="channels_last")
    model = keras.Model(inputs, attention(inputs))
    row = attention_report(model, Signals(), verbose=0).layers[0]
    assert row.change_if_removed is None
    assert "other sizes" in row.reason
    assert row.spread_over_samples > 0


def test_outputs_that_are_not_finite(rng):
    inputs = keras.Input((5, 3))
    attention = Attention(name="se", data_format="channels_last")
    model = keras.Model(inputs, attention(inputs))
    x = rng.normal(size=(SAMPLES, 5, 3)).astype("float32")
    x[0] = np.nan
    row = attention_report(model, x, verbose=0).layers[0]
    assert row.change_if_removed is None
    assert row.spread_over_samples is row.spread_over_channels is None
    assert row.constant_channels is row.closed_channels is None
    assert "not finite" in row.reason


# The report.


def test_verdict_on_few_samples(rng):
    model, x = small(rng), images(rng, 31)
    row = attention_report(model, x, verbose=0).layers[0]
    assert row.verdict == "fewer than 32 samples"


def test_text(rng):
    model, x = small(rng), images(rng)
    y = rng.integers(0, 3, SAMPLES)
    report = attention_report(model, x, y, "accuracy", verbose=0)
    lines = str(report).splitlines()
    assert lines[0] == "Attention of the model 'small' on 40 samples"
    assert lines[-1] == (f"accuracy of the model as it is: {report.metric:.3f}")
    (line,) = (line for line in lines if line.startswith("se1 "))
    row = report.layers[0]
    words = line.split()
    assert words[1] == f"{row.spread_over_samples:.3f}"
    assert words[6:10] == [
        f"{number:.3f}"
        for number in (
            row.change_if_constant,
            row.change_if_removed,
            row.metric_if_constant,
            row.metric_if_removed,
        )
    ]
    assert line.endswith(row.verdict)
    assert max(map(len, lines)) <= 160


def test_data_frame(rng):
    pytest.importorskip("pandas")
    report = attention_report(small(rng), images(rng), verbose=0)
    frame = report.to_dataframe()
    assert list(frame.path) == ["se1", "se2"]
    assert list(frame.macs) == [64, 64]


def test_some_layers(rng):
    model, x = small(rng), images(rng)
    report = attention_report(model, x, layers=["se2"], verbose=0)
    assert [row.path for row in report.layers] == ["se2"]
    every = attention_report(model, x, verbose=0)
    assert report.layers[0].change_if_constant == pytest.approx(
        every.layers[1].change_if_constant, rel=1e-3
    )


def test_steps_of_arrays(rng):
    """A batch has 32 samples, also with `steps`."""
    model, x = small(rng), images(rng)
    assert attention_report(model, x, steps=1, verbose=0).samples == 32


def test_model_is_not_changed(rng):
    model, x = small(rng), images(rng)
    outputs = outputs_of(model, x)
    name = layers.Dense(1).name
    attention_report(model, x, verbose=0)
    number = int(name.rpartition("_")[2]) + 1
    assert layers.Dense(1).name == f"dense_{number}"
    np.testing.assert_array_equal(outputs_of(model, x)[0], outputs[0])
    for layer in model.layers:
        assert layer.output is not None


def test_progress(rng, capsys):
    model, x = small(rng), images(rng)
    attention_report(model, x, batch_size=20, verbose=0)
    assert capsys.readouterr().out == ""
    attention_report(model, x, batch_size=20, verbose=2)
    assert capsys.readouterr().out.count("2/2") == 2


# What is refused.


def test_a_generator(rng):
    model, x = small(rng), images(rng)
    with pytest.raises(ValueError, match=r"can be read only once\. Pass arr"):
        attention_report(model, iter([(x,)]), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": np.zeros((0, 6, 6, 3))}, ValueError, "at least one sample"),
        ({"y": np.zeros(40)}, ValueError, "Pass `metric`"),
        (
            {"y": np.zeros(39), "metric": "accuracy"},
            ValueError,
            r"one label for each sample of `x`.*y of shape \(39,\)",
        ),
        ({"metric": "accuracy"}, ValueError, "`metric` needs labels"),
        ({"metric": "accurate"}, ValueError, "which Keras does not know"),
        ({"metric": 3}, TypeError, "must be a `keras.metrics.Metric`"),
        (
            {"metric": keras.metrics.Accuracy},
            TypeError,
            "must be a `keras.metrics.Metric`",
        ),
        ({"layers": ["se3"]}, ValueError, "Near it: "),
        ({"batch_size": 0}, ValueError, "`batch_size` must be a positive"),
        ({"steps": 1.5}, TypeError, "`steps` must be a positive integer"),
    ],
)
def test_wrong_arguments(arguments, error, message, rng):
    model = small(rng)
    with pytest.raises(error, match=message):
        attention_report(
            **{"model": model, "x": images(rng), "verbose": 0, **arguments}
        )


class HoldsTwo(OwnCall):
    """It calls one attention layer, or none, and holds another."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls
        self.unused = Attention(name="unused", data_format="channels_last")
        self.unused.build((None, 5, 8))

    def call(self, inputs):
        if self.calls:
            return super().call(inputs)
        self.attention.built = True
        return self.last(self.first(inputs)[:, 0])


def holds_two(calls, rng):
    model, x = HoldsTwo(calls), rng.normal(size=(SAMPLES, 5, 3))
    model(x[:1].astype("float32"))
    return model, x.astype("float32")


def test_attention_that_is_held_and_not_called(rng):
    model, x = holds_two(calls=True, rng=rng)
    with pytest.warns(UserWarning, match=r"not call .* \['unused'\]"):
        report = attention_report(model, x, verbose=0)
    assert [row.path for row in report.layers] == ["se"]


@pytest.mark.parametrize(
    ("calls", "chosen"), [(True, ["unused"]), (False, None)]
)
def test_no_attention_that_is_called(calls, chosen, rng):
    model, x = holds_two(calls, rng)
    with pytest.raises(ValueError, match=r"did not call .*'unused'.* holds"):
        attention_report(model, x, layers=chosen, verbose=0)


class TwoOfOneName(layers.Layer):
    """Blocks of the same name."""

    def __init__(self):
        super().__init__()
        self.blocks = [Block(name="block"), Block(name="block")]

    def build(self, input_shape):
        self.blocks[0].build(input_shape)
        self.blocks[1].build((*input_shape[:-1], 8))

    def call(self, inputs):
        return self.blocks[1](self.blocks[0](inputs))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 8)


def test_two_layers_of_one_path(rng):
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, TwoOfOneName()(inputs))
    x = rng.normal(size=(SAMPLES, 5, 3)).astype("float32")
    paths = list(attention_layers(model))
    report = attention_report(model, x, verbose=0)
    assert [row.path for row in report.layers] == paths
    report = attention_report(model, x, layers=paths[1:], verbose=0)
    assert [row.path for row in report.layers] == paths[1:]


def test_labels_beside_a_dataset(rng):
    with pytest.raises(ValueError, match=r"must have batches `\(x, y\)`"):
        attention_report(small(rng), Signals(), np.zeros(40), "accuracy")


def test_a_model_without_attention(rng):
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    with pytest.raises(ValueError, match="calls no attention layer"):
        attention_report(model, images(rng))
