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
FILE = HERE / "timm.json"
sys.path.insert(0, str(HERE.parent))

from support import torch_weights

from keras_channel_attn.models.timm import timm_networks

CLASSES = 5
SIZES = (64, 33)
DIFFERENTIATED = ("seresnet18", "ecaresnet26t", "eca_nfnet_l0")
# What timm's classes call the argument for the depths. Those of the others are
# built whole, and their last blocks are removed.
DEPTHS_ARGUMENT = {
    "ResNet": "layers",
    "SENet": "layers",
    "VovNet": "block_per_stage",
    "NormFreeNet": "depths",
}
# RegNets differ in depths and widths alone. These stand for all.
REGNETS = {"regnety": "regnety_004", "regnetx": "regnetx_004"}


def network(name):
    kind = type(whole(name)).__name__
    depths, arguments = torch_weights.few_blocks(name), {}
    if kind in DEPTHS_ARGUMENT:
        arguments[DEPTHS_ARGUMENT[kind]] = depths
    peer = timm.create_model(name, num_classes=CLASSES, **arguments)
    if not arguments:
        for stage, depth in zip(stages(peer), depths, strict=True):
            for block, _ in [*stage.named_children()][depth:]:
                delattr(stage, block)
    arrays = torch_weights.filled(shapes(peer))
    peer.load_state_dict(
        {key: torch.from_numpy(value) for key, value in arrays.items()}
    )
    return peer.double().eval()


def whole(name):
    """The network as it is published, with shapes and no numbers."""
    with torch.device("meta"):
        return timm.create_model(name)


def stages(peer):
    """Sequences of blocks."""
    if hasattr(peer, "stages"):
        return [getattr(stage, "blocks", stage) for stage in peer.stages]
    start = "s" if hasattr(peer, "s1") else "layer"
    return [getattr(peer, f"{start}{number}") for number in (1, 2, 3, 4)]


def shapes(peer):
    return {key: tuple(value.shape) for key, value in peer.state_dict().items()}


def sizes(name):
    """Depths, and of a RegNet the widths and the groups of each stage."""
    peer_stages = stages(whole(name))
    known = {"depths": [len([*stage.children()]) for stage in peer_stages]}
    if name.startswith("regnet"):
        convolutions = [stage.b1.conv2.conv for stage in peer_stages]
        known["widths"] = [conv.out_channels for conv in convolutions]
        known["groups"] = [conv.groups for conv in convolutions]
    return known


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
    known = json.loads(FILE.read_text())
    networks = known["networks"]
    held = {name for one in networks.values() for name in one["names"]}
    # What is there stays: the same timm returns other last digits elsewhere.
    for name in [name for name in timm_networks() if name not in held]:
        print(name, flush=True)
        known["sizes"][name] = sizes(name)
        shown = REGNETS.get(name.partition("_")[0], name)
        if shown in networks:
            networks[shown]["names"].append(name)
            continue
        answer = answers(shown)
        # Networks that differ in depth alone have one answer.
        for one in networks.values():
            if one["logits"] == answer["logits"]:
                one["names"].append(name)
                break
        else:
            networks[shown] = {"names": [name], **answer}
    lines = [
        f"{json.dumps(name)}:{json.dumps(one, separators=(',', ':'))}"
        for name, one in networks.items()
    ]
    text = ",\n".join(lines)
    FILE.write_text(
        f'{{"sizes":{json.dumps(known["sizes"])},\n'
        f'"networks":{{\n{text}\n}}}}\n'
    )


if __name__ == "__main__":
    main()
