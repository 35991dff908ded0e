"""What a model has besides its graph: its class and its attributes."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import keras

from keras_channel_attn.graph.operations import is_from_keras

# What Keras calls in training, evaluation and prediction.
_LOGIC = (
    *("train_step", "test_step", "predict_step"),
    *("compute_loss", "compute_metrics", "compile"),
    *("fit", "evaluate", "predict"),
    *("make_train_function", "make_test_function", "make_predict_function"),
)
# What Keras adds to a model that is compiled and used. A copy is not.
_KERAS_ATTRIBUTES = {
    *("history", "optimizer", "stop_training"),
    *("stop_evaluating", "stop_predicting"),
    *("_compile_config", "_compiled_trainable_state"),
    *("_eval_epoch_iterator", "_functional", "_jax_state", "_modules"),
}
_MISSING = object()


def of_same_class(model: Any, functional: Any) -> Any:
    """A functional model as one of the class of another.

    A class that does not take inputs and outputs becomes a plain functional
    model, if nothing but its name is lost by that.

    Raises:
        ValueError: If the class has training logic of its own, which a plain
            functional model would lack.
    """
    kind = type(model)
    if kind is type(functional):
        return functional
    if isinstance(model, keras.Sequential):
        inherited = kind.__init__ is keras.Sequential.__init__
        if inherited or kind is keras.Sequential:
            return kind(functional.layers, name=model.name)
        _check_no_logic(model)
        return keras.Sequential(functional.layers, name=model.name)
    if is_from_keras(kind.get_config) and _takes_inputs_and_outputs(
        kind, type(functional)
    ):
        return kind(functional.input, functional.output, name=model.name)
    _check_no_logic(model)
    return functional


def _takes_inputs_and_outputs(kind: Any, functional: Any) -> bool:
    """Whether a class is constructed like a functional model: Keras' rule."""
    own = inspect.getfullargspec(kind.__init__)
    expected = inspect.getfullargspec(functional.__init__)
    return own.args == expected.args or bool(own.varargs and own.varkw)


def _check_no_logic(model: Any) -> None:
    own = [name for name in _LOGIC if not _is_inherited(type(model), name)]
    if own:
        raise ValueError(
            f"The model '{model.name}' (of type {type(model).__name__}) cannot "
            f"be copied: its class has {', '.join(f'`{x}`' for x in own)} of "
            "its own and is not constructed from inputs and outputs, so the "
            "copy would be a plain functional model without them. Pass the "
            "functional model inside, such as its backbone, and build a new "
            f"{type(model).__name__} around the result."
        )


def _is_inherited(kind: Any, name: str) -> bool:
    definer = next((base for base in kind.__mro__ if name in vars(base)), None)
    return definer is None or is_from_keras(definer)


@dataclasses.dataclass(frozen=True)
class Translation:
    """From what belongs to a model to what belongs to its copy.

    Attributes:
        tensor: Callable from a symbolic tensor to that of the copy, or `None`.
        layer: Callable from a layer to its copy.
    """

    tensor: Callable[[Any], Any]
    layer: Callable[[Any], Any]


def carry_attributes(model: Any, copy: Any, translation: Translation) -> None:
    """Give a copy the Python attributes that its class or a user has set.

    Tensors and layers among them become those of the copy. What cannot be
    translated is named in a warning.
    """
    lost = []
    plain = keras.Model(copy.inputs, copy.outputs, name=copy.name)
    internal = {*_attributes(plain), *_KERAS_ATTRIBUTES}
    copied = _attributes(copy)
    for name, value in _attributes(model).items():
        is_private = name.startswith("_") and is_from_keras(type(model))
        if name in internal or is_private:
            continue
        current = copied.get(name, _MISSING)
        if isinstance(value, keras.Variable):
            _carry_variable(copy, name, value, current)
        elif not _is_stateful(value) or current is _MISSING:
            try:
                setattr(copy, name, _translated(value, model, translation))
            except _Untranslatable:
                lost.append(name)
    if lost:
        warnings.warn(
            f"The copy of the model '{model.name}' lacks its attributes "
            f"{lost}, which refer to the original. Set them on the copy.",
            stacklevel=5,
        )


def _attributes(model: Any) -> dict[str, Any]:
    # On torch layers are not in the dictionary of an object.
    return {**vars(model), **vars(model).get("_modules", {})}


def _carry_variable(copy: Any, name: str, variable: Any, current: Any) -> None:
    if isinstance(current, keras.Variable):
        current.assign(keras.ops.copy(variable.value))
        return
    new = keras.Variable(
        keras.ops.copy(variable.value),
        trainable=variable.trainable,
        dtype=variable.dtype,
        name=variable.name,
    )
    setattr(copy, name, new)


class _Untranslatable(Exception):
    """A value that refers to the original and has no counterpart."""


def _is_stateful(value: Any) -> bool:
    return isinstance(value, (keras.metrics.Metric, keras.optimizers.Optimizer))


def _translated(value: Any, model: Any, translation: Translation) -> Any:
    def translated(entry: Any) -> Any:
        return _translated(entry, model, translation)

    if isinstance(value, dict):
        return {key: translated(entry) for key, entry in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(translated, value))
    if isinstance(value, (list, tuple)):
        kind = tuple if isinstance(value, tuple) else list
        return kind(map(translated, value))
    if isinstance(value, keras.KerasTensor):
        value = translation.tensor(value)
        if value is None:
            raise _Untranslatable
        return value
    if isinstance(value, keras.layers.Layer):
        return translation.layer(value)
    refers_to_model = getattr(value, "__self__", None) is model
    if _is_stateful(value) or refers_to_model:
        raise _Untranslatable
    return value
