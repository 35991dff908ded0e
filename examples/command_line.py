"""
Title: What the command lines of the examples have in common
Date created: 2026/11/22
Description: An argument that several have, and a check of the backend.

Not an example itself: `transfer_learning.py` and `ablation.py` import it.
"""

import argparse

import keras
from outputs import BACKENDS


def positive(text):
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1. Received: {text!r}"
        )
    return number


def check_backend(parser):
    """End with a message where the backend cannot train."""
    if keras.config.backend() not in BACKENDS:
        parser.error(
            f"the {keras.config.backend()} backend of Keras cannot train: set "
            f"KERAS_BACKEND to one of {', '.join(BACKENDS)}"
        )
