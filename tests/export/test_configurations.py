"""Every configuration of every layer, exported, computes what Keras computes.

All configurations are in one model: their outputs are joined on the channel
axis. If it cannot be exported or read, each is exported alone, so that the test
of the one that fails fails.
"""

import keras
import numpy as np
import pytest
from export.files import ROWS, rows_of_this_backend
from keras import layers, ops
from support.configurations import CONFIGURATIONS, built, randomize, shape_of

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

VARIANTS = {
    "trainable": (True, "channels_last"),
    "frozen": (False, "channels_last"),
}
if keras.config.backend() == "torch":
    VARIANTS["channels_first"] = (True, "channels_first")
CASES = [
    pytest.param((row, *variant), id=f"{row}-{name}")
    for row in rows_of_this_backend(ROWS)
    for name, variant in VARIANTS.items()
]


def model_of(names, trainable, data_format):
    """A convolution, and attention layers that take its output.

    Without a trainable layer before them, their input needs no gradient, and
    torch runs other code.
    """
    axis = -1 if data_format == "channels_last" else 1
    inputs = keras.Input(shape_of(None, (4, 5), 8, data_format)[1:])
    x = layers.Conv2D(8, 1, data_format=data_format)(inputs)
    outputs = [
        built(*CONFIGURATIONS[name], data_format=data_format)(x)
        for name in names
    ]
    joined = outputs[0]
    if len(outputs) > 1:
        joined = layers.Concatenate(axis)(outputs)
    model = keras.Model(inputs, joined)
    randomize(model)
    model.trainable = trainable
    return model


def results(case, names, folder):
    """For each name, pairs of the file's outputs and those of Keras."""
    row, trainable, data_format = case
    model = model_of(names, trainable, data_format)
    rng = np.random.default_rng(0)
    inputs = [
        rng.normal(size=shape_of(batch, (4, 5), 8, data_format))
        for batch in row.batch_sizes()
    ]
    inputs = [x.astype("float32") for x in inputs]
    expected = [ops.convert_to_numpy(model(x)) for x in inputs]
    run = row.read(row.write(model, folder))
    actual = [run(x) for x in inputs]
    pairs = {name: [] for name in names}
    axis = -1 if data_format == "channels_last" else 1
    for arrays in zip(actual, expected, strict=True):
        assert arrays[0].shape == arrays[1].shape
        parts = (np.split(array, len(names), axis) for array in arrays)
        for name, *pair in zip(names, *parts, strict=True):
            pairs[name].append(pair)
    return pairs


@pytest.fixture(scope="module", params=CASES)
def exported(request, tmp_path_factory):
    """The case, and the results of all configurations or `None`."""
    folder = tmp_path_factory.mktemp("exported")
    try:
        return request.param, results(request.param, CONFIGURATIONS, folder)
    except Exception:
        return request.param, None


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_outputs(exported, name, tmp_path):
    case, pairs = exported
    if pairs is None:
        pairs = results(case, [name], tmp_path)
    tolerance = case[0].tolerance
    for actual, expected in pairs[name]:
        np.testing.assert_allclose(actual, expected, tolerance, tolerance)
