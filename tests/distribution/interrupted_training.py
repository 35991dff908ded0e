"""Trains for three epochs, and is killed on the way if that is asked for.

python interrupted_training.py BACKUP_FOLDER WEIGHTS.npz [epoch|writing]

`epoch` kills the process in the middle of the second epoch, `writing` in the
middle of the file that is written after the second epoch.
"""

import os
import signal
import sys

import h5py
import keras
import numpy as np
from distribution.training import batches, network_named, weights

EPOCHS = 3


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


class KillInSecondEpoch(keras.callbacks.Callback):
    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 1:
            kill()


class KillInSecondFile(keras.callbacks.Callback):
    """The third array of the file is the last one that is written."""

    arrays = 0

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            create = h5py.Group.create_dataset

            def create_or_kill(*args, **kwargs):
                self.arrays += 1
                if self.arrays == 4:
                    kill()
                return create(*args, **kwargs)

            h5py.Group.create_dataset = create_or_kill


KILLERS = {"epoch": KillInSecondEpoch, "writing": KillInSecondFile}


def main(folder, path, when=None):
    network = network_named("inserted")
    network.compile(keras.optimizers.Adam(1e-3), "mse")
    x, y = (np.concatenate(array) for array in batches(network))
    # With two checkpoints, one is whole whenever the process is killed.
    backup = keras.callbacks.BackupAndRestore(folder, double_checkpoint=True)
    # Called first: the backup is written after it.
    killers = [KILLERS[when]()] if when else []
    network.fit(
        x,
        y,
        batch_size=8,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[*killers, backup],
    )
    np.savez(path, **weights(network))


main(*sys.argv[1:])
