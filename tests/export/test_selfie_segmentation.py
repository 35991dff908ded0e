"""A network of MediaPipe in layers of Keras, against the file it is read from.

The tests are skipped where the file can neither be downloaded nor found in the
cache.
"""

import subprocess
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from examples import selfie_segmentation
from keras_channel_attn import SqueezeExcite, fuse_attention


@pytest.fixture(scope="module")
def path():
    """The LiteRT file."""
    try:
        return selfie_segmentation.network_file()
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def network(path):
    return selfie_segmentation.load_network()


@pytest.fixture(scope="module")
def image():
    photograph = selfie_segmentation.photograph("grace_hopper")
    return selfie_segmentation.crops_and_shades(photograph, 1)


def before_the_custom_operation(path):
    """The file without its last two operations.

    The first of them is MediaPipe's own: LiteRT's interpreter, which has no
    code for it, refuses the whole file.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (graph,) = model.subgraphs
    graph.operators = graph.operators[:-2]
    graph.outputs = graph.operators[-1].outputs
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tensors_of_litert(path, image):
    """Dictionary from the names of all tensors to arrays."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=before_the_custom_operation(path),
        num_threads=1,
        experimental_preserve_all_tensors=True,
        # A delegate computes several operations at once.
        experimental_op_resolver_type=(
            OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    interpreter.allocate_tensors()
    (inputs,) = interpreter.get_input_details()
    interpreter.set_tensor(inputs["index"], image)
    interpreter.invoke()
    names = {
        operation.output
        for operation in selfie_segmentation.operations_of(path)[:-2]
    }
    return {
        details["name"]: interpreter.get_tensor(details["index"])
        for details in interpreter.get_tensor_details()
        if details["name"] in names
    }


def test_tensors_are_those_of_litert(path, network, image):
    outputs = {layer.name: layer.output for layer in network.layers[1:-2]}
    computed = keras.Model(network.input, outputs).predict(image, verbose=0)
    expected = tensors_of_litert(path, image)
    assert computed.keys() == expected.keys()
    assert len(expected) == 134
    for name, array in expected.items():
        error = np.abs(computed[name] - array).max()
        assert error < 1e-3 * array.std(), name


def test_last_operations(path, network, image):
    """A transposed convolution whose windows do not overlap, and a sigmoid."""
    *_, transposed, _ = selfie_segmentation.operations_of(path)
    (name,), (kernel, bias) = transposed.inputs, transposed.weights
    before = keras.Model(network.input, network.get_layer(name).output)
    logits = np.einsum(
        "nijc,oabc->niajbo", before.predict(image, verbose=0), kernel
    )
    logits = logits.reshape(1, 256, 256, 1) + bias
    # The sigmoid, without an overflow.
    expected = (1 + np.tanh(logits / 2)) / 2
    masks = network.predict(image, verbose=0)
    np.testing.assert_allclose(masks, expected, atol=1e-4)


def test_mask_is_of_the_person(network):
    photograph = selfie_segmentation.photograph("grace_hopper")
    image = np.asarray(photograph.resize((256, 256)), "float32") / 255
    mask = network.predict(image[None], verbose=0)[0, ..., 0]
    face, flag, wall = mask[90, 128], mask[40, 30], mask[60, 230]
    assert face > 0.99
    assert max(flag, wall) < 0.01


def test_six_layers_are_squeeze_and_excitation(network, image):
    fused = fuse_attention(network)
    units = [
        (layer.input.shape[-1], layer.reduction)
        for layer in fused.layers
        if isinstance(layer, SqueezeExcite)
    ]
    assert units == [(16, 2), (96, 4), (128, 4), (128, 4), (96, 4), (96, 4)]
    np.testing.assert_allclose(
        fused.predict(image, verbose=0),
        network.predict(image, verbose=0),
        atol=1e-4,
    )


def test_overlap():
    person = [[0, 0, 1, 1]] * 5 + [[0, 0, 0, 0]] * 2
    masks = [
        [0, 0, 1, 1],
        [0.4, 0.1, 0.6, 0.9],
        [0, 0, 0, 1],
        [1, 1, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 1],
    ]
    np.testing.assert_allclose(
        selfie_segmentation.overlap(person, masks),
        [1, 1, 1 / 2, 1 / 4, 0, 1, 0],
    )


def test_crops_and_shades():
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8")
    image = Image.fromarray(noise)
    first = selfie_segmentation.crops_and_shades(image, 3)
    assert first.shape == (3, 256, 256, 3)
    assert first.dtype == "float32"
    assert first.min() >= 0
    assert first.max() <= 1
    again = selfie_segmentation.crops_and_shades(image, 3)
    other = selfie_segmentation.crops_and_shades(image, 3, seed=1)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


"""
## The download
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder in the place of the user's cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "keras_channel_attn"


def pip(monkeypatch, run):
    monkeypatch.setattr(selfie_segmentation.subprocess, "run", run)


def test_no_network(cache, monkeypatch):
    def run(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "no route to host")

    pip(monkeypatch, run)
    message = "could not be downloaded, .* not in the cache.* no route to host"
    with pytest.raises(OSError, match=message):
        selfie_segmentation.network_file()
    assert list(cache.iterdir()) == []


def test_another_file_is_refused(cache, monkeypatch):
    def run(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "one.whl", "w") as wheel:
            wheel.writestr(selfie_segmentation.MEMBER, b"another network")
        return subprocess.CompletedProcess(command, 0, "", "")

    pip(monkeypatch, run)
    with pytest.raises(OSError, match=r"another selfie_segmentation\.tflite"):
        selfie_segmentation.network_file()
    assert list(cache.iterdir()) == []


def test_file_in_the_cache_is_not_downloaded_again(cache, monkeypatch):
    cache.mkdir()
    (cache / "selfie_segmentation.tflite").write_bytes(b"the network")
    pip(monkeypatch, None)
    assert selfie_segmentation.network_file().read_bytes() == b"the network"
