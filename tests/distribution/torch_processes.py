"""Training in several processes, each of which takes a part of each batch."""

import json
import os
import socket

import keras
import numpy as np
import torch
from distribution.training import (
    NETWORKS,
    batches,
    chain,
    compiled,
    frozen_batch_norm,
    network_named,
    weights,
)
from torch import distributed, multiprocessing
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

CASES = [("float32", name) for name in NETWORKS] + [
    (option, name)
    for option in ("bfloat16", "accumulation")
    for name in ("se", "eca", "linear", "inserted", "masked")
]
# How the network is trained before each kind of file is written. A `.keras`
# file has the state of Keras' optimizer, a weights file of this network none.
FILES = {"model.keras": "accumulation", "model.weights.h5": "float32"}
# An odd number: the file is written between two updates of the weights, and
# gradients are accumulated in it.
STEPS_BEFORE_FILE = 3


def network_with(option, name):
    bfloat16 = option == "bfloat16"
    keras.config.set_dtype_policy("mixed_bfloat16" if bfloat16 else "float32")
    network = frozen_batch_norm(network_named(name))
    if option == "accumulation":
        return compiled(network, accumulation=2)
    return network


def train(network, batches, part=slice(None), module=None):
    """Returns the losses on the part that this process takes."""
    module = module or network
    update = update_function(network)
    losses = []
    for x, y in zip(*batches, strict=True):
        x, y = torch.from_numpy(x[part]), torch.from_numpy(y[part])
        module.zero_grad()
        # In mixed precision, Keras computes losses in float32 too.
        outputs = module(x, training=True).float()
        loss = torch.nn.functional.mse_loss(outputs, y)
        loss.backward()
        update()
        losses.append(loss.item())
    return losses


def update_function(network):
    """Of the optimizer that Keras compiled, otherwise of SGD of torch."""
    if network.compiled:
        return lambda: update_with_keras(network)
    # The parameters of the module: FSDP has replaced those of the variables.
    parameters = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9).step


def update_with_keras(network):
    variables = network.trainable_variables
    gradients = [variable.value.grad for variable in variables]
    with torch.no_grad():
        network.optimizer.apply(gradients, variables)


def write(network, path):
    if path.suffix == ".keras":
        network.save(path)
    else:
        network.save_weights(path)


def read(path):
    if path.suffix == ".keras":
        return keras.saving.load_model(path)
    network = network_with(FILES[path.name], "inserted")
    network.load_weights(path)
    return network


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def spawn(processes, folder):
    """Starts the processes once, which takes longer than all trainings."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    multiprocessing.spawn(_start, (processes, folder), nprocs=processes)


def _start(rank, processes, folder):
    distributed.init_process_group("gloo", rank=rank, world_size=processes)
    try:
        train_with_ddp(folder)
        exchange_files(folder)
        train_with_fsdp(folder)
    finally:
        distributed.destroy_process_group()


def is_first():
    return distributed.get_rank() == 0


def part_of_process():
    return slice(distributed.get_rank(), None, distributed.get_world_size())


def train_together(network, batches):
    """Returns the losses on whole batches, the means over the processes."""
    ddp = DistributedDataParallel(network)
    losses = torch.tensor(train(network, batches, part_of_process(), ddp))
    distributed.all_reduce(losses)
    return (losses / distributed.get_world_size()).tolist()


def train_with_ddp(folder):
    for option, name in CASES:
        network = network_with(option, name)
        losses = train_together(network, batches(network))
        if is_first():
            network.save(folder / f"{option}_{name}.keras")
            losses_file = folder / f"{option}_{name}.json"
            losses_file.write_text(json.dumps(losses))


def exchange_files(folder):
    """Writes files as one process does, and continues from those of one."""
    for file, option in FILES.items():
        network = network_with(option, "inserted")
        x_and_y = batches(network, STEPS_BEFORE_FILE)
        train_together(network, x_and_y)
        if is_first():
            write(network, folder / "four" / file)

        network = read(folder / "one" / file)
        train_together(network, x_and_y)
        if is_first():
            write(network, folder / "continued" / file)


def train_with_fsdp(folder):
    """A network without attention, whose parameters are sharded."""
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    network = chain()
    fully_shard(network)
    train(network, batches(network), part_of_process())
    if is_first():
        np.savez(folder / "sharded.npz", **weights(network))
