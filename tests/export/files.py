"""Files that `model.export` writes, read by the runtimes that users have."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

# A function from a batch to the outputs of the exported model.
Run = Callable[[np.ndarray], np.ndarray]


class Format(NamedTuple):
    """One format of `model.export`.

    `suffix` ends the name of the file, `read` takes a path, and `tolerance` is
    the difference to Keras that is allowed.
    """

    suffix: str
    read: Callable[[str], Run]
    tolerance: float = 1e-5


class Row(NamedTuple):
    """One way to export on one backend.

    `batch` is `"free"` if the exported model takes every batch size. With
    `"fixed"` the batch size is in the shape that `model.export` is given.
    """

    backend: str
    format: str
    batch: str

    def __str__(self):
        return f"{self.format}, {self.batch} batch"

    @property
    def tolerance(self):
        return FORMATS[self.format].tolerance

    def batch_sizes(self):
        return (1, 3) if self.batch == "free" else (2,)

    def write(self, model, folder):
        """Export a model with one input, and return the path of the file."""
        path = str(folder / f"model{FORMATS[self.format].suffix}")
        arguments = {"format": self.format, "verbose": False}
        if self.batch == "fixed":
            shape = (*self.batch_sizes(), *model.input_shape[1:])
            arguments["input_signature"] = [keras.InputSpec("float32", shape)]
        elif self.format == "torch":
            import torch

            batch = torch.export.Dim("batch", min=1, max=128)
            arguments["dynamic_shapes"] = {0: batch}
        model.export(path, **arguments)
        return path

    def read(self, path):
        """The exported model as a function from an array to an array."""
        return FORMATS[self.format].read(path)


def _read_saved_model(path):
    import tensorflow as tf

    model = tf.saved_model.load(path)
    return lambda x: model.serve(x).numpy()


def _read_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _read_openvino(path):
    import openvino

    # On some processors OpenVINO computes in bfloat16 by default.
    precision = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", precision)
    return lambda x: compiled(x)[compiled.output(0)]


def _read_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]

    def run(x):
        interpreter.resize_tensor_input(index, x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(index, x)
        interpreter.invoke()
        return interpreter.get_tensor(output_index)

    return run


def _read_torch(path):
    import torch

    program = torch.export.load(path).module()
    return lambda x: program(torch.from_numpy(x)).detach().numpy()


FORMATS = {
    "tf_saved_model": Format("", _read_saved_model),
    "onnx": Format(".onnx", _read_onnx),
    "openvino": Format(".xml", _read_openvino, tolerance=1e-4),
    "litert": Format(".tflite", _read_litert),
    "torch": Format(".pt2", _read_torch),
}

# What works: backend, format, batch size. docs/deployment.md shows it.
ROWS = [
    Row("tensorflow", "tf_saved_model", "free"),
    Row("tensorflow", "onnx", "free"),
    Row("tensorflow", "openvino", "free"),
    Row("tensorflow", "litert", "free"),
    Row("jax", "tf_saved_model", "free"),
    Row("jax", "onnx", "free"),
    Row("torch", "onnx", "free"),
    Row("torch", "onnx", "fixed"),
    Row("torch", "openvino", "free"),
    Row("torch", "litert", "fixed"),
    Row("torch", "torch", "free"),
    Row("torch", "torch", "fixed"),
]
# What Keras itself cannot do, and the error that a plain Keras model raises.
LIMITS = {
    Row("tensorflow", "torch", "fixed"): "Torch export requires PyTorch",
    Row("jax", "torch", "fixed"): "Torch export requires PyTorch",
    Row("jax", "openvino", "free"): "No conversion rule .* XlaCallModule",
    Row("jax", "litert", "free"): "LiteRT export requires TensorFlow or PyTor",
    # Keras passes the sizes in a form that torch refuses, and with a fixed
    # size it needs torch-xla, which is not released for this torch.
    Row("torch", "tf_saved_model", "free"): "Detected mismatch",
    Row("torch", "tf_saved_model", "fixed"): "torch_xla",
    # The file is written, but for a batch of one. After its input is resized,
    # it fails, or its outputs are wrong.
    Row("torch", "litert", "free"): "XNNPack delegate failed to reshape",
}


def rows_of_this_backend(rows):
    return [row for row in rows if row.backend == keras.config.backend()]
