"""Draws a block of three detectors with attention inserted.

A bottleneck of RepNCSPELAN4, C2PSA, and a block of the neck.

    KERAS_BACKEND=torch python docs/images/draw_detector_sites.py

It needs the packages of the environment `detectors` (tox.ini) and the program
Graphviz. Attention layers are orange.
"""

from pathlib import Path

import keras
from kyolo.models import yolo11n, yolov9t
from zeromodels.models.rt_detr import RTDETRDetect

from keras_channel_attn import (
    ChannelAttention,
    SqueezeExcite,
    insert_attention,
)

FOLDER = Path(__file__).parents[1] / "detection"
# From the input of one layer to the output of another.
BLOCKS = {
    "sites_yolov9": (
        lambda: yolov9t(nc=3, input_shape=(64, 64, 3)),
        "model-4-cv2-0-m-0-cv1-conv1-conv",
        "model-4-cv2-0-m-0-add",
    ),
    "sites_yolo11": (
        lambda: yolo11n(nc=3, input_shape=(64, 64, 3)),
        "model-10-cv1-conv",
        "model-10-concat",
    ),
    "sites_rt_detr": (
        lambda: RTDETRDetect(
            backbone_layer_type="basic",
            backbone_block_repeats=(2, 2, 2, 2),
            image_size=64,
        ),
        "fpn_blocks_0_conv2_conv",
        "fpn_blocks_0_merge",
    ),
}


def draw(name, network, first, last):
    attended = insert_attention(network, SqueezeExcite(identity_start=True))
    block = keras.Model(
        attended.get_layer(first).input, attended.get_layer(last).output
    )
    graph = keras.utils.model_to_dot(block, show_layer_names=True, dpi=60)
    for layer in block.layers:
        (node,) = graph.get_node(str(id(layer)))
        if isinstance(layer, ChannelAttention):
            node.set_label(node.get_label().replace("black", "darkorange"))
        if isinstance(layer, keras.layers.InputLayer):
            node.set_label(node.get_label().replace(layer.name, "input"))
    graph.write_png(str(FOLDER / f"{name}.png"))
    print(f"Written: {FOLDER / name}.png")


if __name__ == "__main__":
    for name, (build, first, last) in BLOCKS.items():
        draw(name, build(), first, last)
