"""Files of a network for LiteRT and onnxruntime, in float32 and in int8.

Both are quantized after training, with images from which the converters take
the ranges of all tensors. The network is exported by Keras on TensorFlow, for
one image at a time, as on a phone.
"""

import time
from pathlib import Path

import keras
import numpy as np

RUNTIMES = ("LiteRT", "onnxruntime")
SUFFIXES = {"LiteRT": "tflite", "onnxruntime": "onnx"}
WARM_UP, TIMED = 50, 500  # calls


def export(model, runtime, folder, images=None):
    """Write a file of a network, and return its path.

    Args:
        model: Keras model with one input.
        runtime: One of `RUNTIMES`.
        folder: `Path` of an existing folder.
        images: Array of inputs to find the ranges of tensors with: the file
            computes with 8-bit integers. Defaults to `None`: with float32.
    """
    precision = "float32" if images is None else "int8"
    path = Path(folder) / f"{precision}.{SUFFIXES[runtime]}"
    write = write_litert if runtime == "LiteRT" else write_onnx
    write(model, path, images)
    return path


def one_image(model):
    return [keras.InputSpec("float32", (1, *model.input_shape[1:]))]


def write_litert(model, path, images):
    options = {}
    if images is not None:
        import tensorflow as tf

        options = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: ([x[None]] for x in images),
            # Integers throughout: an operation without them is an error.
            "target_spec": {
                "supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            },
            "inference_input_type": tf.int8,
            "inference_output_type": tf.int8,
        }
    model.export(
        path,
        format="litert",
        input_signature=one_image(model),
        verbose=False,
        **options,
    )


def write_onnx(model, path, images):
    float_path = path.with_name("float32.onnx")
    model.export(
        str(float_path),
        format="onnx",
        input_signature=one_image(model),
        verbose=False,
    )
    if images is None:
        return
    from onnxruntime import quantization

    # Batch normalization becomes a part of the convolution before it.
    prepared = path.with_name("prepared.onnx")
    quantization.quant_pre_process(str(float_path), str(prepared))
    quantization.quantize_static(
        str(prepared),
        str(path),
        calibration_reader(prepared, images),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
    )


def calibration_reader(path, images):
    from onnxruntime.quantization import CalibrationDataReader

    name = onnx_session(path).get_inputs()[0].name
    batches = iter([{name: x[None]} for x in images])

    class Reader(CalibrationDataReader):
        def get_next(self):
            return next(batches, None)

    return Reader()


def onnx_session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


def reader(path):
    """A function from one image to the outputs that a file computes."""
    return read_litert(path) if path.suffix == ".tflite" else read_onnx(path)


def read_onnx(path):
    session = onnx_session(path)
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image[None]})[0][0]


def read_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (inputs,) = interpreter.get_input_details()
    (outputs,) = interpreter.get_output_details()

    def run(image):
        interpreter.set_tensor(inputs["index"], quantized(image[None], inputs))
        interpreter.invoke()
        return interpreter.get_tensor(outputs["index"])[0]

    def run_dequantized(image):
        scale, zero = outputs["quantization"]
        return (run(image).astype("float32") - zero) * scale

    return run if outputs["dtype"] == np.float32 else run_dequantized


def quantized(array, details):
    """An array in the type of a tensor of LiteRT. A scale of 0 means float."""
    scale, zero = details["quantization"]
    if not scale:
        return array
    limits = np.iinfo(details["dtype"])
    rounded = np.round(array / scale) + zero
    return rounded.clip(limits.min, limits.max).astype(details["dtype"])


def predictions(path, images):
    run = reader(path)
    return np.stack([run(image) for image in images])


def milliseconds(path, image):
    """The median time of a call with one image, on one thread."""
    run = reader(path)
    seconds = []
    for _ in range(WARM_UP + TIMED):
        start = time.perf_counter()
        run(image)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds[WARM_UP:]))
