"""The code of docs/deployment.md runs, and computes what Keras computes."""

import pathlib
import re

import keras
import numpy as np
import pytest

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "deployment.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

ALL = ("tensorflow", "jax", "torch")
# Section: backends, and the difference to Keras that is allowed, as a share of
# the standard deviation of the outputs.
SECTIONS = {
    "SavedModel": (("tensorflow", "jax"), 1e-5),
    "ONNX": (ALL, 1e-5),
    "OpenVINO": (("tensorflow", "torch"), 1e-4),
    "LiteRT": (("tensorflow", "torch"), 1e-5),
    "PyTorch program": (("torch",), 1e-5),
    "Fast prediction on PyTorch": (("torch",), 1e-5),
    "Keras files without this library": (ALL, 1e-5),
}


def sections():
    """Dictionary from heading to the blocks of code below it."""
    _, *parts = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return {
        heading: BLOCK.findall(text)
        for heading, _, text in (part.partition("\n") for part in parts)
    }


def run(headings, folder, monkeypatch):
    """The names that the code of some sections leaves behind."""
    monkeypatch.chdir(folder)
    blocks = sections()
    namespace = {}
    for heading in ("Overview", *headings):
        for block in blocks[heading]:
            exec(compile(block, PAGE.name, "exec"), namespace)
    return namespace


def assert_near(outputs, names, tolerance):
    """Of a file with a fixed shape, the outputs are those of one image."""
    expected = keras.ops.cast(names["model"](names["images"]), "float32")
    expected = keras.ops.convert_to_numpy(expected)
    error = np.abs(np.asarray(outputs) - expected[: len(outputs)]).max()
    assert error < tolerance * expected.std()


@pytest.mark.parametrize(
    ("heading", "tolerance"),
    [
        pytest.param(heading, tolerance, marks=pytest.mark.backend(*backends))
        for heading, (backends, tolerance) in SECTIONS.items()
    ],
)
def test_section(heading, tolerance, tmp_path, monkeypatch):
    names = run([heading], tmp_path, monkeypatch)
    assert_near(names["outputs"], names, tolerance)


@pytest.mark.backend("tensorflow")
def test_phones(tmp_path, monkeypatch):
    names = run(["LiteRT", "Phones"], tmp_path, monkeypatch)
    interpreter = names["Interpreter"]("phone.tflite")
    interpreter.allocate_tensors()
    operations = {x["op_name"] for x in interpreter._get_ops_details()}
    assert {"MEAN", "CONV_2D", "LOGISTIC", "MUL"} < operations
    assert not operations & {"SUM", "EXPAND_DIMS"}
    (inputs,) = interpreter.get_input_details()
    (outputs,) = interpreter.get_output_details()
    interpreter.set_tensor(inputs["index"], names["images"][:1])
    interpreter.invoke()
    # Steps of 1/256 of the range, in the image and after each of six layers.
    assert_near(interpreter.get_tensor(outputs["index"]), names, 0.1)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("with_names", [True, False])
def test_several_inputs_on_phones(with_names, tmp_path, monkeypatch):
    names = run(
        ["LiteRT", "Phones", "Several inputs on phones"], tmp_path, monkeypatch
    )
    x = [names["images"][:1], names["sizes"][:1]]
    outputs, network = names["outputs"], names["two_inputs"]
    if not with_names:
        options = names["options"]
        options["input_signature"] = [
            [keras.InputSpec("float32", part.shape) for part in x]
        ]
        options["representative_dataset"] = lambda: iter([x])
        path = "lists.tflite"
        names["expand_attention"](network).export(path, "litert", **options)
        runner = names["Interpreter"](path).get_signature_runner()
        outputs = runner(args_0=x[0], args_0_1=x[1])["output_0"]
    expected = keras.ops.convert_to_numpy(network(x))
    assert np.abs(outputs - expected).max() < 0.1


@pytest.mark.backend("tensorflow", "torch")
def test_integers_in_onnxruntime(tmp_path, monkeypatch):
    headings = [
        "ONNX",
        "Keras files without this library",
        "8-bit integers in onnxruntime",
    ]
    names = run(headings, tmp_path, monkeypatch)
    session = names["onnxruntime"].InferenceSession("int8.onnx")
    name = session.get_inputs()[0].name
    outputs = session.run(None, {name: names["images"][:1]})[0]
    assert_near(outputs, names, 0.1)


def test_mixed_precision(tmp_path, monkeypatch):
    keras.config.set_dtype_policy("mixed_float16")
    names = run(["Mixed precision"], tmp_path, monkeypatch)
    deployed = names["deployed"]
    for layer in deployed.layers[1:]:
        assert layer.compute_dtype == "float32"
    outputs = keras.ops.convert_to_numpy(deployed(names["images"]))
    assert_near(outputs, names, 0.01)


def test_blocks_are_short():
    for heading, blocks in sections().items():
        for block in blocks:
            lines = [line for line in block.splitlines() if line]
            assert len(lines) <= 10, heading


def test_freezing(tmp_path, monkeypatch):
    run(["When to freeze"], tmp_path, monkeypatch)
    loaded = keras.saving.load_model(tmp_path / "frozen.keras")
    assert "SqueezeExcite" not in {type(x).__name__ for x in loaded.layers}
