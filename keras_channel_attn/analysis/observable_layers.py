"""The attention layers of a model that can be observed while it computes."""

import contextlib
import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import keras

from keras_channel_attn.analysis.attention_layers import (
    attention_paths,
    attention_places,
    loop_around,
)
from keras_channel_attn.graph import is_model, warn
from keras_channel_attn.graph.keras_internals import sync_jax_state
from keras_channel_attn.layers import AttentionLayer


def check_backend(function: str) -> None:
    """Raise an error on a backend that observes nothing."""
    if keras.config.backend() == "openvino":
        raise ValueError(
            f"`{function}` does not run on the openvino backend, whose "
            "`predict` compiles functional models only. Use another backend."
        )


def observable_paths(model: Any) -> dict[AttentionLayer, str]:
    """The paths of the attention layers that can be observed.

    Keras calls the layers inside a loop on values of single steps, which exist
    in the loop only.
    """
    places = attention_places(model)
    loops = {layer: loop_around(place) for layer, place in places.items()}
    paths = {
        layer: path
        for layer, path in attention_paths(places).items()
        if not loops[layer]
    }
    hidden = sorted({path for path in loops.values() if path})
    advice = (
        f"Attention is called inside the layers {hidden}, one step after "
        "another, and its scores are not returned. Use "
        "`keras.layers.TimeDistributed` in a functional model, where they are, "
        "or let the layers return the scores as a second output, and call "
        "`keras.Model(inputs, scores).predict(x)`."
    )
    if not model.built and not hidden:
        # It may make its layers when it is built.
        raise _not_built(f"The model '{model.name}'")
    if not paths:
        raise ValueError(
            f"The model '{model.name}' calls no attention layer of "
            "`keras_channel_attn`. "
            + (advice if hidden else _advice_for(model))
        )
    if hidden:
        warn(f"Some attention scores are missing. {advice}")
    if not model.built:
        raise _not_built(f"The model '{model.name}'")
    unbuilt = [path for layer, path in paths.items() if not layer.built]
    if unbuilt:
        raise _not_built(f"The attention {unbuilt} of '{model.name}'")
    return paths


def _not_built(what: str) -> ValueError:
    return ValueError(
        f"{what} is not built. Call the model on a batch first: `model(x[:1])`."
    )


def _advice_for(model: Any) -> str:
    """What to do for a model without attention layers."""
    if not is_model(model):
        return "It holds none in an attribute."
    return (
        "Squeeze-and-Excitation that is written as several layers, as in the "
        "MobileNetV3 and EfficientNet of `keras.applications`, becomes a layer "
        "by `fuse_attention(model)`."
    )


def not_called(model: Any, paths: Iterable[str]) -> str:
    """What an error or a warning says of layers that a model only holds."""
    return (
        f"The model '{model.name}' did not call the attention layers "
        f"{[*paths]} that it holds."
    )


def selected_layers(
    model: Any,
    paths: dict[AttentionLayer, str],
    layers: Any,
    others: str = "",
) -> dict[AttentionLayer, str]:
    """The attention layers that the argument `layers` selects.

    Args:
        model: Model of Keras.
        paths: Dictionary from the attention layers to their paths.
        layers: As in `attention_scores`.
        others: String, what else a caller takes, for the error. Defaults to
            nothing.
    """
    if layers is None:
        return paths
    if callable(layers) and not isinstance(layers, (type, keras.layers.Layer)):
        chosen = {layer for layer in paths if layers(layer)}
    elif isinstance(layers, Collection) and not isinstance(layers, str):
        chosen = {
            layer for name in layers for layer in _layers_named(paths, name)
        }
    else:
        raise TypeError(
            "`layers` must be a list of names, or a callable from an attention "
            f"layer to a boolean{others}. Received: layers={layers!r}."
        )
    if not chosen:
        raise ValueError(
            "`layers` selects no attention layer of the model "
            f"'{model.name}'. It has {[*paths.values()]}."
        )
    return {layer: path for layer, path in paths.items() if layer in chosen}


def _layers_named(paths: dict[AttentionLayer, str], name: Any) -> list[Any]:
    found = [
        layer for layer, path in paths.items() if name in (path, layer.name)
    ]
    if not found:
        known = [*paths.values()]
        near = difflib.get_close_matches(str(name), known, n=5)
        raise ValueError(
            f"`layers` names '{name}', and the model has no attention layer "
            f"of that name. Near it: {near or known}."
        )
    return found


@contextlib.contextmanager
def keep_state(model: Any, predictor: Any = None) -> Iterator[None]:
    """Undo what inference does to the layers of a model, also after errors.

    Args:
        model: Model of Keras. On torch it is in inference mode in the context.
        predictor: Model of Keras whose `predict` computes the other one.
            Defaults to `None`: there is none.
    """
    backend = keras.backend.backend()
    modules = list(model.modules()) if backend == "torch" else []
    modes = [module.training for module in modules]
    values = [(variable, variable.value) for variable in model.variables]
    if backend == "torch":
        model.eval()
    try:
        yield
    except BaseException:
        if backend == "jax" and predictor is not None:
            # `predict` moves the values from the variables to a state of the
            # predictor, and leaves them there if a batch fails.
            for variable, value in values:
                if not value.is_deleted():
                    variable.assign(value)
            sync_jax_state(predictor)
        raise
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
