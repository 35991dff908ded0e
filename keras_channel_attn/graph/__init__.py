"""Functional models as graphs: the only code that walks through a model.

`Graph` lists the calls of a model, `interpret` runs over them with values of
any kind, `Probe` finds out what one of them computes, and `rebuild` makes a
copy of the model with `Changes`. What Keras does not publish is read in
`keras_internals` alone.
"""

from keras_channel_attn.graph.calls import (
    Call,
    Graph,
    arguments_of_model,
    graph_of,
    stated_channel_axis,
)
from keras_channel_attn.graph.changes import Changes
from keras_channel_attn.graph.classes import check_classes
from keras_channel_attn.graph.inputs import new_input
from keras_channel_attn.graph.interpreter import inputs_of_nested, interpret
from keras_channel_attn.graph.operations import (
    arguments_by_name,
    convolves,
    inner_layers,
    is_from_keras,
    is_model,
    is_operation,
    layers_in_function,
    matrix_count,
    operations_of,
    parameters_of_call,
    snake_name,
)
from keras_channel_attn.graph.probing import Probe
from keras_channel_attn.graph.rebuilding import rebuild
from keras_channel_attn.graph.recursion import raise_recursion_limit
from keras_channel_attn.graph.rules import rules_by_name
from keras_channel_attn.graph.tensors import IdentityMap, is_boolean
from keras_channel_attn.warnings_to_user import first_lines, warn

__all__ = [
    "Call",
    "Changes",
    "Graph",
    "IdentityMap",
    "Probe",
    "arguments_by_name",
    "arguments_of_model",
    "check_classes",
    "convolves",
    "first_lines",
    "graph_of",
    "inner_layers",
    "inputs_of_nested",
    "interpret",
    "is_boolean",
    "is_from_keras",
    "is_model",
    "is_operation",
    "layers_in_function",
    "matrix_count",
    "new_input",
    "operations_of",
    "parameters_of_call",
    "raise_recursion_limit",
    "rebuild",
    "rules_by_name",
    "snake_name",
    "stated_channel_axis",
    "warn",
]
