"""Functional models as graphs: the only code that walks through a model.

`Graph` lists the calls of a model, `Probe` finds out what one of them computes,
and `rebuild` makes a copy of the model with `Changes`.
"""

from keras_channel_attn.graph.calls import (
    Call,
    Graph,
    arguments_of_model,
    graph_of,
)
from keras_channel_attn.graph.changes import Changes
from keras_channel_attn.graph.operations import (
    convolves,
    is_from_keras,
    is_model,
    is_operation,
    matrix_count,
)
from keras_channel_attn.graph.probing import Probe
from keras_channel_attn.graph.rebuilding import check_classes, rebuild
from keras_channel_attn.graph.recursion import recursion_limit_raised
from keras_channel_attn.graph.tensors import IdentityMap

__all__ = [
    "Call",
    "Changes",
    "Graph",
    "IdentityMap",
    "Probe",
    "arguments_of_model",
    "check_classes",
    "convolves",
    "graph_of",
    "is_from_keras",
    "is_model",
    "is_operation",
    "matrix_count",
    "rebuild",
    "recursion_limit_raised",
]
