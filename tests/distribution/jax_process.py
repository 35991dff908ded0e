"""One of two processes that train together, as on two hosts.

python jax_process.py RANK PORT WEIGHTS.npz
"""

import sys

import jax
import keras
import numpy as np
from distribution.training import (
    BATCH,
    batches,
    compiled,
    network_named,
    weights,
)


def main(rank, port, path):
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.distribution.initialize(f"127.0.0.1:{port}", 2, rank)
    assert len(jax.devices()) == 2 * len(jax.local_devices())
    devices = keras.distribution.list_devices()
    engine = keras.distribution.DataParallel(
        devices=devices, auto_shard_dataset=False
    )
    keras.distribution.set_distribution(engine)
    network = compiled(network_named("se"))
    half = BATCH // 2
    part = slice(rank * half, (rank + 1) * half)
    for x, y in zip(*batches(network), strict=True):
        network.train_on_batch(x[part], y[part])
    if rank == 0:
        np.savez(path, **weights(network))


main(int(sys.argv[1]), *sys.argv[2:])
