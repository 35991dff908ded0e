"""Draws a block of three detectors with attention inserted.

    KERAS_BACKEND=torch python docs/images/draw_detector_sites.py

It needs the packages of the environment `detectors` (tox.ini) and the program
Graphviz. Attention layers are orange.
"""

import io
from pathlib import Path

import keras
from kyolo.models import yolo11n, yolov9t
from PIL import Image, ImageOps
from zeromodels.models.rt_detr import RTDETRDetect

from keras_channel_attn import (
    ChannelAttention,
    SqueezeExcite,
    insert_attention,
)

PICTURE = Path(__file__).parents[1] / "detection" / "sites.png"
# From the input of one layer to the output of another.
BLOCKS = {
    "YOLOv9-t: a bottleneck of RepNCSPELAN4": (
        lambda: yolov9t(nc=3, input_shape=(64, 64, 3)),
        "model-4-cv2-0-m-0-cv1-conv1-conv",
        "model-4-cv2-0-m-0-add",
    ),
    "YOLO11-n: C2PSA": (
        lambda: yolo11n(nc=3, input_shape=(64, 64, 3)),
        "model-10-cv1-conv",
        "model-10-concat",
    ),
    "RT-DETR-R18: a block of the neck": (
        lambda: RTDETRDetect(
            backbone_layer_type="basic",
            backbone_block_repeats=(2, 2, 2, 2),
            image_size=64,
        ),
        "fpn_blocks_0_conv2_conv",
        "fpn_blocks_0_merge",
    ),
}


def draw(network, first, last, title):
    attended = insert_attention(network, SqueezeExcite(identity_start=True))
    block = keras.Model(
        attended.get_layer(first).input, attended.get_layer(last).output
    )
    graph = keras.utils.model_to_dot(block, show_layer_names=True, dpi=60)
    graph.set_label(title)
    graph.set_labelloc("t")
    graph.set_fontname("Helvetica")
    graph.set_fontsize(24)
    for layer in block.layers:
        if isinstance(layer, ChannelAttention):
            (node,) = graph.get_node(str(id(layer)))
            node.set_label(node.get_label().replace("black", "darkorange"))
    return Image.open(io.BytesIO(graph.create_png())).convert("RGB")


def main():
    pictures = [
        draw(build(), first, last, title)
        for title, (build, first, last) in BLOCKS.items()
    ]
    whole = Image.new(
        "RGB",
        (
            sum(picture.width for picture in pictures),
            max(picture.height for picture in pictures),
        ),
        "white",
    )
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width
    PICTURE.parent.mkdir(exist_ok=True)
    ImageOps.expand(whole, 10, "white").save(PICTURE, optimize=True)
    print(f"Written: {PICTURE}")


if __name__ == "__main__":
    main()
