"""What the tests of the backend's own functions share."""

import keras
import pytest


@pytest.fixture(autouse=True)
def _every_input_is_large(monkeypatch):
    """On torch small inputs would be left to autograd."""
    if keras.config.backend() == "torch":
        from keras_channel_attn.backend import torch as functions

        monkeypatch.setattr(functions, "_SIZE_OF_LARGE_INPUTS", 0)
