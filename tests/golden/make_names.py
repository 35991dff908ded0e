"""Write the names that files and users know networks by: `names.json`.

    python tests/golden/make_names.py

Run it when a network is added, never to make a failing test pass: layers of
saved files, `get_layer` and `.weights.h5` go by these (see CONTRIBUTING).
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "numpy")

FILE = pathlib.Path(__file__).with_name("names.json")
sys.path.insert(0, str(FILE.parents[1]))

from support.torch_weights import few_blocks

from keras_channel_attn import models

# Every kind of stem, pooling, block, shortcut and attention.
NETWORKS = (
    "seresnet18",
    "legacy_seresnet50",
    "senet154",
    "resnetrs50",
    "ecaresnet26t",
    "seresnextaa101d_32x8d",
    "regnety_002",
    "gcresnet33ts",
    "eca_resnext26ts",
    "ese_vovnet19b_slim_dw",
    "eca_vovnet39b",
    "eca_nfnet_l0",
    "nfnet_l0",
)


def names(network):
    """Layers in their order, and weights in theirs."""
    model = models.from_timm(network, depths=few_blocks(network))
    return {
        "layers": [layer.name for layer in model.layers[1:]],
        "weights": [weight.path for weight in model.weights],
    }


def main():
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for network in NETWORKS:
        known.setdefault(network, names(network))
    FILE.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
