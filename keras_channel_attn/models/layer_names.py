"""The layer names that the builders give and the checkpoint loader looks for.

A layer has the name of the same module in torch's networks, with underscores
instead of dots: `layer1_0_conv1` is `layer1.0.conv1` there. Saved models and
`get_layer` depend on these names.
"""

import re

import keras

# The dense layer of ResNets, and that of timm's other families.
CLASSIFIER = "fc"
HEAD_CLASSIFIER = "head_fc"
STEM_POOL = "maxpool"
# Caffe rounds the size up: one row and one column more, at the end only.
CAFFE_POOL_PADDING = ((0, 1), (0, 1))


# Modules of torch that have an underscore in their own names.
_WITH_UNDERSCORE = re.compile(
    r"(conv1_1x1|conv2_kxk|conv3_1x1|conv_(?:dw|pw|mid|concat|reduction)"
    r"|attn_last|final_conv)|_"
)


def torch_module_name(layer_name: str) -> str:
    """Name of the same module in torch."""
    return _WITH_UNDERSCORE.sub(lambda found: found[1] or ".", layer_name)


def pools_as_caffe(network: keras.Model) -> bool:
    """Whether the stem of a network was built with `stem_pool="max_ceil"`."""
    return any(
        layer.name == f"{STEM_POOL}_pad" and layer.padding == CAFFE_POOL_PADDING
        for layer in network.layers
    )
