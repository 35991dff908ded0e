"""Training in several processes, each of which takes a part of each batch."""

import os
import socket
import sys
from pathlib import Path

import torch
from torch import distributed, multiprocessing

TESTS = Path(__file__).parents[1]


def train(network, batches, part=slice(None), module=None):
    """SGD of torch; returns the losses on the part that this process takes."""
    module = module or network
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    losses = []
    for x, y in zip(*batches, strict=True):
        x, y = torch.from_numpy(x[part]), torch.from_numpy(y[part])
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(module(x, training=True), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def spawn(function, processes, *arguments):
    """Calls `function(rank, processes, *arguments)` in each process."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    multiprocessing.spawn(
        _start, (processes, function, arguments), nprocs=processes
    )


def _start(rank, processes, function, arguments):
    sys.path.insert(0, str(TESTS))
    distributed.init_process_group("gloo", rank=rank, world_size=processes)
    try:
        function(rank, processes, *arguments)
    finally:
        distributed.destroy_process_group()


def train_with_ddp(rank, processes, folder):
    """Trains all networks; the first process writes them to files."""
    from distribution.training import (
        NETWORKS,
        batches,
        frozen_batch_norm,
        network_named,
    )

    for name in NETWORKS:
        network = frozen_batch_norm(network_named(name))
        ddp = torch.nn.parallel.DistributedDataParallel(network)
        part = slice(rank, None, processes)
        train(network, batches(network), part, ddp)
        if rank == 0:
            network.save(folder / f"{name}.keras")


def continue_with_ddp(rank, processes, path):
    """Reads a network that one process wrote, and trains it further."""
    import keras
    from distribution.training import batches

    network = keras.saving.load_model(path)
    ddp = torch.nn.parallel.DistributedDataParallel(network)
    train(network, batches(network), slice(rank, None, processes), ddp)
    if rank == 0:
        network.save(path)


def train_with_fsdp(rank, processes, folder):
    """A network without attention, whose parameters are sharded."""
    import keras
    import numpy as np
    from distribution.training import batches, chain, weights
    from torch.distributed.fsdp import fully_shard

    keras.utils.set_random_seed(0)
    network = chain()
    fully_shard(network)
    train(network, batches(network), slice(rank, None, processes))
    if rank == 0:
        np.savez(folder / "sharded.npz", **weights(network))
