"""
Title: A real network with constant gates, as a file for a phone
Date created: 2026/11/30
Description: LiteRT, 8-bit integers, ONNX and OpenVINO, with SE and without.

The network that finds people, see `segment_a_person.py`, is exported twice:
with its Squeeze-and-Excitation (SE), and with the gates of SE frozen at their
means over crops and shades of a photograph. The table shows the size of each
file, the CPU time of a call with one photograph on one thread, and how well the
masks agree with those of the network (IoU) on other crops.

    pip install ".[examples,tensorflow]" ai-edge-litert onnxruntime \\
        tf2onnx openvino
    KERAS_BACKEND=tensorflow python examples/deploy_segmentation.py
"""

import argparse
import time
from pathlib import Path

import keras
from selfie_segmentation import (
    SIZE,
    crops_and_shades,
    load_network,
    overlap,
    photograph,
)

from keras_channel_attn import (
    expand_attention,
    freeze_attention,
    fuse_attention,
    model_costs,
)

parser = argparse.ArgumentParser(description="Files of a real network.")
add = parser.add_argument
add("--image", default="grace_hopper", metavar="PATH", help="of a person")
add("--crops", type=int, default=40, metavar="N", help="of the photograph")
add("--output", type=Path, default="outputs/segmentation", metavar="DIR")
arguments = parser.parse_args()
if keras.config.backend() != "tensorflow":
    parser.error("the files are written by TensorFlow: set KERAS_BACKEND")

"""
## The files

The shape of the input is fixed, as for a phone. For 8-bit integers, LiteRT
takes the range of each tensor from typical images.
"""

SHAPE = [keras.InputSpec("float32", (1, SIZE, SIZE, 3))]


def write(network, path, crops):
    """Export a network in the format that the name of the file says."""
    options = {}
    if path.name == "int8.tflite":
        import tensorflow as tf

        options = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: ([crop[None]] for crop in crops),
        }
    network.export(
        str(path),
        FORMATS[path.name],
        input_signature=SHAPE,
        verbose=False,
        **options,
    )


FORMATS = {
    "float32.tflite": "litert",
    "int8.tflite": "litert",
    "network.onnx": "onnx",
    "network.xml": "openvino",
}

"""
## Their runtimes

Each is a function from one photograph to its mask, on one thread.
"""


def litert(path):
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path), num_threads=1).get_signature_runner()
    (name,) = run.get_input_details()
    return lambda image: next(iter(run(**{name: image[None]}).values()))[0]


def onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image[None]})[0][0]


def openvino(path):
    from openvino import Core

    # Without the hint, some processors compute in bfloat16.
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": "1",
    }
    compiled = Core().compile_model(str(path), "CPU", options)
    return lambda image: compiled(image[None])[0][0]


RUNTIMES = {".tflite": litert, ".onnx": onnx, ".xml": openvino}


def kilobytes(path):
    files = [path]
    if path.suffix == ".xml":
        # OpenVINO has the weights in a file beside the graph.
        files.append(path.with_suffix(".bin"))
    return sum(file.stat().st_size for file in files) / 1000


def milliseconds(run, image):
    """CPU time of the shortest of fifty calls.

    Not the time that has passed: other processes may use the machine.
    """
    seconds = []
    for _ in range(50):
        start = time.process_time()
        run(image)
        seconds.append(time.process_time() - start)
    return 1000 * min(seconds)


"""
## The table

The crops of the table are not those that the constants and the ranges are of.
"""

try:
    image = photograph(arguments.image)
    network = fuse_attention(load_network())
except (OSError, ImportError) as error:
    parser.error(str(error))

typical = crops_and_shades(image, arguments.crops, seed=1)
crops = crops_and_shades(image, arguments.crops, seed=0)
masks = network.predict(crops, verbose=0)
networks = {
    # LiteRT then has operations that all accelerators know.
    "with SE": expand_attention(network),
    "gates constant": freeze_attention(network, typical, verbose=0),
}
for name, other in networks.items():
    costs = model_costs(other)
    print(f"{name}: {costs.parameters:,} parameters, {costs.macs:,} MACs")
print("| network | file | kB | ms | IoU |\n|---|---|---|---|---|")
for name, other in networks.items():
    folder = arguments.output / name.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    for file in FORMATS:
        path = folder / file
        write(other, path, typical)
        run = RUNTIMES[path.suffix](path)
        agreement = overlap(masks, [run(crop) for crop in crops]).mean()
        print(
            f"| {name} | `{file}` | {kilobytes(path):.0f} "
            f"| {milliseconds(run, crops[0]):.2f} | {agreement:.3f} |"
        )
