"""Write what networks of timm answer: `timm.json`.

    python tests/golden/make_logits.py     # where timm is installed

Each network has few blocks in each stage, and weights that `torch_weights`
derives from their names. Computed in float64, by timm alone: nothing of this
package takes part but the names of the networks.
"""

import json
import pathlib
import sys

import timm
import torch

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from support import torch_weights

from keras_channel_attn.models.timm import timm_networks

DEPTHS = (1, 2, 1, 1)
CLASSES = 5
SIZES = (64, 33)
DIFFERENTIATED = ("seresnet18", "ecaresnet26t")


def network(name):
    peer = timm.create_model(name, layers=DEPTHS, num_classes=CLASSES)
    arrays = torch_weights.filled(shapes(peer))
    peer.load_state_dict(
        {key: torch.from_numpy(value) for key, value in arrays.items()}
    )
    return peer.double().eval()


def shapes(peer):
    return {key: tuple(value.shape) for key, value in peer.state_dict().items()}


def depths(name):
    """Of the network as it is published."""
    peer = timm.create_model(name)
    stages = [getattr(peer, f"layer{stage}") for stage in (1, 2, 3, 4)]
    return [len(stage) for stage in stages]


def logits(peer, size):
    with torch.no_grad():
        return peer(torch.from_numpy(torch_weights.images(size)).double())


def gradients(peer):
    """Dictionary from a parameter to its gradient's projection.

    Of the sum of the logits, with the statistics that were learned: through
    those of a batch float32 has a percent of error.
    """
    peer(torch.from_numpy(torch_weights.images(64)).double()).sum().backward()
    projections = torch_weights.projections(shapes(peer))
    return {
        name: float(
            (parameter.grad * torch.from_numpy(projections[name])).sum()
        )
        for name, parameter in peer.named_parameters()
    }


def answers(name):
    peer = network(name)
    known = {
        "shapes": {
            key: shape
            for key, shape in shapes(peer).items()
            if not key.endswith("num_batches_tracked")
        },
        "logits": {size: logits(peer, size).tolist() for size in SIZES},
    }
    if name in DIFFERENTIATED:
        known["gradients"] = gradients(peer)
    return known


def main():
    published, networks = {}, {}
    for name in timm_networks():
        print(name, flush=True)
        published[name] = depths(name)
        known = answers(name)
        # Networks that differ in depth alone have one answer.
        for one in networks.values():
            if one["logits"] == known["logits"]:
                one["names"].append(name)
                break
        else:
            networks[name] = {"names": [name], **known}
    lines = [
        f"{json.dumps(name)}:{json.dumps(one, separators=(',', ':'))}"
        for name, one in networks.items()
    ]
    text = ",\n".join(lines)
    (HERE / "timm.json").write_text(
        f'{{"depths":{json.dumps(published)},\n"networks":{{\n{text}\n}}}}\n'
    )


if __name__ == "__main__":
    main()
