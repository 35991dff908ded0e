"""
Title: Training with attention on several devices
Date created: 2026/11/25
Description: The same network with the engine of each backend.

Attention layers need nothing special on several devices: each gate depends on
one sample, and no statistics are shared between samples. This script trains one
network on the handwritten digits of scikit-learn, with the engine that belongs
to each backend:

    python examples/distributed_training.py --engine jax --devices 4
    python examples/distributed_training.py --engine tensorflow --devices 2
    python examples/distributed_training.py --engine torch --devices 2

Without accelerators, the devices are parts of the CPU. That is no faster than
one device, but computes the same as several machines do.
"""

import argparse
import os

parser = argparse.ArgumentParser(description="Train on several devices.")
add = parser.add_argument
add("--engine", choices=["jax", "tensorflow", "torch"], default="jax")
add("--devices", type=int, default=2, metavar="N")
add("--epochs", type=int, default=3, metavar="N")
add("--batch", type=int, default=64, metavar="N", help="of all devices")
arguments = parser.parse_args()
if min(arguments.devices, arguments.epochs) < 1:
    parser.error("--devices and --epochs must be at least 1")
if arguments.batch < 1 or arguments.batch % arguments.devices:
    parser.error("--batch must be a multiple of --devices")

# Both have to be set before the backend is imported.
os.environ["KERAS_BACKEND"] = arguments.engine
flag = f"--xla_force_host_platform_device_count={arguments.devices}"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"

import keras
from keras import layers
from sklearn.datasets import load_digits

from keras_channel_attn import EfficientChannelAttention, SqueezeExcite

"""
## The network and the data

The number of devices does not appear here.
"""


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    x = SqueezeExcite(reduction=8)(x)
    x = layers.Conv2D(64, 3, strides=2, activation="relu")(x)
    x = EfficientChannelAttention()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def digits():
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    whole = len(images) // arguments.batch * arguments.batch
    return images[:whole], labels[:whole]


def fit(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(
        *digits(),
        batch_size=arguments.batch,
        epochs=arguments.epochs,
        verbose=2,
    )


"""
## JAX: `keras.distribution`

Each device computes a part of each batch. `ModelParallel` in place of
`DataParallel` also divides weights: see docs/scaling.md.
"""


def train_on_jax():
    devices = keras.distribution.list_devices()[: arguments.devices]
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices)
    )
    fit(network())


"""
## TensorFlow: `MirroredStrategy`

The network is built and compiled in the scope of the strategy.
"""


def train_on_tensorflow():
    import tensorflow as tf

    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU":
        (cpu,) = tf.config.list_physical_devices("CPU")
        part = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(
            cpu, [part] * arguments.devices
        )
    names = [f"{kind}:{number}" for number in range(arguments.devices)]
    with tf.distribute.MirroredStrategy(names).scope():
        model = network()
        fit(model)


"""
## PyTorch: `DistributedDataParallel`

Each device has a process. The loop is that of PyTorch: `fit` of Keras does not
exchange gradients.
"""


def train_on_torch(rank):
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils import data

    cuda = torch.cuda.is_available()
    distributed.init_process_group(
        "nccl" if cuda else "gloo",
        init_method="tcp://127.0.0.1:" + os.environ["PORT"],
        rank=rank,
        world_size=arguments.devices,
    )
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    with keras.device(f"cuda:{rank}" if cuda else "cpu"):
        model = DistributedDataParallel(network())
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        dataset = data.TensorDataset(*map(torch.from_numpy, digits()))
        sampler = data.distributed.DistributedSampler(dataset)
        part = arguments.batch // arguments.devices
        loader = data.DataLoader(dataset, part, sampler=sampler)
        for epoch in range(arguments.epochs):
            sampler.set_epoch(epoch)
            totals = torch.zeros(2, device=device)
            for x, y in loader:
                x, y = x.to(device), y.to(device)
                logits = model(x, training=True)
                loss = torch.nn.functional.cross_entropy(logits, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                correct = (logits.argmax(-1) == y).float().mean()
                totals += torch.stack([loss.detach(), correct]) / len(loader)
            distributed.all_reduce(totals)
            if rank == 0:
                loss, accuracy = (totals / arguments.devices).tolist()
                print(f"Epoch {epoch + 1}/{arguments.epochs}")
                print(f"accuracy: {accuracy:.4f} - loss: {loss:.4f}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    if arguments.engine == "jax":
        train_on_jax()
    elif arguments.engine == "tensorflow":
        train_on_tensorflow()
    else:
        import socket

        import torch

        with socket.socket() as server:  # A port that is free.
            server.bind(("127.0.0.1", 0))
            os.environ["PORT"] = str(server.getsockname()[1])
        torch.multiprocessing.spawn(train_on_torch, nprocs=arguments.devices)
