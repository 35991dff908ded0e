"""Time the prediction of one network on every backend and runtime.

    python -m benchmarks.prediction

The network is `seresnet50` of `keras_channel_attn.models`, in float32, with
random weights. timm's network of the same name is timed beside it. Each backend
runs in a process of its own, because Keras has one backend per process. All
ways are timed in turn, in a new random order in each round, with two threads.
The script prints milliseconds for one batch, and ratios to the fastest way of
timm.

`torch.compile` needs a C++ compiler. All packages have to be in one
environment:

    python -m pip install torch==2.14.1 torchvision==0.29.1 timm==1.0.31 \\
        tensorflow-cpu jax tf2onnx onnxruntime openvino ai-edge-litert
"""

import argparse
import contextlib
import multiprocessing
import random
import statistics
import tempfile
import time

from benchmarks.layers import THREADS, prepare
from benchmarks.timing import report_progress

NETWORK = "seresnet50"
BACKENDS = ("tensorflow", "jax", "torch")


def keras_network(size, data_format="channels_last"):
    from keras_channel_attn import models

    shapes = {
        "channels_last": (size, size, 3),
        "channels_first": (3, size, size),
    }
    return models.from_timm(
        NETWORK,
        input_shape=shapes[data_format],
        classifier_activation=None,
        data_format=data_format,
    )


def tensorflow_ways(x):
    """Keras on TensorFlow, and what runs the files that it exports."""
    import keras
    import tensorflow as tf

    network = keras_network(x.shape[1])
    with tempfile.TemporaryDirectory() as folder:

        def export(name, file_format):
            path = f"{folder}/{name}"
            # A fixed batch size: LiteRT chooses its kernels for it.
            signature = [keras.InputSpec("float32", x.shape)]
            network.export(
                path,
                format=file_format,
                verbose=False,
                input_signature=signature,
            )
            return path

        saved_model = tf.saved_model.load(export("saved", "tf_saved_model"))
        runtimes = {
            "ONNX Runtime": onnx_runtime(export("a.onnx", "onnx")),
            "OpenVINO": openvino_runtime(export("a.xml", "openvino")),
            "LiteRT": litert_runtime(export("a.tflite", "litert")),
        }
    compiled = tf.function(network, jit_compile=True)
    return {
        "Keras, `predict_on_batch`": network.predict_on_batch,
        "`tf.function(network, jit_compile=True)`": (
            lambda x: compiled(x).numpy()
        ),
        "SavedModel": lambda x: saved_model.serve(x).numpy(),
    } | runtimes


def onnx_runtime(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def openvino_runtime(path):
    import openvino

    # Where the processor has bfloat16, OpenVINO uses it by default.
    compiled = openvino.Core().compile_model(
        path,
        "CPU",
        {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"},
    )
    return lambda x: compiled(x)[0].copy()


def litert_runtime(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=THREADS)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    (output,) = interpreter.get_output_details()

    def predict(x):
        interpreter.set_tensor(image["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return predict


def jax_ways(x):
    import jax
    import numpy as np

    network = keras_network(x.shape[1])
    compiled = jax.jit(network)
    return {
        "Keras, `predict_on_batch`": network.predict_on_batch,
        "`jax.jit(network)`": lambda x: np.asarray(compiled(x)),
    }


def torch_ways(x):
    """Exported programs, for both data formats, with the same weights."""
    import torch

    network = keras_network(x.shape[1])
    ways = {"Keras, `predict_on_batch`": network.predict_on_batch}
    any_batch = {"dynamic_shapes": [({0: torch.export.Dim.DYNAMIC},)]}
    frozen = {"options": {"freezing": True}}
    images = torch.from_numpy(x)
    for data_format in ("channels_last", "channels_first"):
        if data_format == "channels_first":
            weights = network.get_weights()
            network = keras_network(x.shape[1], data_format)
            network.set_weights(weights)
            images = images.permute(0, 3, 1, 2).contiguous()
        for name, arguments, compile_arguments in (
            ("exported", {}, None),
            ("exported, compiled", {}, {}),
            ("exported, frozen", {}, frozen),
            ("exported, frozen, any batch size", any_batch, frozen),
        ):
            program = torch.export.export(
                network, (images,), **arguments
            ).module()
            if compile_arguments is not None:
                program = torch.compile(program, **compile_arguments)
            ways[f"{data_format}, {name}"] = torch_prediction(program, images)
    return ways


def torch_prediction(network, images):
    """A function that ignores its argument, which `images` hold as a tensor."""
    import torch

    def predict(_):
        with torch.no_grad():
            return network(images).numpy()

    return predict


def timm_ways(x):
    import timm
    import torch

    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
    images_last = images.to(memory_format=torch.channels_last)

    def predict(images, memory_format=torch.contiguous_format, **options):
        network = timm.create_model(NETWORK).eval()
        network = network.to(memory_format=memory_format)
        if options:
            network = torch.compile(network, **options)
        return torch_prediction(network, images)

    return {
        "timm": predict(images),
        "timm, channels_last": predict(images_last, torch.channels_last),
        "timm, compiled": predict(images, dynamic=False),
        "timm, compiled, frozen": predict(
            images, dynamic=False, options={"freezing": True}
        ),
    }


def serve(backend, connection, batch, size):
    """Time a call of each way that the other process names."""
    prepare(backend)
    import numpy as np

    x = np.random.default_rng(0).normal(size=(batch, size, size, 3))
    x = x.astype("float32")
    ways = {
        "tensorflow": tensorflow_ways,
        "jax": jax_ways,
        "torch": torch_ways,
    }[backend](x)
    check_outputs(ways, x)
    if backend == "torch":
        ways |= timm_ways(x)
        for predict in ways.values():
            predict(x)
    connection.send(list(ways))
    for name in iter(connection.recv, None):
        # The first call fills the CPU caches and wakes the threads.
        ways[name](x)
        start = time.perf_counter()
        ways[name](x)
        connection.send(time.perf_counter() - start)


def check_outputs(ways, x):
    """Fail if one of the ways does not compute what Keras computes."""
    import numpy as np

    expected, *others = (predict(x) for predict in ways.values())
    for name, actual in zip(list(ways)[1:], others, strict=True):
        np.testing.assert_allclose(
            actual, expected, atol=1e-4 * expected.std(), err_msg=name
        )


def measure(batch, size, rounds):
    """Dictionary from (backend, way) to a list of seconds."""
    context = multiprocessing.get_context("spawn")
    connections, times = {}, {}
    for backend in BACKENDS:
        report_progress(f"preparing {backend}")
        connections[backend], connection = context.Pipe()
        arguments = (backend, connection, batch, size)
        context.Process(target=serve, args=arguments, daemon=True).start()
        connection.close()
        times |= {(backend, way): [] for way in connections[backend].recv()}
    order, shuffle = list(times), random.Random(0).shuffle
    for number in range(rounds):
        report_progress(f"round {number + 1} of {rounds}")
        shuffle(order)
        for backend, way in order:
            connections[backend].send(way)
            times[backend, way].append(connections[backend].recv())
    for connection in connections.values():
        with contextlib.closing(connection):
            connection.send(None)
    return times


def table(times):
    """Lines of Markdown."""
    shortest = {key: min(seconds) for key, seconds in times.items()}
    best = min(
        seconds for (_, way), seconds in shortest.items() if "timm" in way
    )
    yield (
        "| backend | way | shortest, ms | median, ms | shortest / timm's best |"
    )
    yield "|---|---|---|---|---|"
    for backend, way in times:
        seconds = shortest[backend, way]
        middle = statistics.median(times[backend, way])
        yield (
            f"| {backend} | {way} | {1e3 * seconds:.0f} | {1e3 * middle:.0f} "
            f"| {seconds / best:.2f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=160)
    arguments = parser.parse_args()
    times = measure(arguments.batch, arguments.size, arguments.rounds)
    print(
        f"{NETWORK}, batch {arguments.batch}, "
        f"{arguments.size}x{arguments.size}, {THREADS} threads\n"
    )
    print("\n".join(table(times)))


if __name__ == "__main__":
    main()
