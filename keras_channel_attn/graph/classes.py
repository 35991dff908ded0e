"""The class of a copied model: what can be kept and what must be refused."""

import inspect
from collections.abc import Iterable
from typing import Any

import keras

from keras_channel_attn.graph.calls import Call, Graph
from keras_channel_attn.graph.keras_internals import (
    recorded_calls,
    sequential_model,
)
from keras_channel_attn.graph.operations import is_from_keras
from keras_channel_attn.graph.tensors import symbolic_tensors

# What Keras calls in training, evaluation and prediction.
_LOGIC = (
    *("train_step", "test_step", "predict_step"),
    *("compute_loss", "compute_metrics", "compile"),
    *("fit", "evaluate", "predict"),
    *("make_train_function", "make_test_function", "make_predict_function"),
)


def check_classes(graph: Graph, calls: Iterable[Call]) -> None:
    """Check that a model can be copied with changes at some calls.

    `rebuild` refuses such a model too. This function is for those who run code
    of the user before.

    Args:
        graph: `Graph` of the model.
        calls: Calls that are to change.

    Raises:
        ValueError: If the class of the model, or of one that is nested in it
            and changes, has training logic of its own and is not constructed
            from inputs and outputs: the copy would be a plain functional model
            without that logic.
    """
    changed = set(calls)
    for nested in graph.nested.values():
        is_new = nested is graph or not changed.isdisjoint(nested.all_calls())
        obstacle = _obstacle(nested.model) if is_new else None
        if obstacle is not None:
            _check_logic(nested.model, obstacle)


def _check_logic(model: Any, obstacle: str) -> None:
    own = [name for name in _LOGIC if not _is_inherited(type(model), name)]
    if own:
        raise ValueError(
            f"The model '{model.name}' (of type {type(model).__name__}) cannot "
            f"be copied: its class has {', '.join(f'`{x}`' for x in own)} of "
            "its own, and the copy would be a plain functional model without "
            f"them, because {obstacle}. Pass the functional model inside, such "
            "as its backbone or image encoder, and build a new "
            f"{type(model).__name__} around the result. "
            "docs/detection.md shows how for detectors, with their weights "
            "and the attribute `pyramid_outputs`."
        )


def keeps_class(model: Any) -> bool:
    """Whether a copy that is built from a graph has the class of the model."""
    return _obstacle(model) is None


def _obstacle(model: Any) -> str | None:
    """Why a copy that is built from a graph cannot have the class."""
    kind = type(model)
    if isinstance(model, keras.Sequential):
        if kind.__init__ is keras.Sequential.__init__:
            return None
        return "the class has a constructor of its own"
    if is_from_keras(kind):
        return None
    if not is_from_keras(kind.get_config):
        return (
            "its `get_config` returns other arguments of the constructor than "
            "inputs and outputs"
        )
    if _takes_inputs_and_outputs(kind):
        return None
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    return (
        f"its constructor takes {inspect.Signature(parameters)}. A class that "
        "takes (inputs, outputs, name), or (*args, **kwargs) and keyword "
        "arguments with defaults, is kept, with its attributes"
    )


def of_same_class(model: Any, functional: Any) -> Any:
    """A functional model as one of the class of another.

    A class that does not take inputs and outputs becomes a plain functional
    or sequential model, if it has no training logic: see `check_classes`. A
    sequential model whose copy has branches becomes a functional model.
    """
    kind = type(model)
    is_sequential = isinstance(model, keras.Sequential)
    obstacle = _obstacle(model)
    if obstacle is not None:
        _check_logic(model, obstacle)
        kind = keras.Sequential if is_sequential else keras.Model
    if is_sequential and _is_chain(functional):
        return sequential_model(kind, functional, model.name)
    if is_sequential:
        _check_logic(model, "its layers are no longer a chain")
    if is_sequential or is_from_keras(kind):
        return functional
    return kind(functional.input, functional.output, name=model.name)


def _is_chain(functional: Any) -> bool:
    """Whether each layer is called on one tensor; masks do not count."""
    return all(
        len(symbolic_tensors(call.args)) == 1
        for call in recorded_calls(functional)
    )


def _takes_inputs_and_outputs(kind: Any) -> bool:
    """Whether a class is constructed like a functional model: Keras' rule."""
    own = inspect.getfullargspec(kind.__init__)
    if set(own.kwonlyargs) - set(own.kwonlydefaults or ()):
        return False
    takes_any = bool(own.varargs and own.varkw)
    return takes_any or own.args[1:] == ["inputs", "outputs", "name"]


def _is_inherited(kind: Any, name: str) -> bool:
    definer = next((base for base in kind.__mro__ if name in vars(base)), None)
    return definer is None or is_from_keras(definer)
